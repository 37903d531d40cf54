"""Frames left out of the fit, and frames inserted between others."""

from dataclasses import replace
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
import torch
from clips import moving_picture, packets, write_clip
from conftest import QUICK

from snerv_codec import Decoder, decode, encode
from snerv_codec.bitstream.container import StreamFile, write_stream
from snerv_codec.bitstream.types import VideoInfo
from snerv_codec.cli.main import main
from snerv_codec.compression.packing import pack_segment, unpack_decoder, unpack_embeddings
from snerv_codec.compression.rounding import Plain
from snerv_codec.compression.values import values_of
from snerv_codec.decoding import SegmentPlayer, blend
from snerv_codec.errors import SettingsError
from snerv_codec.evaluation.metrics import psnr
from snerv_codec.media.reader import read_video
from snerv_codec.media.timeline import multiplied, odd_frames
from snerv_codec.model.decoder import to_pixels


def video(times, last, base=Fraction(1, 50)):
    return VideoInfo(34, 18, base, times, last, Fraction(25))


def test_thinning_keeps_times_and_duration():
    thin = odd_frames(video((0, 2, 4, 7), 2))
    assert (list(thin.timestamps), thin.final_duration, thin.rate) == ([0, 4], 5, Fraction(25, 2))
    assert list(odd_frames(video((0, 2, 4), 2)).timestamps) == [0, 4]
    assert list(odd_frames(video((3,), 2)).timestamps) == [3]
    assert thin.duration == video((0, 2, 4, 7), 2).duration


def test_multiplying_inserts_at_even_distances_and_keeps_the_duration():
    info = video((0, 2, 5), 2)
    dense = multiplied(info, 3)
    times = [time * dense.time_base * 50 for time in dense.timestamps]
    assert times == [0, Fraction(2, 3), Fraction(4, 3), 2, 3, 4, 5]
    assert (dense.duration, dense.rate) == (info.duration, 75)
    assert multiplied(info, 1) == info
    with pytest.raises(SettingsError, match="rate 0x is below 1x"):
        multiplied(info, 0)
    with pytest.raises(SettingsError, match="rate 900000000x: 900,000,001 frames are more than"):
        multiplied(video((0, 1), 1), 900_000_000)
    with pytest.raises(SettingsError, match="rate 1000x: time_base .* is not a positive ratio"):
        multiplied(video((0, 1), 1, Fraction(1, 1 << 30)), 1000)


def test_blending_is_linear_and_stands_still_at_the_end():
    values = torch.tensor([[0.0, 10.0], [1.0, 30.0]])
    rows = torch.tensor([0, 1, 2, 3, 4, 5])
    assert blend(values, rows, 4).tolist() == [[0, 10], [0.25, 15], [0.5, 20], [0.75, 25], [1, 30], [1, 30]]
    assert blend(values, torch.tensor([1, 0]), 1).tolist() == [[1, 30], [0, 10]]


@pytest.mark.parametrize("model", ["b", "t"])
def test_a_frame_between_two_is_decoded_from_blended_embeddings(tmp_path, model):
    source = write_clip(tmp_path / "in.mkv", width=34, height=18, frames=3)
    encode(source, tmp_path / "a.snrv", replace(QUICK, model=model, size="120k"))
    with StreamFile(tmp_path / "a.snrv") as file:
        segment = file.read_segment(0)
    network, (embeddings, ranges) = unpack_decoder(segment), unpack_embeddings(segment)
    middle = [(values[1:2] + values[2:3]) / 2 for values in embeddings]
    expected = to_pixels(network(middle, (ranges[1:2] + ranges[2:3]) / 2).frame)[0, :, :18, :34].permute(1, 2, 0)
    with Decoder(tmp_path / "a.snrv", device="cpu") as decoder:
        dense = list(decoder.frames(range(5), rate=2))
        for number in range(3):
            assert np.array_equal(dense[2 * number], decoder[number])
        (frame,) = decoder.frames(range(3, 4), rate=2)
    assert np.abs(frame.astype(int) - expected.numpy()).max() <= 1
    assert np.array_equal(frame, dense[3])
    assert not np.array_equal(frame, dense[2])


def test_a_segment_does_not_blend_with_the_next(coded, tmp_path):
    with StreamFile(coded) as file:
        stream = file.read_stream()
    segment = stream.segments[0]
    network, (embeddings, ranges) = unpack_decoder(segment), unpack_embeddings(segment)
    parts = [
        pack_segment(
            values_of(network, [values[start : start + 3] for values in embeddings]),
            Plain(),
            segment.config,
            ranges[start : start + 3],
            first_frame=start,
        )
        for start in (0, 3)
    ]
    (tmp_path / "two.snrv").write_bytes(write_stream(replace(stream, segments=tuple(parts))))
    with Decoder(tmp_path / "two.snrv", device="cpu") as decoder:
        dense = list(decoder.frames(range(11), rate=2))
    player = SegmentPlayer(parts[0], stream.video, torch.device("cpu"))
    assert np.array_equal(dense[:6], list(player.play(range(6), rate=2)))
    assert np.array_equal(dense[5], dense[4])
    assert not np.array_equal(dense[6], dense[5])


def test_decoding_at_twice_the_rate_keeps_time_and_sound(clip, coded, tmp_path):
    report = decode(coded, tmp_path / "again.mp4", rate=2, device="cpu")
    assert report.frames == 11
    before, after = read_video(clip).info, read_video(tmp_path / "again.mp4").info
    times = [time * before.time_base for time in before.timestamps]
    again = [time * after.time_base for time in after.timestamps]
    assert again[::2] == times
    assert again[1::2] == [(a + b) / 2 for a, b in pairwise(times)]
    assert after.rate > before.rate
    assert packets(tmp_path / "again.mp4", "audio") == packets(clip, "audio")


def test_part_of_a_video_at_three_times_the_rate(coded, tmp_path):
    assert main(["decode", str(coded), "-o", str(tmp_path / "out"), "--frames", "2:4", "--rate", "3x"]) == 0
    assert len(list((tmp_path / "out").iterdir())) == 4
    whole = read_video(tmp_path / "out").frames
    with Decoder(coded, device="cpu") as decoder:
        assert np.array_equal(whole[[0, 3]], decoder[2:4])


@pytest.mark.parametrize("rate", ["0", "2.5", "x", "-1"])
def test_rates_that_are_no_multiple_are_refused(coded, tmp_path, rate, capsys):
    assert main(["decode", str(coded), "-o", str(tmp_path / "out"), "--rate", rate]) == 2
    assert "2x" in capsys.readouterr().err


def test_frames_left_out_are_measured_as_the_file_interpolates_them(clip, tmp_path):
    coded = tmp_path / "odd.snrv"
    report = encode(clip, coded, replace(QUICK, holdout="even"))
    frames = read_video(clip).frames
    assert report.frames == 3
    with Decoder(coded, device="cpu") as decoder:
        assert len(decoder) == 3
        assert decoder.info.duration == read_video(clip).info.duration
        dense = list(decoder.frames(range(5), rate=2))
    assert report.quality.psnr == pytest.approx(np.mean([psnr(frames[i], dense[i]) for i in (0, 2, 4)]))
    assert report.interpolated.psnr == pytest.approx(np.mean([psnr(frames[i], dense[i]) for i in (1, 3)]))
    assert report.to_json()["interpolated"] == {"psnr": report.interpolated.psnr, "ms_ssim": None}


@pytest.mark.parametrize("frames", [1, 2])
def test_a_video_too_short_to_interpolate_can_be_thinned(tmp_path, frames):
    source = write_clip(tmp_path / "in.mkv", width=34, height=18, frames=frames)
    report = encode(source, tmp_path / "a.snrv", replace(QUICK, holdout="even"))
    assert (report.frames, report.interpolated) == (1, None)
    assert decode(tmp_path / "a.snrv", tmp_path / "again.mkv", rate=2, device="cpu").frames == 1


def test_the_clip_moves():
    """What these tests stand on: a frame between two is neither of them."""
    frames = moving_picture(3, 18, 34)
    assert psnr(frames[0], frames[1]) < 40
