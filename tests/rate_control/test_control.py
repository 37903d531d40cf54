"""Rate control: what it does before an epoch, that its state is all that it needs, and how it packs."""

import json
from dataclasses import replace
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from snerv_codec.compression.packing import pack_segment
from snerv_codec.compression.rounding import Learned, Plain
from snerv_codec.compression.values import Values, values_of
from snerv_codec.errors import SettingsError
from snerv_codec.model.architectures import build_decoder, paper_config
from snerv_codec.rate_control.control import CLOSE, FALLING, HARDER, QUALITY_AIM, ToQuality, ToSize, forecast
from snerv_codec.rate_control.targets import Target
from snerv_codec.training.loop import Moment
from snerv_codec.training.quantizers import RateQuantizer, first_steps
from snerv_codec.training.settings import FitSettings

PHASE = FitSettings.preset("paper", recipe="rd", epochs=40).phases()[-1]
SHORT, SHORTEST = replace(PHASE, epochs=10), replace(PHASE, epochs=1)
CONFIG = paper_config((16, 2, 3), (2, 2, 1, 1, 1), 20, 1)


class Grids:
    """Those of a fit of 100 values that takes 50 bytes; scaling is only noted."""

    count = 100

    def __init__(self) -> None:
        self.exponents: list[float] = []

    def estimated_bytes(self, values):
        return 50

    def scale(self, values, exponent):
        self.exponents.append(exponent)

    def steps(self, values):
        return Values({}, {})


def moment(epoch, grids, psnr):
    return Moment(PHASE, epoch, grids, Values({}, {}), psnr)


# Towards a quality


class Eye:
    """A judge to whom a segment is its own PSNR, and VMAF 5 for a dB."""

    def quality(self, segment, kind):
        return segment.psnr if kind == "psnr" else 60 + 5 * (segment.psnr - 30)


def falling(values, rounding):
    """A fit of 33 dB that loses 4 dB a step of deadzone, and one for each e-fold of steps."""
    return SimpleNamespace(psnr=33 - 4 * rounding.deadzone - np.log(getattr(rounding, "factor", 1)))


def controlled(kind, value):
    return ToQuality(Target(kind, value), Eye(), 0.01, falling)


def steered(goal, psnr, *, upto):
    """A control through epochs in which the PSNR is `psnr(epoch)`."""
    control, grids = controlled("psnr", goal - QUALITY_AIM), Grids()
    for epoch in range(upto):
        control.before_epoch(moment(epoch, grids, partial(psnr, epoch)))
    return control, grids


def test_a_rise_is_expected_to_slow_down():
    seen = [20 + 0.2 * epoch for epoch in range(20)]
    assert seen[-1] < forecast(seen, PHASE.epochs) < seen[-1] + 0.2 * (PHASE.epochs - 19)
    seen = [30 - 0.1 * epoch for epoch in range(20)]
    assert forecast(seen, PHASE.epochs) == pytest.approx(seen[-1])


def test_bits_get_dearer_above_the_goal_and_cheaper_below_it():
    above, coarser = steered(25, lambda epoch: 30.0, upto=30)
    below, finer = steered(35, lambda epoch: 30.0, upto=30)
    assert above.rate_weight > 0.01 > below.rate_weight
    assert all(exponent > 0 for exponent in coarser.exponents)
    assert all(exponent < 0 for exponent in finer.exponents)


def test_nothing_is_done_before_the_fit_tells_where_it_goes():
    control, grids = steered(25, lambda epoch: 30.0, upto=10)
    assert control.goal is None
    assert (control.rate_weight, grids.exponents) == (0.01, [])


def test_it_goes_on_from_its_state():
    whole, grids = steered(31, lambda epoch: 20 + 0.2 * epoch, upto=20)
    again = controlled("psnr", 99)  # the state knows the goal
    again.restore(json.loads(json.dumps(whole.state())))
    for control in (whole, again):
        control.before_epoch(moment(20, grids, lambda: 24.0))
    assert again.rate_weight == whole.rate_weight
    assert again.goal == pytest.approx(31)


def test_vmaf_is_trained_for_by_the_psnr_that_goes_with_it(monkeypatch):
    monkeypatch.setattr(Learned, "coarser", lambda self, factor: SimpleNamespace(deadzone=0, factor=factor))
    control = controlled("vmaf", 70)
    for epoch in range(20):
        control.before_epoch(moment(epoch, Grids(), lambda: 33.0))
    assert control.goal == pytest.approx(32 + QUALITY_AIM)


@pytest.mark.parametrize("target", [("psnr", 31.7), ("vmaf", 68.5), ("psnr", 32.99)])
def test_the_search_ends_just_above_the_target(monkeypatch, target):
    monkeypatch.setattr("snerv_codec.rate_control.control.write_segment", lambda segment: None)
    (packed,) = controlled(*target).pack(Values({}, {}), Learned(Values({}, {})))
    assert target[1] <= packed.quality <= target[1] + max(CLOSE, 5 * 0.5 * 4 / 2**8)


def test_a_fit_below_its_target_stays_as_it_is(monkeypatch):
    monkeypatch.setattr("snerv_codec.rate_control.control.write_segment", lambda segment: None)
    (packed,) = controlled("psnr", 34).pack(Values({}, {}), Learned(Values({}, {})))
    assert packed.segment.psnr == packed.quality == 33


# Towards a size


def model():
    torch.manual_seed(0)
    embeddings = torch.randn(5, 16, 2, 3) * torch.linspace(0.1, 2, 16)[:, None, None]
    return values_of(build_decoder(CONFIG), [embeddings])


def sized(limit):
    pack = partial(pack_segment, config=CONFIG, sides=torch.zeros(5, 2))
    return ToSize(limit, 0.01, pack)


def on_grids(values):
    quantizer = RateQuantizer(values)
    quantizer.prepare(values)
    return quantizer


def steered_to(budget, control, values, phase):
    """The weight of a bit, and bytes that values which no epoch changes are taken to come to, at each of the phase."""
    quantizer, weights, taken = on_grids(values), [], []
    control.budget = budget
    for epoch in range(phase.epochs):
        weights.append(control.before_epoch(Moment(phase, epoch, quantizer, values, pytest.fail)))
        taken.append(quantizer.estimated_bytes(values))
    return weights, taken


@pytest.mark.parametrize("budget", [14_000, 45_000])
def test_bits_get_dearer_by_and_by_and_steps_come_to_a_budget_in_the_end(budget):
    values, on_the_way = model(), round(SHORT.epochs * FALLING) - 1
    first = on_grids(values).estimated_bytes(values)
    weights, taken = steered_to(budget, sized(0), values, SHORT)
    factors = np.diff(np.log([0.01, *weights]))
    assert all(factors[: on_the_way + 1] > 0) if budget < first else all(factors[: on_the_way + 1] < 0)
    assert abs(factors[0]) < abs(factors[on_the_way - 1])
    assert taken[:on_the_way] == pytest.approx([first] * on_the_way)
    assert taken[-1] == pytest.approx(budget, rel=0.03)


def test_a_fit_that_takes_what_it_may_is_left_alone():
    values = model()
    first = on_grids(values).estimated_bytes(values)
    weights, taken = steered_to(first, sized(0), values, SHORT)
    assert weights == pytest.approx([0.01] * SHORT.epochs)
    assert taken == pytest.approx([first] * SHORT.epochs)


def test_a_single_epoch_goes_all_the_way():
    assert steered_to(14_000, sized(0), model(), SHORTEST)[1] == pytest.approx([14_000], rel=0.1)


def test_the_way_to_a_budget_goes_on_from_its_state():
    values, whole, again = model(), sized(0), sized(0)
    steered_to(14_000, whole, values, replace(SHORT, epochs=3))
    again.restore(json.loads(json.dumps(whole.state())))
    quantizer = on_grids(values)
    quantizer.scale(values, 0.5)  # so that what is taken now is not what was taken at first
    weights = [control.before_epoch(Moment(SHORT, 5, quantizer, values, pytest.fail)) for control in (whole, again)]
    assert weights[0] == weights[1]


def test_a_budget_leaves_room_for_what_is_not_symbols():
    values, control = model(), sized(20_000)
    control.plan(values)
    assert 15_000 < control.budget < 19_900
    control.budget = 1
    control.plan(values)  # as where a fit goes on
    assert control.budget == 1


def test_a_segment_is_packed_into_its_limit_with_the_least_rounding():
    values = model()
    steps = Learned(first_steps(values))
    (whole,) = sized(10**6).pack(values, steps)
    limit = whole.file_bytes - 50
    (packed,) = sized(limit).pack(values, steps)
    assert limit - 50 < packed.file_bytes <= limit
    assert sized(whole.file_bytes).pack(values, steps)[0].coded == whole.coded
    with pytest.raises(SettingsError, match="the target leaves 1 bytes for the model of 5 frames"):
        sized(1).pack(values, steps)
    with pytest.raises(TypeError, match="only a training for rate"):
        sized(limit).pack(values, Plain())


def test_a_fit_far_above_its_limit_is_packed_on_larger_steps():
    values = model()
    steps = Learned(first_steps(values))
    (limit,) = sized(10**6).pack(values, Learned(steps.coarser(HARDER[-1]).steps))
    (packed,) = sized(limit.file_bytes + 50).pack(values, steps)
    assert 0.97 * limit.file_bytes < packed.file_bytes <= limit.file_bytes + 50


def test_a_limit_that_leaves_no_room_is_told_before_the_fit():
    with pytest.raises(SettingsError, match="the target leaves 0 bytes, 0 bits for each of the model's"):
        sized(300).plan(model())
