"""How close a distorted video is to its reference, frame by frame."""

import csv
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import asdict, dataclass, replace
from itertools import zip_longest
from pathlib import Path
from statistics import fmean
from typing import Any

from bitstream.sections import SIGNATURE
from bitstream.types import Color
from snerv_codec.errors import ResourceError, SettingsError
from snerv_codec.events import Event, FrameDone, Warned
from snerv_codec.files import atomic_path
from snerv_codec.media.color import BT709_LIMITED, Converter, matrix_name, measured_in
from snerv_codec.media.reader import Selection, centred, open_video
from snerv_codec.metrics import (
    Frames,
    bits_per_pixel,
    harmonic_mean,
    low_percentile,
    mse,
    psnr_of_mse,
    psnr_yuv,
    similarities,
)
from snerv_codec.vmaf import MIN_SIDE as VMAF_MIN_SIDE
from snerv_codec.vmaf import VmafMeter, find_ffmpeg, open_vmaf

OnEvent = Callable[[Event], None]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Figures of all frames and their means.

    `per_frame` has "psnr" and "mse" (RGB), "psnr_y", "psnr_u", "psnr_v", "ssim", and where the frame's size and
    the machine allow "ms_ssim" and "vmaf". `summary` has their means (of "psnr" the mean of the frames' PSNRs),
    "psnr_of_mean_mse", "psnr_yuv" = (6Y + U + V) / 8, "vmaf_harmonic" and "vmaf_low" (the first percentile).
    PSNRs are in dB, at most 100. `matrix` names what converted RGB to Y, U and V, at full chroma resolution.
    `bytes` and `bpp` are None for a folder or a pipe.
    """

    reference: str
    distorted: str
    width: int
    height: int
    frames: int
    bytes: int | None
    bpp: float | None
    per_frame: dict[str, tuple[float, ...]]
    summary: dict[str, float]
    matrix: str
    vmaf_model: str | None = None
    vmaf_version: str | None = None

    def to_json(self) -> dict[str, Any]:
        """A JSON object with one entry a field."""
        return asdict(self)

    def write_csv(self, path: str | Path, *, overwrite: bool = False) -> None:
        """Write a line a frame: its number and figures. Raises `OutputError`."""
        with atomic_path(Path(path), overwrite=overwrite) as beside, beside.open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["frame", *self.per_frame])
            writer.writerows(zip(range(self.frames), *self.per_frame.values(), strict=True))


def evaluate(
    reference: str | Path,
    distorted: str | Path,
    *,
    selection: Selection | None = None,
    device: str = "auto",
    vmaf: bool = True,
    on_event: OnEvent = lambda event: None,
) -> Evaluation:
    """Measure `distorted` against `reference`; each a video, a `.snrv` file, a folder of images, raw .yuv, or "-".

    `selection` applies to the reference alone, as in `encode`. Frames are read one at a time. Without ffmpeg, or
    for tiny frames, VMAF is left out and an event says so. Raises `SettingsError` where sizes or frame counts
    differ, and `UserError` and `BitstreamError` for sources that cannot be read.
    """
    selection = selection or Selection()
    if str(reference) == str(distorted) == "-":
        raise SettingsError("only one of the two videos can come from standard input")
    with ExitStack() as stack:
        left = stack.enter_context(_open_side(reference, selection, device))
        # raw samples do not tell their size: it must be the reference's
        raw = Selection(video_size=(left.width, left.height), pix_fmt=selection.pix_fmt)
        right = stack.enter_context(_open_side(distorted, raw, device))
        if (left.width, left.height) != (right.width, right.height):
            raise _sizes_differ(left, right)
        meter = stack.enter_context(_open_meter(left, vmaf, on_event))
        per_frame = _measure(left, right, meter, on_event)
        scored = meter.result() if meter else None
    if scored:
        per_frame["vmaf"] = scored.scores
    count, size = len(per_frame["psnr"]), _size(distorted)
    return Evaluation(
        reference=str(reference),
        distorted=str(distorted),
        width=left.width,
        height=left.height,
        frames=count,
        bytes=size,
        bpp=None if size is None else bits_per_pixel(size, left.width, left.height, count),
        per_frame=per_frame,
        summary=_summarise(per_frame),
        matrix=matrix_name(measured_in(left.color)),
        vmaf_model=scored.model if scored else None,
        vmaf_version=scored.version if scored else None,
    )


@dataclass(frozen=True, slots=True)
class _Side:
    """One of the two videos while it is read."""

    source: str | Path
    selection: Selection
    height: int
    width: int
    source_size: tuple[int, int]  # (height, width) before the crop
    color: Color
    expected: int | None
    frames: Iterator[Frames]
    count: Callable[[], int]  # how many frames there are; reads what is left


@contextmanager
def _open_side(source: str | Path, selection: Selection, device: str) -> Iterator[_Side]:
    if _is_snrv(source):
        with _open_snrv(source, selection, device) as side:
            yield side
        return
    with open_video(source, selection, tracks=False) as stream:

        def count() -> int:
            stream.skip()
            return stream.count

        size, facts = stream.source_size, (stream.color, stream.expected, iter(stream), count)
        yield _Side(source, selection, stream.height, stream.width, size, *facts)


@contextmanager
def _open_snrv(source: str | Path, selection: Selection, device: str) -> Iterator[_Side]:
    from snerv_codec.decoding import Decoder

    with Decoder(source, device=device) as decoder:
        info = decoder.info
        start, stop = selection.frames or (0, None)
        numbers = range(start, info.frame_count if stop is None else stop)
        if not 0 <= start < numbers.stop <= info.frame_count:
            raise SettingsError(f"{source}: has {info.frame_count} frames, not all of {start}:{stop or ''}")
        height, width = selection.crop or (info.height, info.width)
        if height > info.height or width > info.width:
            raise SettingsError(f"crop {height}x{width} (height x width) exceeds the frame, {info.height}x{info.width}")
        rows, columns = centred(info.height, info.width, (height, width))
        frames = (frame[rows, columns] for frame in decoder.frames(numbers))
        size, count = (info.height, info.width), len(numbers)
        yield _Side(source, selection, height, width, size, info.color, count, frames, lambda: count)


def _is_snrv(source: str | Path) -> bool:
    """By its name, or by its first bytes whatever its name."""
    path = Path(source)
    if path.suffix.lower() == ".snrv":
        return True
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(len(SIGNATURE)) == SIGNATURE


@contextmanager
def _open_meter(side: _Side, wanted: bool, on_event: OnEvent) -> Iterator[VmafMeter | None]:
    ffmpeg, reason = None, ""
    if wanted and min(side.width, side.height) < VMAF_MIN_SIDE:
        reason = f"it needs frames of {VMAF_MIN_SIDE}x{VMAF_MIN_SIDE} or more"
    elif wanted:
        try:
            ffmpeg = find_ffmpeg()
        except ResourceError as error:
            reason = str(error)
    if reason:
        on_event(Warned(f"VMAF is left out: {reason}"))
    with open_vmaf(side.width, side.height, ffmpeg) if ffmpeg else nullcontext() as meter:
        yield meter


def _measure(left: _Side, right: _Side, meter: VmafMeter | None, on_event: OnEvent) -> dict[str, tuple[float, ...]]:
    """All figures of all frames but VMAF, which `meter` takes meanwhile."""
    total, color, converter = left.expected or right.expected or 0, measured_in(left.color), Converter()
    rows: list[dict[str, float]] = []
    for reference, distorted in zip_longest(left.frames, right.frames):
        if reference is None or distorted is None:
            raise _counts_differ(left, right)
        if meter:  # first, so that it works while we do
            in_range = replace(color, full_range=BT709_LIMITED.full_range)
            meter.add(converter.to_planes(reference, in_range), converter.to_planes(distorted, in_range))
        error, (similarity, multiscale) = mse(reference, distorted), similarities(reference, distorted)
        planes = zip(converter.to_planes(reference, color), converter.to_planes(distorted, color), strict=True)
        y, u, v = (psnr_of_mse(mse(*pair)) for pair in planes)
        row = {"psnr": psnr_of_mse(error), "mse": error, "psnr_y": y, "psnr_u": u, "psnr_v": v, "ssim": similarity}
        rows.append(row if multiscale is None else row | {"ms_ssim": multiscale})
        on_event(FrameDone("evaluate", len(rows), max(total, len(rows)) if total else 0))
    return {name: tuple(row[name] for row in rows) for name in rows[0]}


def _summarise(per_frame: dict[str, tuple[float, ...]]) -> dict[str, float]:
    means = {name: fmean(values) for name, values in per_frame.items() if name != "mse"}
    means["psnr_of_mean_mse"] = psnr_of_mse(fmean(per_frame["mse"]))
    means["psnr_yuv"] = psnr_yuv(means["psnr_y"], means["psnr_u"], means["psnr_v"])
    if "vmaf" in per_frame:
        means["vmaf_harmonic"] = harmonic_mean(per_frame["vmaf"])
        means["vmaf_low"] = low_percentile(per_frame["vmaf"])
    return means


def _size(source: str | Path) -> int | None:
    path = Path(source)
    return path.stat().st_size if path.is_file() else None


def _sizes_differ(left: _Side, right: _Side) -> SettingsError:
    crop, size = left.selection.crop, (right.height, right.width)
    after = f" after --crop {crop[0]}x{crop[1]}" if crop else ""
    if crop and size == left.source_size:
        advice = "; --crop applies to the reference alone: crop the distorted video too, or leave --crop out"
    elif not crop and size[0] <= left.height and size[1] <= left.width:
        advice = f"; if it was made from a crop, give --crop {size[0]}x{size[1]} (height x width)"
    else:
        advice = ""
    return SettingsError(
        f"{right.source}: is {right.width}x{right.height}, and {left.source} {left.width}x{left.height}{after}{advice}"
    )


def _counts_differ(left: _Side, right: _Side) -> SettingsError:
    frames, here, there = left.selection.frames, left.count(), right.count()
    after = f" in --frames {frames[0]}:{'' if frames[1] is None else frames[1]}" if frames else ""
    if frames and there == _whole_count(left):
        advice = "; --frames applies to the reference alone: cut the distorted video too, or leave --frames out"
    elif not frames and there < here:
        advice = f"; if it was made from a part, give its frames, such as --frames 0:{there}"
    else:
        advice = ""
    return SettingsError(f"{right.source}: has {there} frames, and {left.source} {here}{after}{advice}")


def _whole_count(side: _Side) -> int | None:
    """Frames of the source before the selection; None for a pipe, which is gone."""
    if str(side.source) == "-":
        return None
    with _open_side(side.source, replace(side.selection, frames=None), "cpu") as whole:
        return whole.count()
