"""Steering: its forecast of the end of a fit, and that its state is all that it needs."""

import json
from functools import partial

import pytest

from snerv_codec.compression.values import Values
from snerv_codec.rate_control.steering import Steering
from snerv_codec.training.loop import Moment
from snerv_codec.training.settings import FitSettings

PHASE = FitSettings.preset("paper", recipe="rd", epochs=40).phases()[-1]


class Grids:
    """Those of a fit of 100 values that takes 50 bytes; scaling is only noted."""

    count = 100

    def __init__(self) -> None:
        self.exponents: list[float] = []

    def estimated_bytes(self, values):
        return 50

    def scale(self, values, exponent):
        self.exponents.append(exponent)


def moment(epoch, grids, psnr):
    return Moment(PHASE, epoch, grids, Values({}, {}), psnr)


def steered(goal, psnr, *, upto):
    """Steering through epochs in which the PSNR is `psnr(epoch)`."""
    steering, grids = Steering(0.01), Grids()
    steering.find_goal = lambda: goal
    for epoch in range(upto):
        steering.before_epoch(moment(epoch, grids, partial(psnr, epoch)))
    return steering, grids


def test_a_rise_is_expected_to_slow_down():
    steering, _ = steered(30, lambda epoch: 20 + 0.2 * epoch, upto=20)
    now = 20 + 0.2 * 19
    assert now < steering._forecast(PHASE.epochs) < now + 0.2 * (PHASE.epochs - 19)
    steering, _ = steered(30, lambda epoch: 30 - 0.1 * epoch, upto=20)
    assert steering._forecast(PHASE.epochs) == pytest.approx(30 - 0.1 * 19)


def test_bits_get_dearer_above_the_goal_and_cheaper_below_it():
    above, coarser = steered(25, lambda epoch: 30.0, upto=30)
    below, finer = steered(35, lambda epoch: 30.0, upto=30)
    assert above.rate_weight > 0.01 > below.rate_weight
    assert all(exponent > 0 for exponent in coarser.exponents)
    assert all(exponent < 0 for exponent in finer.exponents)


def test_nothing_is_done_before_the_fit_tells_where_it_goes():
    steering, grids = steered(25, lambda epoch: 30.0, upto=10)
    assert steering.goal is None
    assert (steering.rate_weight, grids.exponents) == (0.01, [])


def test_steering_goes_on_from_its_state():
    whole, grids = steered(31, lambda epoch: 20 + 0.2 * epoch, upto=20)
    again = Steering(0.5)
    again.find_goal = lambda: pytest.fail("the state knows the goal")
    again.restore(json.loads(json.dumps(whole.state())))
    for steering in (whole, again):
        steering.before_epoch(moment(20, grids, lambda: 24.0))
    assert again.rate_weight == whole.rate_weight
    assert again.goal == 31
