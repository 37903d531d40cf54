"""Evaluation of small clips against oracles in plain numpy; VMAF has its own tests."""

import json
import sys
import tracemalloc
from fractions import Fraction

import numpy as np
import pytest
from clips import moving_picture, write_clip

from snerv_codec import Decoder
from snerv_codec.bitstream.types import Color, VideoInfo
from snerv_codec.errors import InputError, OutputError, SettingsError
from snerv_codec.evaluation.evaluate import evaluate
from snerv_codec.events import Event, FrameDone, Warned
from snerv_codec.media.source import Selection
from snerv_codec.media.writer import open_writer


def noisy(frames, strength=12):
    error = np.random.default_rng(0).normal(0, strength, frames.shape)
    return np.clip(np.rint(frames + error), 0, 255).astype(np.uint8)


def write(path, frames, color=None):
    count, height, width = frames.shape[:3]
    info = VideoInfo(
        width, height, Fraction(1, 25), tuple(range(count)), 1, Fraction(25), color=color or Color(full_range=False)
    )
    with open_writer(path, info) as writer:
        for frame in frames:
            writer.write(frame)
    return path


def measure(reference, distorted, **selection):
    return evaluate(reference, distorted, selection=Selection(**selection), device="cpu", vmaf=False)


def psnrs(reference, distorted):
    errors = ((reference.astype(float) - distorted.astype(float)) ** 2).reshape(len(reference), -1).mean(1)
    return 10 * np.log10(255**2 / errors)


def luma_and_chroma(frames, red, blue, full):
    """Y, U and V by the matrix formula of ITU-T H.273, (T, H, W) each, rounded to 8 bits."""
    r, g, b = np.moveaxis(frames.astype(float), -1, 0)
    y = red * r + (1 - red - blue) * g + blue * b
    u, v = (b - y) / (2 - 2 * blue), (r - y) / (2 - 2 * red)
    scaled = (y, u + 128, v + 128) if full else (16 + y * 219 / 255, 128 + u * 224 / 255, 128 + v * 224 / 255)
    return [np.clip(np.rint(plane), 0, 255) for plane in scaled]


@pytest.fixture(scope="module")
def frames():
    return moving_picture(5, 37, 50)


@pytest.fixture(scope="module")
def reference(frames, tmp_path_factory):
    """The frames in a lossless file."""
    return write(tmp_path_factory.mktemp("reference") / "reference.mkv", frames)


def test_rgb_figures_are_means_over_frames_and_of_the_mean_error(frames, reference, tmp_path):
    other = frames.copy()
    for number, strength in enumerate((1, 3, 9, 27, 50)):
        other[number] = noisy(frames[number], strength)
    result = measure(reference, write(tmp_path / "other.mkv", other))
    assert result.per_frame["psnr"] == pytest.approx(psnrs(frames, other))
    assert result.summary["psnr"] == pytest.approx(psnrs(frames, other).mean())
    assert result.summary["psnr_of_mean_mse"] == pytest.approx(psnrs(frames[None], other[None])[0])
    assert result.summary["psnr_of_mean_mse"] < result.summary["psnr"] - 3
    assert result.summary["ssim"] == pytest.approx(np.mean(result.per_frame["ssim"]))
    assert (result.width, result.height, result.frames) == (50, 37, 5)


@pytest.mark.parametrize(
    ("color", "red", "blue", "name"),
    [
        (Color(full_range=False), 0.299, 0.114, "BT.601 limited"),  # untagged: as it is decoded
        (Color(matrix=1, full_range=False), 0.2126, 0.0722, "BT.709 limited"),
        (Color(matrix=1, full_range=True), 0.2126, 0.0722, "BT.709 full"),
        (Color(matrix=6, full_range=False), 0.299, 0.114, "BT.601 limited"),
        (Color(matrix=9, full_range=False), 0.2627, 0.0593, "BT.2020 limited"),
    ],
)
def test_yuv_figures_follow_the_matrix_and_range_of_the_reference(color, red, blue, name, tmp_path):
    clip = write(tmp_path / "clip.mp4", moving_picture(2, 36, 50), color)
    with_errors = noisy(decoded := read(clip))
    result = measure(clip, write(tmp_path / "other.mkv", with_errors))
    assert result.matrix == name
    planes = zip(
        "yuv",
        luma_and_chroma(decoded, red, blue, color.full_range),
        luma_and_chroma(with_errors, red, blue, color.full_range),
        strict=True,
    )
    close = 0.2 if color.full_range else 0.05  # dB; the scaler cuts chroma of full range off instead of rounding it
    for plane, mine, other in planes:
        if plane != "y":  # in 4:2:0
            mine, other = (each.reshape(len(each), 18, 2, 25, 2).mean((2, 4)) for each in (mine, other))
        assert result.per_frame[f"psnr_{plane}"] == pytest.approx(psnrs(mine, other), abs=close)
    y, u, v = (result.summary[f"psnr_{plane}"] for plane in "yuv")
    assert result.summary["psnr_yuv"] == pytest.approx((6 * y + u + v) / 8)


def read(path):
    from snerv_codec.media.reader import read_video

    return read_video(path).frames


@pytest.mark.parametrize("kind", ["other.mkv", "other", "other.y4m"])
@pytest.mark.parametrize("swapped", [False, True])
def test_every_kind_of_source_gives_the_same_figures_on_either_side(kind, swapped, frames, reference, tmp_path):
    other = write(tmp_path / kind, noisy(frames))
    result = measure(other, reference) if swapped else measure(reference, other)
    expected = psnrs(frames, read(other))
    assert result.per_frame["psnr"] == pytest.approx(expected)
    size = (reference if swapped else other).stat().st_size if (swapped or other.is_file()) else None
    assert result.bytes == size
    assert result.bpp == (None if size is None else pytest.approx(8 * size / (5 * 37 * 50)))


def test_equal_videos(reference):
    result = measure(reference, reference)
    assert set(result.per_frame["psnr"]) == {100}
    assert set(result.per_frame["mse"]) == {0}
    assert result.summary["psnr_yuv"] == 100
    assert result.summary["ssim"] == 1
    assert {"ms_ssim", "vmaf", "vmaf_low"}.isdisjoint(result.summary)


def test_ms_ssim_is_there_for_frames_that_are_large_enough(tmp_path):
    frames = moving_picture(2, 161, 170)
    result = measure(write(tmp_path / "a.mkv", frames), write(tmp_path / "b.mkv", noisy(frames)))
    assert len(result.per_frame["ms_ssim"]) == 2
    assert result.summary["ssim"] < result.summary["ms_ssim"] < 1


def test_a_snrv_file_measures_as_its_encoder_reported(clip, encoded):
    path, report = encoded
    result = measure(clip, path)
    assert result.summary["psnr"] == pytest.approx(report.quality.psnr)
    assert (result.bytes, result.bpp) == (report.bytes_total, pytest.approx(report.bpp))


def test_a_snrv_file_is_a_reference_too_with_a_selection_and_under_any_name(coded, tmp_path):
    with Decoder(coded, device="cpu") as decoder:
        part = decoder[1:4][:, 1:17, 3:31]
    other = write(tmp_path / "part.mkv", part)
    misnamed = tmp_path / "coded.mp4"
    misnamed.write_bytes(coded.read_bytes())
    for source in (coded, misnamed):
        assert measure(source, other, crop=(16, 28), frames=(1, 4)).summary["psnr"] == 100
    with pytest.raises(SettingsError, match="has 6 frames, not all of 4:7"):
        measure(coded, other, frames=(4, 7))
    with pytest.raises(SettingsError, match="crop 19x28 .* does not fit the frame, 18x34"):
        measure(coded, other, crop=(19, 28))


def test_the_selection_is_taken_of_the_reference_alone(frames, reference, tmp_path):
    part = write(tmp_path / "part.mkv", frames[2:4, 2:34, 5:45])
    result = measure(reference, part, crop=(32, 40), frames=(2, 4))
    assert result.summary["psnr"] == 100
    assert (result.width, result.height, result.frames) == (40, 32, 2)
    assert measure(reference, part, crop=(32, 40), frames=(1, 3)).summary["psnr"] < 50  # the wrong frames


def test_raw_samples_on_the_distorted_side_take_the_size_of_the_reference(frames, reference, tmp_path):
    raw = tmp_path / "other.yuv"
    raw.write_bytes(noisy(frames).tobytes())
    result = measure(reference, raw, pix_fmt="rgb24")
    assert result.per_frame["psnr"] == pytest.approx(psnrs(frames, noisy(frames)))


@pytest.mark.parametrize(
    ("shape", "selection", "message"),
    [
        ((5, 37, 48), {}, "other.mkv: is 48x37, and .*reference.mkv 50x37; .* give `crop` 37x48 "),
        ((5, 37, 50), {"crop": (32, 40)}, "is 50x37, and .* 40x32 after `crop` 32x40; `crop` applies to the reference"),
        ((5, 37, 51), {}, "is 51x37, and .*reference.mkv 50x37$"),
        ((5, 30, 40), {"crop": (32, 40)}, "is 40x30, and .*reference.mkv 40x32 after `crop` 32x40$"),
        ((3, 37, 50), {}, "other.mkv: has 3 frames, and .*reference.mkv 5; .* such as `frames` 0:3"),
        ((7, 37, 50), {}, "has 7 frames, and .*reference.mkv 5$"),
        ((5, 37, 50), {"frames": (1, 4)}, "has 5 frames, and .* 3 in `frames` 1:4; `frames` applies to the reference"),
        ((2, 37, 50), {"frames": (1, None)}, "has 2 frames, and .* 4 in `frames` 1:$"),
        ((5, 37, 50), {"frames": (2, 9)}, "reference.mkv: has 5 frames, not all of 2:9"),
    ],
)
@pytest.mark.parametrize("kind", ["other.mkv", "other.y4m"])
def test_differing_sizes_and_counts_are_told_with_both_numbers(shape, selection, message, kind, reference, tmp_path):
    other = write(tmp_path / kind, moving_picture(*shape))
    with pytest.raises(SettingsError, match=message.replace("other.mkv", kind)):
        measure(reference, other, **selection)


def test_what_is_no_video_is_named(reference, tmp_path):
    text = tmp_path / "text.mp4"
    text.write_text("not a video")
    for pair in ((reference, text), (text, reference)):
        with pytest.raises(InputError, match="text.mp4: not a video"):
            measure(*pair)
    with pytest.raises(InputError, match="gone.mp4: no such file"):
        measure(reference, tmp_path / "gone.mp4")
    with pytest.raises(SettingsError, match="only one of the two"):
        measure("-", "-")


def test_events_count_frames_and_say_what_is_missing(reference, tmp_path, monkeypatch):
    events: list[Event] = []
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    result = evaluate(reference, reference, on_event=events.append)
    assert [event.done for event in events if isinstance(event, FrameDone)] == [1, 2, 3, 4, 5]
    assert {(event.task, event.total) for event in events if isinstance(event, FrameDone)} == {("evaluate", 5)}
    (warning,) = (event for event in events if isinstance(event, Warned))
    assert "pip install 'snerv-codec[vmaf]'" in warning.message
    assert "vmaf" not in result.per_frame
    assert result.vmaf_model is None


def test_tiny_frames_have_no_vmaf(tmp_path):
    events: list[Event] = []
    clip = write(tmp_path / "tiny.mkv", moving_picture(1, 16, 16))
    assert "vmaf" not in evaluate(clip, clip, on_event=events.append).summary
    assert "VMAF needs frames of 32x32 or more" in events[0].message


def test_vmaf_goes_with_the_rest(frames, tmp_path):
    pytest.importorskip("imageio_ffmpeg", reason="VMAF needs imageio-ffmpeg, of the extra `vmaf`")
    reference = write(tmp_path / "a.mkv", frames, Color(full_range=False))
    result = evaluate(reference, write(tmp_path / "b.mkv", noisy(frames)))
    scores = np.array(result.per_frame["vmaf"])
    assert len(scores) == result.frames
    assert 0 < result.summary["vmaf"] == pytest.approx(scores.mean())
    assert result.summary["vmaf_harmonic"] == pytest.approx(1 / (1 / (scores + 1)).mean() - 1)
    assert scores.min() <= result.summary["vmaf_low"] <= np.sort(scores)[1]
    assert result.vmaf_model == "vmaf_v0.6.1"


def test_json_and_csv_hold_every_frame(frames, reference, tmp_path):
    result = measure(reference, write(tmp_path / "other.mkv", noisy(frames)))
    values = json.loads(json.dumps(result.to_json()))
    assert values["summary"] == result.summary
    assert values["per_frame"]["psnr"] == list(result.per_frame["psnr"])

    table = tmp_path / "figures.csv"
    result.write_csv(table)
    names, *rows = (line.split(",") for line in table.read_text().splitlines())
    assert names == ["frame", *result.per_frame]
    assert [row[0] for row in rows] == ["0", "1", "2", "3", "4"]
    assert [float(row[names.index("ssim")]) for row in rows] == list(result.per_frame["ssim"])
    with pytest.raises(OutputError, match="exists already"):
        result.write_csv(table)
    result.write_csv(table, overwrite=True)


def test_memory_does_not_grow_with_the_length(tmp_path):
    def peak(count):
        clip = write_clip(tmp_path / f"{count}.mp4", width=128, height=96, frames=count)
        tracemalloc.start()
        measure(clip, clip)
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    peak(2)  # whatever is loaded or made once
    assert peak(40) < peak(10) + 2 * 128 * 96 * 3
