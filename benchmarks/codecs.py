"""The codecs: each turns a clip into a file at one point of its curve, and the file into RGB frames again.

Anchors run in one ffmpeg binary (`benchmarks.ffmpeg`), B-frames on and one keyframe in all, as a `.snrv` file
of one segment has:

    x264-medium  x264-veryslow  x265-medium  x265-veryslow      the encoder's defaults, tuned for the eye
    the same with -psnr behind                                  -tune psnr
    svtav1-6  svtav1-2                                          presets of SVT-AV1 (PSNR is its default tune)
    vvenc-medium  vvenc-medium-psnr                             VVenC, with and without its perceptual QPs
    x265-papers-weak  x264-papers-weak                          what NeRV papers compare with: -bf 0, medium

`snerv` is what `snerv encode` does. Behind a colon it takes a preset, and settings of an encode by their names in
`EncodeSettings` and `FitSettings`: `snerv:preset=best,recipe=rd`, `snerv:epochs=60,prune=0`. Its points are sizes,
those of the anchors CRF or QP.
"""

import hashlib
import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Protocol, get_args, get_origin, get_type_hints

import av

from benchmarks import ffmpeg
from benchmarks.datasets import Dataset
from snerv_codec.errors import SettingsError
from snerv_codec.model.sizing import parse_size
from snerv_codec.runtime.machine import available_cores
from snerv_codec.settings import CODEC_REVISION, TARGETS, EncodeSettings
from snerv_codec.training.settings import FitSettings


@dataclass(frozen=True, slots=True)
class Times:
    """Seconds of a piece of work: on the clock, and of all processors together."""

    seconds: float
    cpu_seconds: float


@dataclass(frozen=True, slots=True)
class Coded:
    """A coded clip. `encode` is None where an interrupted run was resumed, and so not timed whole.

    `stream_bytes` are the video's packets alone, without the container; `library` is the encoder's own version.
    """

    path: Path
    encode: Times | None
    decode: Times
    threads: int
    stream_bytes: int
    keyframes: int
    library: str
    details: dict[str, Any]


class Codec(Protocol):
    """What the runner needs of a codec. `settings` and `version` decide whether a point is the same."""

    @property
    def name(self) -> str: ...

    @property
    def version(self) -> str: ...

    def points(self, dataset: Dataset) -> tuple[str, ...]:
        """The default points, from small files to large ones."""

    def settings(self, point: str) -> dict[str, Any]:
        """All that decides the file, apart from the frames."""

    def code(self, dataset: Dataset, point: str, target: Path) -> Coded:
        """Encode into `target` (its suffix is the codec's to choose), and time both ways."""

    def to_rgb(self, coded: Path, target: Path) -> Path:
        """A file whose frames are what `coded` decodes to in RGB: `coded` itself, or `target`."""


@dataclass(frozen=True, slots=True)
class Anchor:
    """An encoder in ffmpeg with its options; `quality` is the option that the points are values of."""

    name: str
    options: tuple[str, ...]
    quality: str
    ladder: tuple[int, ...]
    one_keyframe: bool = True

    @property
    def version(self) -> str:
        """The binary's, which pins every library inside."""
        return f"ffmpeg {ffmpeg.version()}"

    def points(self, dataset: Dataset) -> tuple[str, ...]:
        return tuple(f"{self.quality}{value}" for value in self.ladder)

    def settings(self, point: str) -> dict[str, Any]:
        return {"arguments": " ".join(self._arguments(point)), "conversion": ffmpeg.CONVERSION}

    def code(self, dataset: Dataset, point: str, target: Path) -> Coded:
        path, threads = target.with_name(target.name + ".mp4"), available_cores()
        source = ("-i", dataset.master_420(), "-threads", str(threads))
        encoding = ffmpeg.run(*source, *self._arguments(point), path)
        decoding = ffmpeg.run("-threads", str(threads), "-i", path, "-f", "null", "-")
        stream_bytes, keyframes, frames = _packets(path)
        if frames != dataset.frames or (self.one_keyframe and keyframes != 1):
            raise ffmpeg.EncodingFailed(f"{path.name}: {frames} frames with {keyframes} keyframes came out")
        return Coded(
            path=path,
            encode=Times(encoding.seconds, encoding.cpu_seconds),
            decode=Times(decoding.seconds, decoding.cpu_seconds),
            threads=threads,
            stream_bytes=stream_bytes,
            keyframes=keyframes,
            library=encoding.library(),
            details={},
        )

    def to_rgb(self, coded: Path, target: Path) -> Path:
        ffmpeg.run("-i", coded, *ffmpeg.TO_RGB, "-c:v", "ffv1", target)
        return target

    def _arguments(self, point: str) -> tuple[str, ...]:
        value = point.removeprefix(self.quality)
        if value == point or not value.isdigit():
            raise SettingsError(f"{self.name}: a point is written like {self.quality}28, not {point!r}")
        return (*self.options, f"-{self.quality}", value)


@dataclass(frozen=True, slots=True)
class Snerv:
    """This project's codec with settings by their names (`EncodeSettings.of`); the size comes with the point."""

    choices: Mapping[str, Any]
    name: str = "snerv"

    @property
    def version(self) -> str:
        """The codec's revision: files of another one are other points."""
        return f"snerv revision {CODEC_REVISION}"

    def points(self, dataset: Dataset) -> tuple[str, ...]:
        small = dataset.width * dataset.height * dataset.frames < 10_000_000
        return ("75k", "110k", "160k", "240k", "350k") if small else ("0.35M", "0.75M", "1.5M", "3M")

    def encode(self, point: str | None) -> EncodeSettings:
        """The settings at a point, resolved as those of everybody."""
        return EncodeSettings.of(**self.choices, size=point)

    def settings(self, point: str) -> dict[str, Any]:
        parse_size(point)  # a point is a size
        settings = self.encode(point)
        chosen = {field.name: getattr(settings, field.name) for field in fields(EncodeSettings)}
        fit, target = chosen.pop("fit"), chosen.pop("target")
        del chosen["source"]
        chosen["target"] = None if target is None else asdict(target)
        phases = [asdict(phase) for phase in settings.phases() if phase.epochs]
        return {**chosen, "size": point, **asdict(fit), "rate_weight": settings.rate_weight, "phases": phases}

    def code(self, dataset: Dataset, point: str, target: Path) -> Coded:
        import torch

        from snerv_codec import Decoder, encode

        settings = self.encode(point)
        same = json.dumps([self.settings(point), self.version])  # another fit must not be resumed
        path = target.with_name(f"{target.name}-{hashlib.sha256(same.encode()).hexdigest()[:12]}.snrv")
        resume = path.with_name(path.name + ".work").exists()
        with _timed() as encoding:
            report = encode(dataset.master, path, settings, overwrite=not resume, resume=resume)
        with _timed() as decoding, Decoder(path, device=settings.device) as decoder:
            for _ in decoder:
                pass
        return Coded(
            path=path,
            encode=None if resume else encoding[0],
            decode=decoding[0],
            threads=torch.get_num_threads(),
            stream_bytes=path.stat().st_size - report.bytes_tracks,
            keyframes=1,
            library="",
            details={key: value for key, value in report.to_json().items() if key not in ("source", "output")},
        )

    def to_rgb(self, coded: Path, target: Path) -> Path:
        return coded


# Settings that come with the clip or the point, or make another task of an encode.
ELSEWHERE = ("size", "source", "fit", "target", "holdout", "mask")


def find_codec(text: str) -> Codec:
    """The codec called `text`. Raises `SettingsError` for a name or a setting that does not exist."""
    name, colon, settings = text.partition(":")
    if name == "snerv":
        return Snerv(_read_choices(dict(item.partition("=")[::2] for item in settings.split(",") if item)))
    if name not in ANCHORS or colon:
        raise SettingsError(f"codec {text!r} is not one of {', '.join(ANCHORS)}, snerv, snerv:SETTING=VALUE,...")
    return ANCHORS[name]


def _read_choices(values: dict[str, str]) -> dict[str, Any]:
    """Settings from their texts, each read as what its field holds."""
    hints = {
        **get_type_hints(EncodeSettings),
        **get_type_hints(FitSettings),
        "preset": str,
        **dict.fromkeys(TARGETS, float),
    }
    known = [name for name in hints if name not in ELSEWHERE]
    chosen: dict[str, Any] = {}
    for key, text in values.items():
        if key not in known:
            raise SettingsError(f"snerv has no setting {key!r} here; there are {', '.join(known)}")
        try:
            chosen[key] = _read(text, hints[key])
        except (ValueError, KeyError) as error:
            raise SettingsError(f"snerv: {key}={text!r} is not a value of {hints[key]}") from error
    EncodeSettings.of(**chosen)  # which checks them
    return chosen


def _read(text: str, hint: Any) -> Any:
    """`text` as a value of the type `hint`: a number, a bool, integers with x between, or the text itself."""
    kinds = set(get_args(hint)) or {hint}
    if any(get_origin(kind) is tuple for kind in kinds):
        return tuple(int(part) for part in text.split("x"))
    if bool in kinds:
        return {"true": True, "false": False}[text.lower()]
    for kind in (int, float):
        if kind in kinds:
            return kind(text)
    return text


def _packets(path: Path) -> tuple[int, int, int]:
    """Bytes of the video's packets, how many of them are keyframes, and how many there are."""
    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
    return sum(packet.size for packet in packets), sum(packet.is_keyframe for packet in packets), len(packets)


@contextmanager
def _timed() -> Iterator[list[Times]]:
    """A list that holds the time of the block after its end."""
    times: list[Times] = []
    start, cpu_start = time.perf_counter(), time.process_time()
    yield times
    times.append(Times(time.perf_counter() - start, time.process_time() - cpu_start))


# Neither the muxer's nor (in the lines of x264 and x265) the encoder's signature: on short clips they weigh.
_LEAN = ("-fflags", "+bitexact")


def _anchors() -> dict[str, Anchor]:
    """The table of anchors, by name."""
    crf, av1_crf, vvc_qp = tuple(range(10, 51, 4)), tuple(range(4, 61, 8)), tuple(range(12, 58, 5))
    one_264 = ("-g", "999999", "-sc_threshold", "0", "-bsf:v", "filter_units=remove_types=6", *_LEAN)
    one_265 = ("-x265-params", "keyint=-1:scenecut=0:info=0", *_LEAN)
    table = []
    for preset in ("medium", "veryslow"):
        for tuned, tune in (("", ()), ("-psnr", ("-tune", "psnr"))):
            x264: tuple[str, ...] = ("-c:v", "libx264", "-preset", preset, *tune, *one_264)
            x265: tuple[str, ...] = ("-c:v", "libx265", "-preset", preset, *tune, *one_265)
            table += [
                Anchor(f"x264-{preset}{tuned}", x264, "crf", crf),
                Anchor(f"x265-{preset}{tuned}", x265, "crf", crf),
            ]
    for preset in ("6", "2"):
        options: tuple[str, ...] = ("-c:v", "libsvtav1", "-preset", preset, "-svtav1-params", "keyint=-1", *_LEAN)
        table.append(Anchor(f"svtav1-{preset}", options, "crf", av1_crf))
    for tuned, perceptual in (("", "1"), ("-psnr", "0")):
        options = ("-c:v", "libvvenc", "-preset", "medium", "-qpa", perceptual, "-period", "1000", *_LEAN)
        table.append(Anchor(f"vvenc-medium{tuned}", (*options, "-pix_fmt", "yuv420p10le"), "qp", vvc_qp))
    for encoder in ("x264", "x265"):
        options = ("-c:v", f"lib{encoder}", "-preset", "medium", "-bf", "0")
        table.append(Anchor(f"{encoder}-papers-weak", options, "crf", crf, one_keyframe=False))
    return {anchor.name: anchor for anchor in table}


ANCHORS = _anchors()
