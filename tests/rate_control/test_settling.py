"""Several segments and one target: a draft of each is chosen, whoever leaves bytes over or falls short."""

from hypothesis import given
from hypothesis import strategies as st

from snerv_codec.rate_control.settling import Draft, largest_within, smallest_above

segments = st.lists(
    st.tuples(
        st.integers(1, 50), st.lists(st.builds(Draft, st.integers(1, 99), st.floats(20, 40)), min_size=1, max_size=4)
    ),
    min_size=1,
    max_size=4,
)


def taken(drafts, chosen):
    return sum(each[number].size for each, number in zip(drafts, chosen, strict=True))


def mean(drafts, frames, chosen):
    total = sum(each[n].quality * count for each, n, count in zip(drafts, chosen, frames, strict=True))
    return total / sum(frames)


def test_what_one_leaves_over_another_takes():
    drafts = [[Draft(80, 30)], [Draft(100, 29), Draft(110, 29.5), Draft(118, 30), Draft(125, 30.2)]]
    assert largest_within(200, drafts, [10, 10]) == [0, 2]
    assert largest_within(180, drafts, [10, 10]) == [0, 0]


def test_bytes_go_where_they_buy_most():
    flat, steep = [Draft(100, 30), Draft(110, 30.1)], [Draft(100, 30), Draft(110, 31)]
    assert largest_within(210, [flat, steep], [10, 10]) == [0, 1]
    assert largest_within(210, [flat, steep], [200, 10]) == [1, 0]  # a tenth of a dB of many frames
    assert smallest_above(30.5, [flat, steep], [10, 10]) == [0, 1]


def test_what_one_falls_short_of_others_make_up_for():
    short, able = [Draft(90, 28)], [Draft(100, 30), Draft(110, 31), Draft(130, 32)]
    assert smallest_above(29.5, [short, able], [10, 10]) == [0, 1]
    assert smallest_above(35, [short, able], [10, 10]) == [0, 2]  # as good as can be


def test_no_draft_below_the_floor_is_taken_in_place_of_a_better_one():
    drafts = [[Draft(100, 30), Draft(150, 31)], [Draft(100, 30), Draft(101, 32)]]
    assert smallest_above(31, drafts, [10, 10]) == [0, 1]
    assert smallest_above(31, drafts, [10, 10], lambda segment, number: drafts[segment][number].quality > 30) == [1, 1]


@given(segments, st.floats(0, 1))
def test_a_room_is_kept_and_no_draft_that_fits_better_is_left(given_segments, share):
    frames, drafts = zip(*given_segments, strict=True)
    least, most = (sum(bound(draft.size for draft in each) for each in drafts) for bound in (min, max))
    room = round(least + share * (most - least))
    chosen = largest_within(room, drafts, frames)
    assert taken(drafts, chosen) <= room
    for number in range(len(drafts)):  # no single larger draft would still fit, unless it looks no better
        for other, draft in enumerate(drafts[number]):
            changed = [*chosen[:number], other, *chosen[number + 1 :]]
            better = draft.quality > drafts[number][chosen[number]].quality
            assert not (better and taken(drafts, changed) <= taken(drafts, chosen))


@given(segments, st.floats(20, 40))
def test_a_mean_is_held_where_it_can_be(given_segments, target):
    frames, drafts = zip(*given_segments, strict=True)
    best = [max(each.quality for each in ours) for ours in drafts]
    reachable = sum(quality * count for quality, count in zip(best, frames, strict=True)) / sum(frames)
    chosen = smallest_above(target, drafts, frames)
    if reachable >= target:
        assert mean(drafts, frames, chosen) >= target - 1e-9
    else:
        assert [ours[number].quality for ours, number in zip(drafts, chosen, strict=True)] == best
