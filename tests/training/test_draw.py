"""Which frames an epoch takes: all, and those at a border more often."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from snerv_codec.training.draw import AT_BORDER, REACH, Draw

EPOCHS = 50


def epochs(count, borders):
    """How often each frame is taken in each of some epochs, (epochs, count)."""
    draw = Draw(count, borders)
    taken = [draw(torch.Generator().manual_seed(seed)) for seed in range(EPOCHS)]
    assert all(len(each) == count for each in taken)
    return torch.stack([torch.bincount(each, minlength=count) for each in taken])


@given(st.integers(1, 60))
def test_without_borders_each_comes_once_in_an_order_that_the_generator_decides(count):
    assert (epochs(count, (False, False)) == 1).all()
    generator = torch.Generator().manual_seed(7)
    assert torch.equal(Draw(count)(torch.Generator().manual_seed(7)), torch.randperm(count, generator=generator))


@given(st.integers(1, 60), st.sampled_from([(True, False), (False, True), (True, True)]))
def test_no_frame_is_forgotten_nor_taken_all_the_time(count, borders):
    taken = epochs(count, borders)
    assert (taken <= 2).all()
    assert (taken.sum(0) >= EPOCHS / AT_BORDER - 1).all()


@pytest.mark.parametrize(("borders", "ends"), [((True, False), [0]), ((False, True), [1]), ((True, True), [0, 1])])
def test_frames_at_a_border_come_more_often(borders, ends):
    taken = epochs(40, borders).float().mean(0)
    middle = taken[REACH:-REACH].mean()
    for end in (0, 1):
        side = taken.flip(0)[:REACH] if end else taken[:REACH]
        assert (side[0] > 1.5 * middle) == (end in ends)
        assert (side.mean() > 1.2 * middle) == (end in ends)


def test_the_same_epoch_comes_out_the_same():
    draw = Draw(20, (True, True))
    first, again, other = (draw(torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
