import tempfile
import tracemalloc
from itertools import pairwise

import numpy as np
import pytest
from clips import moving_picture

from snerv_codec.bitstream.types import Color
from snerv_codec.errors import ResourceError
from snerv_codec.evaluation.vmaf import MIN_SIDE, _read_log, find_ffmpeg, open_vmaf
from snerv_codec.media.color import BT709, Converter

pytest.importorskip("imageio_ffmpeg", reason="VMAF needs imageio-ffmpeg, of the extra `vmaf`")

LIMITED = Color(matrix=BT709, full_range=False)


def planes(frames):
    return [Converter().to_planes(frame, LIMITED) for frame in frames]


def noisy(frames, strength):
    error = np.random.default_rng(0).normal(0, strength, frames.shape)
    return np.clip(np.rint(frames + error), 0, 255).astype(np.uint8)


def score(reference, distorted):
    height, width = reference.shape[1:3]
    with open_vmaf(width, height, find_ffmpeg()) as meter:
        for pair in zip(planes(reference), planes(distorted), strict=True):
            meter.add(*pair)
        return meter.result()


@pytest.fixture
def scratch(tmp_path, monkeypatch):
    """Where temporary files go in a test."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_vmaf_is_high_for_equal_clips_and_falls_with_noise(scratch):
    frames = moving_picture(5, 96, 128)
    results = [score(frames, noisy(frames, strength)) for strength in (0, 4, 12, 40)]
    means = [np.mean(result.scores) for result in results]
    assert means[0] >= 95
    assert all(a > b + 1 for a, b in pairwise(means))
    assert all(len(result.scores) == 5 for result in results)
    assert results[0].model == "vmaf_v0.6.1"
    assert results[0].version
    assert list(scratch.iterdir()) == []


def test_each_score_is_of_its_own_frame():
    frames = moving_picture(6, 64, 96)
    other = frames.copy()
    other[4] = noisy(frames, 60)[4]
    scores = score(frames, other).scores
    assert min(scores) == scores[4] < min(scores[:4]) - 20


def test_reference_and_distorted_are_not_mixed_up():
    frames = moving_picture(4, 96, 128)
    shifted = [np.roll(frames, by, 2).astype(int) for by in range(3)]
    blurred = (sum(shifted) // 3).astype(np.uint8)
    assert np.mean(score(frames, blurred).scores) < np.mean(score(blurred, frames).scores) - 1


@pytest.mark.parametrize(("height", "width"), [(MIN_SIDE, MIN_SIDE), (33, 47), (135, 241), (35, 200)])
def test_any_size_works_odd_ones_too(height, width):
    frames = moving_picture(3, height, width)
    assert min(score(frames, frames).scores) > 90  # it is 93 for the first of the smallest ones


@pytest.mark.parametrize("size", [(64, 96), (720, 1280)], ids=["fits the pipe", "does not"])
def test_a_failing_ffmpeg_is_one_line_and_leaves_nothing(size, scratch):
    frames = planes(moving_picture(1, *size))

    def use():
        with open_vmaf(size[1], size[0], "false") as meter:
            meter.add(frames[0], frames[0])
            meter.result()

    with pytest.raises(ResourceError, match=r"ffmpeg failed.*code 1"):
        use()
    assert list(scratch.iterdir()) == []


def test_an_ffmpeg_without_output_or_without_existence(scratch):
    with open_vmaf(64, 64, "true") as meter, pytest.raises(ResourceError, match="ffmpeg failed"):
        meter.result()
    with pytest.raises(ResourceError, match="nowhere/ffmpeg cannot be run"), open_vmaf(64, 64, "/nowhere/ffmpeg"):
        pass
    assert list(scratch.iterdir()) == []


def test_giving_up_midway_ends_ffmpeg_and_leaves_nothing(scratch):
    frames = planes(moving_picture(1, 64, 96))
    running = []

    def use():
        with open_vmaf(96, 64, find_ffmpeg()) as meter:
            meter.add(frames[0], frames[0])
            running.append(meter._process)
            assert len(list(scratch.iterdir())) == 1
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        use()
    assert running[0].returncode is not None
    assert list(scratch.iterdir()) == []


def test_a_log_takes_memory_for_its_scores_alone(tmp_path):
    """Eight bytes a score, and what Python makes of them, but not the rest of the log."""
    frames = 20_000
    with (tmp_path / "log.xml").open("w") as file:
        file.write('<VMAF version="v3"><frames>')
        for number in range(frames):
            other = " ".join(f'figure{each}="{number / 7:.6f}"' for each in range(20))
            file.write(f'<frame frameNum="{number}" {other} vmaf="{number % 101}.5" />')
        file.write("</frames></VMAF>")
    tracemalloc.start()
    try:
        version, scores = _read_log(tmp_path / "log.xml")
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert version == "v3"
    assert list(scores) == [number % 101 + 0.5 for number in range(frames)]
    assert most < (tmp_path / "log.xml").stat().st_size / 3
