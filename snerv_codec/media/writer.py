"""Frames out: H.264 in MP4, lossless FFV1 in Matroska, y4m, or PNG files."""

import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any, Protocol

import av
import av.error
import av.filter
import av.stream
import numpy as np
from av.codec.context import Flags

from snerv_codec.bitstream.extras import NO_EXTRAS, Extras
from snerv_codec.bitstream.types import MAX_TRACKS, Color, SideTrack, VideoInfo
from snerv_codec.errors import OutputError, SettingsError
from snerv_codec.media import color
from snerv_codec.media.interlacing import NUMBERS, PARITY
from snerv_codec.media.labels import some, titled
from snerv_codec.media.picture import Pixels
from snerv_codec.media.rehearsal import held, lost, lost_end, lost_words, muxer_for, put
from snerv_codec.media.tracks import MAX_SECONDS, TEE, TO_MATROSKA, TrackWriter
from snerv_codec.runtime.files import atomic_path, describe_os_error

H264, FFV1, Y4M, STILL = (".mp4", ".mov"), (".mkv",), (".y4m",), (".png",)
KINDS = (*H264, *FFV1, *Y4M, *STILL)
SUFFIXES = {"mp4": ".mp4", "mov": ".mov", "matroska": ".mkv", TEE: ".mkv"}
SPECIAL, ESCAPED = re.compile(r"[\\'|\s]"), r"\\\g<0>"  # characters in a name for FFmpeg's tee
VISUALLY_LOSSLESS_CRF = 12
EDIT_TICKS = "90000"  # a second, in which MP4 tells when a track starts; by default they are too few for sound
FIELDS = {"progressive": "p", "top": "t", "bottom": "b"}  # in the header of y4m
DEFAULT_PRESET = "medium"
PRESETS = ("ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow")


class FrameWriter(Protocol):
    """Takes frames in order; `warnings` says what the output could not hold."""

    warnings: list[str]

    def write(self, frame: Pixels) -> None:
        """Write the next frame, uint8 RGB (H, W, 3)."""


@contextmanager
def open_writer(
    output: str | Path,
    info: VideoInfo,
    *,
    tracks: Sequence[SideTrack] = (),
    extras: Extras = NO_EXTRAS,
    crf: int | None = None,
    preset: str | None = None,
    overwrite: bool = False,
) -> Iterator[FrameWriter]:
    """A writer of `info`'s frames to `output`; the file appears when all of it was written.

    The suffix decides: .mp4 and .mov (H.264 at `crf`, visually lossless by default; 4:2:0, or 4:4:4 for odd
    sizes), .mkv (FFV1, exactly the RGB given), .y4m and "-" (4:4:4 samples, on standard output), .png (one
    frame), none (a folder of PNGs). In .mp4, .mov and .mkv times count from the first frame or sound, whichever is
    first. Raises `OutputError`, or `SettingsError` for options that the kind does not have.
    """
    kind = Path(output).suffix.lower()
    if (crf is not None or preset is not None) and kind not in H264:
        raise SettingsError(f"`crf` and `preset` are for {' and '.join(H264)}, not for {output}")
    if crf is not None and not 0 <= crf <= 51:
        raise SettingsError(f"crf {crf} is not in 0..51")
    if preset is not None and preset not in PRESETS:
        raise SettingsError(f"preset {preset!r} is not one of {', '.join(PRESETS)}")
    try:
        if str(output) == "-":
            if sys.stdout is None:
                raise OutputError("standard output is closed; pipe it somewhere, or give a file")
            yield _Y4m(sys.stdout.buffer, info)
            sys.stdout.buffer.flush()
            return
        with atomic_path(Path(output), overwrite=overwrite, folder=kind == "") as beside:
            if kind == "":
                yield _Images(beside, info)
                return
            if kind in STILL:
                if info.frame_count > 1:
                    raise OutputError(
                        f"{output}: a picture is one frame, and {info.frame_count} are selected; "
                        "select one with `frames` 7, or give a folder"
                    )
                yield _Picture(beside)
                return
            if kind not in KINDS:
                raise OutputError(f"{output}: unknown kind {kind}; use .mp4, .mov, .mkv, .y4m, .png, or a folder")
            with _container(beside, kind, info, tracks, extras, crf, preset) as writer:
                yield writer
    except av.error.FFmpegError as error:
        raise describe_os_error(output, error) from error


def write_image(path: Path, pixels: Pixels, *, overwrite: bool = False) -> None:
    """Write uint8 RGB (H, W, 3) as a PNG. Raises `OutputError`, for an older file too unless `overwrite`."""
    with atomic_path(path, overwrite=overwrite) as beside:
        beside.write_bytes(png_bytes(pixels))


class _Y4m:
    """4:4:4 samples with a text header: what pipes between programs take.

    They are in the video's own matrix, as programs that measure samples expect, though no tag can tell which.
    """

    def __init__(self, file: Any, info: VideoInfo) -> None:
        self.warnings: list[str] = []
        if _uneven(info):
            self.warnings.append(f"frame times are uneven and y4m has none: {info.rate} frames/s assumed")
        if color.matrix_of(info.color) != color.matrix_of(Color()):
            name = color.matrix_name(color.measured_in(info.color, info.chroma))
            self.warnings.append(f"the samples are {name}, which y4m has no tag for")
        self._file, self._color, self._converter = file, info.color, color.Converter()
        rate, aspect = info.rate, info.pixel_aspect
        levels = "FULL" if info.color.full_range else "LIMITED"
        header = (
            f"YUV4MPEG2 W{info.width} H{info.height} F{rate.numerator}:{rate.denominator} I{FIELDS[info.scan]} "
            f"A{aspect.numerator}:{aspect.denominator} C444 XCOLORRANGE={levels}\n"
        )
        file.write(header.encode())

    def write(self, frame: Pixels) -> None:
        samples = self._converter.from_rgb(frame, "yuv444p", self._color).to_ndarray()
        self._file.write(b"FRAME\n" + samples.tobytes())


class _Images:
    """One PNG a frame."""

    def __init__(self, folder: Path, info: VideoInfo) -> None:
        self.warnings: list[str] = []
        self._folder, self._number = folder, 0
        self._digits = max(5, len(str(info.frame_count)))
        if info.scan != "progressive":
            self.warnings.append(f"frames are interlaced, {info.scan} field first, which PNG has no flag for")

    def write(self, frame: Pixels) -> None:
        (self._folder / f"frame_{self._number:0{self._digits}}.png").write_bytes(png_bytes(frame))
        self._number += 1


class _Picture:
    """One PNG of the only frame."""

    def __init__(self, path: Path) -> None:
        self.warnings: list[str] = []
        self._path = path

    def write(self, frame: Pixels) -> None:
        self._path.write_bytes(png_bytes(frame))


class _Container:
    """Video and side tracks in MP4, MOV or Matroska."""

    def __init__(
        self, container: Any, stream: Any, info: VideoInfo, tracks: Sequence[SideTrack], extras: Extras
    ) -> None:
        self.warnings: list[str] = []
        start = _start(info, tracks)
        self._container, self._stream, self._info = container, stream, info
        self._converter, self._color, self._number = color.Converter(), color.written(info.color, info.chroma), 0
        self._shift = round(start / info.time_base)
        self._flagging = _flagging(stream, info)
        if stream.name == "ffv1" and info.pixel_aspect != 1:
            self.warnings.append(f"pixel aspect {info.pixel_aspect}: players that look for it in the .mkv miss it")
        suffix = SUFFIXES[container.format.name]
        kept = held(container.format.name, extras, info.rate, round(start * 10**9))
        if missing := lost(extras, kept):
            self.warnings.append(f"left out, as {suffix} cannot hold it: {some(missing)}")
        self._tracks = list(self._added(tracks, suffix))
        put(container, kept)

    def _added(self, tracks: Sequence[SideTrack], suffix: str) -> Iterator[TrackWriter]:
        """Writers of the tracks that the container takes; what is lost of them is noted."""
        if len(tracks) > MAX_TRACKS:  # FFmpeg ends at a thousand streams, and PyAV with it
            self.warnings.append(f"{len(tracks) - MAX_TRACKS} tracks left out: {MAX_TRACKS} are written at most")
        for track in tracks[:MAX_TRACKS]:
            try:
                yield TrackWriter(self._container, track, self._shift * self._info.time_base)
            except (ValueError, av.error.FFmpegError) as error:
                reason = getattr(error, "strerror", None) or error
                self.warnings.append(f"{titled(track)} left out: {reason}")
                continue
            if words := [*lost_words(suffix, track), *lost_end(suffix, track)]:
                self.warnings.append(f"{titled(track)}: {suffix} does not keep {', '.join(words)}")

    def write(self, frame: Pixels) -> None:
        info, number = self._info, self._number
        time = info.timestamps[number] - self._shift
        for track in self._tracks:
            track.write_until(time * info.time_base)
        converted = self._converter.from_rgb(frame, self._stream.pix_fmt, self._color)
        converted.pts, converted.time_base = time, info.time_base
        last = number + 1 == info.frame_count
        converted.duration = info.final_duration if last else info.timestamps[number + 1] - info.timestamps[number]
        if self._flagging:
            self._flagging.push(converted)
            converted = self._flagging.pull()
        self._container.mux(self._stream.encode(converted))
        self._number += 1

    def finish(self) -> None:
        """Flush the encoder and the rest of the tracks."""
        self._container.mux(self._stream.encode())
        for track in self._tracks:
            track.write_until(None)


@contextmanager
def _container(
    path: Path,
    kind: str,
    info: VideoInfo,
    tracks: Sequence[SideTrack],
    extras: Extras,
    crf: int | None,
    preset: str | None,
) -> Iterator[FrameWriter]:
    if kind in Y4M:
        with path.open("wb") as file:
            yield _Y4m(file, info)
        return
    times = (info.timestamps[0], info.timestamps[-1], info.final_duration)
    if max(map(abs, times)) * info.time_base > MAX_SECONDS:
        raise OutputError(f"frame times beyond {MAX_SECONDS} seconds fit no {kind}; use .y4m or a folder for PNGs")
    if kind in H264 and _longest_ticks(info) >= 1 << 31:
        raise OutputError(f"a frame is shown for too long for {kind}; use .mkv, .y4m or a folder for PNGs")
    options = {"movflags": "+faststart", "movie_timescale": EDIT_TICKS} if kind in H264 else {}
    muxer = muxer_for(kind, tracks)
    target = f"file:{path}" if muxer != TEE else f"{TO_MATROSKA}{SPECIAL.sub(ESCAPED, str(path))}"
    with av.open(target, "w", format=muxer, options=options) as container:
        stream = _add_video(container, kind, info, crf, preset)
        _tell_light(stream, extras)
        writer = _Container(container, stream, info, tracks, extras)
        yield writer
        writer.finish()


def _add_video(container: Any, kind: str, info: VideoInfo, crf: int | None, preset: str | None) -> Any:
    stream = container.add_stream("libx264" if kind in H264 else "ffv1", rate=info.rate)
    stream.width, stream.height = info.width, info.height
    if kind in H264:
        even = info.width % 2 == 0 and info.height % 2 == 0  # 4:2:0 halves both sides
        stream.pix_fmt = "yuv420p" if even else "yuv444p"
        quality = VISUALLY_LOSSLESS_CRF if crf is None else crf
        stream.options = {"crf": str(quality), "preset": preset or DEFAULT_PRESET}
        stream.codec_context.thread_type = "FRAME"  # slices, PyAV's default, cost bits on machines of many cores
        if info.scan != "progressive":
            stream.options["x264-params"] = "tff=1" if info.scan == "top" else "bff=1"
        if _uneven(info):
            stream.options["bf"] = "0"  # MP4 gets the durations of reordered frames wrong
    else:
        stream.pix_fmt = "bgr0"
        stream.options = {"level": "3", "slicecrc": "1"}
    stream.disposition = av.stream.Disposition.default
    context = stream.codec_context
    context.time_base = stream.time_base = info.time_base
    context.framerate = info.rate
    context.flags |= Flags.frame_duration  # ours, not the rate's: the last frame may stay longer
    context.sample_aspect_ratio = info.pixel_aspect
    tags = color.written(info.color, info.chroma)
    context.color_primaries, context.color_trc = tags.primaries, tags.transfer
    if stream.pix_fmt != "bgr0":
        context.colorspace = tags.matrix
        context.color_range = color.range_number(tags)
    context.field_order = NUMBERS[info.scan]
    return stream


def _tell_light(stream: Any, extras: Extras) -> None:
    """Let H.264 tell the display on which the video was graded, and its light levels."""
    if stream.name != "libx264":
        return
    told = [stream.options["x264-params"]] if "x264-params" in stream.options else []
    if extras.mastering is not None:
        r, s, g, h, b, c, w, x = extras.mastering.points
        most, least = extras.mastering.luminance
        told.append(f"mastering-display=G({g},{h})B({b},{c})R({r},{s})WP({w},{x})L({most},{least})")
    if extras.light is not None:
        told.append(f"cll={extras.light.brightest},{extras.light.average}")
    if told:
        stream.options = {**stream.options, "x264-params": ":".join(told)}


def _flagging(stream: Any, info: VideoInfo) -> Any:
    """A filter that marks frames with what PyAV cannot tell their encoder; None where there is no need."""
    wanted = [("setfield", PARITY[info.scan])] if info.scan != "progressive" else []
    if stream.name == "ffv1" and info.pixel_aspect != 1:  # Matroska is not told
        wanted.append(("setsar", str(info.pixel_aspect)))
    if not wanted:
        return None
    graph = av.filter.Graph()
    pixels = av.VideoFormat(stream.pix_fmt)
    source = graph.add_buffer(width=info.width, height=info.height, format=pixels, time_base=info.time_base)
    graph.link_nodes(source, *(graph.add(*each) for each in wanted), graph.add("buffersink")).configure()
    return graph


def _uneven(info: VideoInfo) -> bool:
    """Whether frames last unequally long, by more than rounding to the time base."""
    steps = _steps(info)
    return max(steps) - min(steps) > 1


def _steps(info: VideoInfo) -> list[int]:
    """How long each frame is shown, in no order."""
    return [info.final_duration, *(b - a for a, b in pairwise(info.timestamps))]


def _longest_ticks(info: VideoInfo) -> int:
    """How long the longest frame is shown, in ticks of MP4's clock: FFmpeg doubles one of less than 10,000 a second."""
    ticks = info.time_base.denominator
    while ticks < 10_000:
        ticks *= 2
    return ticks // info.time_base.denominator * info.time_base.numerator * max(_steps(info))


def _start(info: VideoInfo, tracks: Sequence[SideTrack]) -> Fraction:
    """The time (seconds) to count from: nothing waits for the first frame or sound, no frame comes before 0."""
    first = info.timestamps[0] * info.time_base
    earliest = min([first, *(packet.pts * track.time_base for track in tracks for packet in track.packets)])
    return min(first, max(earliest, Fraction(0)))


def png_bytes(pixels: Pixels) -> bytes:
    """A PNG file of uint8 RGB (H, W, 3)."""
    height, width = pixels.shape[:2]
    encoder = av.CodecContext.create("png", "w")
    encoder.width, encoder.height, encoder.pix_fmt = width, height, "rgb24"
    encoder.time_base = Fraction(1, 25)
    encoder.options = {"compression_level": "3", "pred": "up"}  # smaller than the default, in a quarter of the time
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
    return b"".join(bytes(packet) for packet in (*encoder.encode(frame), *encoder.encode(None)))
