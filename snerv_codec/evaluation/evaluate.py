"""How close a distorted video is to its reference, frame by frame."""

import csv
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any

from snerv_codec.errors import ResourceError
from snerv_codec.evaluation.metrics import (
    bits_per_pixel,
    harmonic_mean,
    low_percentile,
    mse,
    psnr_of_mse,
    psnr_planes,
    psnr_yuv,
    similarities,
)
from snerv_codec.evaluation.pairing import Pair, Side, open_pair
from snerv_codec.evaluation.rivals import video_bytes
from snerv_codec.evaluation.vmaf import MIN_SIDE as VMAF_MIN_SIDE
from snerv_codec.evaluation.vmaf import VmafMeter, find_ffmpeg, open_vmaf
from snerv_codec.events import Event, FrameDone, Warned
from snerv_codec.media.color import Converter, matrix_name
from snerv_codec.media.source import Selection
from snerv_codec.runtime.files import atomic_path
from snerv_codec.runtime.machine import memory_refused

OnEvent = Callable[[Event], None]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Figures of all frames and their means.

    `per_frame` has "psnr" and "mse" (RGB), "psnr_y", "psnr_u", "psnr_v", "ssim", and where the frame's size and
    the machine allow "ms_ssim" and "vmaf". `summary` has their means (of "psnr" the mean of the frames' PSNRs),
    "psnr_of_mean_mse", "psnr_yuv" = (6Y + U + V) / 8, "vmaf_harmonic" and "vmaf_low" (the first percentile).
    PSNRs are in dB, at most 100. `matrix` names what converted RGB to Y, U and V, which are compared in 4:2:0.
    `bytes` and `bpp` are those of the distorted file, None for a folder or a pipe; `video_bytes` and `video_bpp` leave
    sound and subtitles out. `source_size` is the reference's (height, width) before a crop.
    """

    reference: str
    distorted: str
    width: int
    height: int
    frames: int
    bytes: int | None
    bpp: float | None
    video_bytes: int | None
    video_bpp: float | None
    source_size: tuple[int, int]
    per_frame: dict[str, Sequence[float]]
    summary: dict[str, float]
    matrix: str
    vmaf_model: str | None = None
    vmaf_version: str | None = None

    def to_json(self) -> dict[str, Any]:
        """A JSON object with one entry a field."""
        # Arrays are nothing that JSON knows.
        columns = {name: list(figures) for name, figures in self.per_frame.items()}
        return {**asdict(replace(self, per_frame={})), "per_frame": columns}

    def write_csv(self, path: str | Path, *, overwrite: bool = False) -> None:
        """Write a line a frame: its number and figures. Raises `OutputError`."""
        with atomic_path(Path(path), overwrite=overwrite) as beside, beside.open("w", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(["frame", *self.per_frame])
            writer.writerows(zip(range(self.frames), *self.per_frame.values(), strict=True))


@memory_refused("evaluating", "crop the video (`crop`) or use a machine with more memory")
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
    with open_pair(reference, distorted, selection or Selection(), device) as pair:
        with _open_meter(pair.reference, vmaf, on_event) as meter:
            per_frame = _measure(pair, meter, on_event)
            scored = meter.result() if meter else None
        width, height, yuv = pair.reference.width, pair.reference.height, pair.reference.yuv
        source_size = pair.reference.source_size
    if scored:
        per_frame["vmaf"] = scored.scores
    count, path = len(per_frame["psnr"]), Path(distorted)
    size, video = (path.stat().st_size, video_bytes(path)) if path.is_file() else (None, None)
    return Evaluation(
        reference=str(reference),
        distorted=str(distorted),
        width=width,
        height=height,
        frames=count,
        bytes=size,
        bpp=None if size is None else bits_per_pixel(size, width, height, count),
        video_bytes=video,
        video_bpp=None if video is None else bits_per_pixel(video, width, height, count),
        source_size=source_size,
        per_frame=per_frame,
        summary=_summarise(per_frame),
        matrix=matrix_name(yuv),
        vmaf_model=scored.model if scored else None,
        vmaf_version=scored.version if scored else None,
    )


@contextmanager
def _open_meter(side: Side, wanted: bool, on_event: OnEvent) -> Iterator[VmafMeter | None]:
    ffmpeg, reason = None, ""
    if wanted and min(side.width, side.height) < VMAF_MIN_SIDE:
        reason = f"VMAF needs frames of {VMAF_MIN_SIDE}x{VMAF_MIN_SIDE} or more"
    elif wanted:
        try:
            ffmpeg = find_ffmpeg()
        except ResourceError as error:
            reason = str(error)
    if reason:
        on_event(Warned(f"{reason}; the rest is measured"))
    with open_vmaf(side.width, side.height, ffmpeg) if ffmpeg else nullcontext() as meter:
        yield meter


def _measure(pair: Pair, meter: VmafMeter | None, on_event: OnEvent) -> dict[str, Sequence[float]]:
    """All figures of all frames but VMAF, on which `meter` works meanwhile."""
    color, converter, expected = pair.reference.yuv, Converter(), pair.expected or 0
    vmaf_color = replace(color, full_range=False)  # what its model was trained on
    columns: dict[str, array[float]] = {}  # eight bytes a figure, as films are long
    for frames in pair:
        if meter:
            meter.add(*(converter.to_planes(frame, vmaf_color) for frame in frames))
        error, (similarity, multiscale) = mse(*frames), similarities(*frames)
        y, u, v = psnr_planes(*(converter.to_planes(frame, color) for frame in frames))
        row = {"psnr": psnr_of_mse(error), "mse": error, "psnr_y": y, "psnr_u": u, "psnr_v": v, "ssim": similarity}
        if multiscale is not None:
            row["ms_ssim"] = multiscale
        for name, figure in row.items():
            columns.setdefault(name, array("d")).append(figure)
        on_event(FrameDone("evaluate", len(columns["psnr"]), expected))
    return dict(columns)


def _summarise(per_frame: Mapping[str, Sequence[float]]) -> dict[str, float]:
    means = {name: fmean(values) for name, values in per_frame.items() if name != "mse"}
    means["psnr_of_mean_mse"] = psnr_of_mse(fmean(per_frame["mse"]))
    means["psnr_yuv"] = psnr_yuv(means["psnr_y"], means["psnr_u"], means["psnr_v"])
    if "vmaf" in per_frame:
        means["vmaf_harmonic"] = harmonic_mean(per_frame["vmaf"])
        means["vmaf_low"] = low_percentile(per_frame["vmaf"])
    return means
