"""Chains of segments, each started with the network of the one before."""

from dataclasses import replace
from fractions import Fraction
from itertools import accumulate, groupby

import numpy as np
import pytest
import torch
from clips import moving_picture
from conftest import QUICK
from hypothesis import given
from hypothesis import strategies as st
from segment_jobs import jobs_of

from snerv_codec import EncodeSettings, encode, plan
from snerv_codec.bitstream.container import read_header
from snerv_codec.encoding.runner import run_jobs
from snerv_codec.encoding.segmentation import warm_starts
from snerv_codec.errors import SettingsError, UserError
from snerv_codec.events import EpochDone
from snerv_codec.media.source import Selection
from snerv_codec.media.writer import write_image
from snerv_codec.training.settings import FitSettings

CHAINED = replace(QUICK, size="240k", segment=2, chain=2)  # 6 frames: two segments, and one by itself


@pytest.mark.slow
def test_a_chain_comes_out_the_same_side_by_side(clip, tmp_path, monkeypatch):
    monkeypatch.setattr("snerv_codec.runtime.machine.available_cores", lambda: 2 * torch.get_num_threads())
    encode(clip, tmp_path / "one.snrv", CHAINED)
    encode(clip, tmp_path / "two.snrv", CHAINED, workers=2)
    assert (tmp_path / "two.snrv").read_bytes() == (tmp_path / "one.snrv").read_bytes()


def test_an_interrupted_chain_goes_on_to_the_very_same_file(clip, tmp_path):
    encode(clip, tmp_path / "one.snrv", CHAINED)
    seen = []

    def stop(event):
        if isinstance(event, EpochDone):
            seen.append(event.segment)
            if seen.count(1) == 2:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        encode(clip, tmp_path / "three.snrv", CHAINED, on_event=stop)
    encode(clip, tmp_path / "three.snrv", CHAINED, resume=True)
    assert (tmp_path / "three.snrv").read_bytes() == (tmp_path / "one.snrv").read_bytes()


@pytest.mark.parametrize("chain", [1, 2])
def test_what_was_learned_is_not_learned_again(tmp_path, chain):
    """The same two frames twice: in a chain the second fit begins where the first one has ended."""
    frames, psnr = np.tile(moving_picture(2, 18, 34), (2, 1, 1, 1)), ([], [])

    def watch(event):
        if isinstance(event, EpochDone):
            psnr[event.segment].append(event.psnr)

    fit = FitSettings.preset("paper", epochs=12, prune=0, prune_epochs=0, optimizer="muon")
    settings = replace(QUICK, size="160k", segment=2, chain=chain, fit=fit, source=Selection(rate=Fraction(25)))
    run_jobs(jobs_of(frames, tmp_path, settings), on_event=watch)
    first, second = psnr
    assert (second[0] > first[0] + 1) == (chain == 2)


def test_segments_of_a_chain_have_one_architecture(clip, tmp_path):
    encode(clip, tmp_path / "a.snrv", replace(CHAINED, segment=4))  # of 4 and 2 frames
    one, other = read_header(tmp_path / "a.snrv").segments
    assert one.config == other.config
    assert (one.frame_count, other.frame_count) == (4, 2)


@pytest.mark.slow
def test_where_one_fails_those_that_start_from_it_are_not_begun(clip, tmp_path):
    jobs = jobs_of(clip, tmp_path / "work", CHAINED)
    broken = replace(jobs[0], limit=1)  # byte
    with pytest.raises(UserError, match="segment 1: .*; segment 2: not begun, as segment 1 that it starts from failed"):
        run_jobs([broken, *jobs[1:]], workers=2, on_event=lambda event: None)
    assert jobs[2].run(on_event=lambda event: pytest.fail(str(event)))


def test_a_chain_has_a_segment_at_least():
    with pytest.raises(SettingsError, match="`chain` 0"):
        EncodeSettings.of(chain=0)


@given(
    st.lists(st.integers(1, 20), min_size=1, max_size=30),
    st.sets(st.integers(0, 300)),
    st.integers(1, 5),
)
def test_a_chain_has_no_more_segments_than_asked_for_and_starts_anew_at_a_scene(lengths, scenes, chain):
    ends = [0, *accumulate(lengths)]
    parts = list(map(range, ends, ends[1:]))
    warm = warm_starts(parts, sorted(scenes), chain)
    assert not warm[0]
    rows = [len(list(row)) for following, row in groupby(warm) if following]
    assert max(rows, default=0) < chain
    assert not any(following and part.start in scenes for part, following in zip(parts, warm, strict=True))
    plain = warm_starts(parts, [], chain)
    assert plain == [number % chain > 0 for number in range(len(parts))]


def test_a_segment_that_shows_little_of_the_scene_before_it_starts_cold():
    parts = [range(0, 10), range(10, 20), range(20, 30), range(30, 40)]
    assert warm_starts(parts, [14, 25], 8) == [False, False, True, True]
    assert warm_starts(parts, [10], 2) == [False, False, True, False]


def test_a_cut_to_another_film_breaks_a_chain_of_frames_and_of_files(tmp_path):
    """Its second half is of another scene: the third segment is what the first one would be."""
    bright = moving_picture(4, 48, 64) // 4 + 180
    frames = np.concatenate((moving_picture(4, 48, 64) // 8, bright))
    settings = replace(QUICK, size="400k", segment=2, chain=4, source=Selection(rate=Fraction(25)))
    (tmp_path / "frames").mkdir()
    for number, frame in enumerate(frames):
        write_image(tmp_path / "frames" / f"{number}.png", frame)
    for source in (frames, tmp_path / "frames"):
        jobs = jobs_of(source, tmp_path / "work", settings)
        assert [job.after for job in jobs] == [None, 0, None, 2]
        assert [job.followed for job in jobs] == [True, False, True, False]
    assert plan(frames, settings).segments == ((0, 2), (2, 2), (4, 2), (6, 2))
