"""What lies across a border between segments: neighbours in time, frames left out, masks."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from clips import moving_picture
from conftest import QUICK
from segment_jobs import jobs_of

from snerv_codec import Decoder, encode
from snerv_codec.evaluation.metrics import psnr
from snerv_codec.media.reader import read_video
from snerv_codec.media.source import Selection
from snerv_codec.media.writer import write_image

RAW = Selection(rate=Fraction(25))  # an array
HALVES = replace(QUICK, size="240k", segment=2, source=RAW)


def second_of(frames, folder, settings):
    """The coded bytes of the second segment."""
    job = jobs_of(frames, folder, settings)[1]
    job.run()
    return job.coded()


@pytest.fixture
def masks(tmp_path):
    """A folder of four masks that differ, and where they leave pixels known."""
    (tmp_path / "masks").mkdir()
    hidden = np.zeros((4, 18, 34, 3), np.uint8)
    for number, mask in enumerate(hidden):
        mask[2 : 6 + 2 * number, 3 + 5 * number : 12 + 5 * number] = 255
        write_image(tmp_path / "masks" / f"{number}.png", mask)
    return tmp_path / "masks", hidden[..., 0] == 0


@pytest.mark.parametrize("model", ["t", "b"])
def test_a_segment_is_fitted_to_its_own_frames_alone(tmp_path, masks, model):
    """A temporal model's neighbour across the border has no part in it, nor what another frame's mask hides."""
    folder, known = masks
    settings = replace(HALVES, model=model, mask=folder if model == "b" else None)
    frames, other = moving_picture(4, 18, 34), moving_picture(4, 18, 34)
    other[:2] ^= 16  # not so much that a scene would seem to begin
    if model == "b":
        other[2:][~known[2:]] ^= 85
    assert second_of(frames, tmp_path / "a", settings) == second_of(other, tmp_path / "b", settings)


def test_quality_is_that_of_what_each_frames_own_mask_leaves(tmp_path, masks):
    folder, known = masks
    frames = moving_picture(4, 18, 34)
    report = encode(frames, tmp_path / "a.snrv", replace(HALVES, mask=folder))
    with Decoder(tmp_path / "a.snrv", device="cpu") as decoder:
        figures = [psnr(a[shown], b[shown]) for a, b, shown in zip(frames, decoder, known, strict=True)]
    assert report.quality.psnr == pytest.approx(np.mean(figures))
    assert report.known == pytest.approx(known.mean())


def test_a_frame_left_out_at_a_border_is_the_one_before_it(clip, tmp_path):
    """Three frames are kept, in segments of two and one; between these nothing is blended."""
    report = encode(clip, tmp_path / "a.snrv", replace(QUICK, size="160k", holdout="even", segment=2))
    frames = read_video(clip).frames
    with Decoder(tmp_path / "a.snrv", device="cpu") as decoder:
        kept, dense = decoder[:], list(decoder.frames(range(5), rate=2))
    assert np.array_equal(dense[3], kept[1])
    assert not np.array_equal(dense[1], kept[0])
    assert report.interpolated.psnr == pytest.approx(np.mean([psnr(frames[i], dense[i]) for i in (1, 3)]))


def test_frames_at_a_border_inside_a_scene_are_fitted_more_often(tmp_path):
    """Where a scene ends with a segment, nothing is done."""
    frames = np.repeat(moving_picture(1, 48, 64) // 8, 12, axis=0)
    frames[8:] += 200
    borders = [job.borders for job in jobs_of(frames, tmp_path, replace(HALVES, size="500k", segment=4))]
    assert borders == [(False, True), (True, False), (False, False)]
