"""Files and pipes as sources of frames, through FFmpeg's demuxers and decoders.

A source is always a file: never a URL, and never a list of other files.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from fractions import Fraction
from functools import cached_property
from itertools import takewhile
from pathlib import Path
from typing import Any

import av
import av.codec.context
import av.container.core
import av.error
import av.stream

from snerv_codec.bitstream.extras import Extras
from snerv_codec.bitstream.models import MAX_FRAME_SIDE
from snerv_codec.bitstream.types import MAX_TRACKS, MIN_FRAME_SIDE, SideTrack
from snerv_codec.errors import InputError, SettingsError
from snerv_codec.media.alone import IMAGES, OPTIONS, address, image_format, lists_others
from snerv_codec.media.complaints import MUTE, Complaints
from snerv_codec.media.extent import missing_bytes
from snerv_codec.media.extras import ExtrasReader
from snerv_codec.media.source import Damage, Landmark, Selection, Source, Unsupported
from snerv_codec.media.timing import DEFAULT_RATE, RESTARTING, Clock, Timeline, make_timeline
from snerv_codec.media.tracks import TrackReader

RAW = (".yuv", ".rgb", ".raw")
Y4M = "yuv4mpegpipe"
NO_TIMES = 0x0080  # FFmpeg's flag of formats that hold bare frames, without times
DEFAULT_STREAM = 5_000_000  # pixels that being the default counts for, as in ffmpeg's own choice
SAME_RATE = Fraction(1, 1000)
MAX_Y4M_HEADER = 1 << 16
HELD_BACK = 32  # frames that a decoder may have taken in and not given out


@contextmanager
def open_container(
    source: str | Path, name: str, selection: Selection, max_pixels: int, *, tracks: bool
) -> Iterator["ContainerSource"]:
    """The file `source`, or standard input for "-", open for reading. Raises `InputError` where it is no video."""
    path, piped = Path(source), str(source) == "-"
    options = {**OPTIONS, "max_pixels": str(max_pixels)}
    kind: str | None = None
    target: Any = address(source)
    if piped:
        if sys.stdin is None:
            raise InputError("standard input is closed; pipe a video into it, or give a file")
        target, kind = _Pipe(sys.stdin.buffer), Y4M
    elif path.is_fifo():  # which would be opened more than once
        raise InputError(f"{name}: a named pipe; give - and let it be standard input, in y4m format")
    elif path.suffix.lower() in RAW:
        kind = "rawvideo"
        options |= _raw_options(path, selection)
    try:
        if path.suffix.lower() in IMAGES:
            kind = image_format(path)
        container = av.open(target, format=kind, options=options, metadata_errors="replace")
    except FileNotFoundError:
        raise InputError(f"{name}: no such file") from None
    except PermissionError:
        raise InputError(f"{name}: no permission to read it") from None
    except (av.error.FFmpegError, OSError, ValueError) as error:
        if not piped and path.is_file() and lists_others(path):
            raise InputError(f"{name}: a list of other files, not a video; give it one of those") from None
        hint = " in y4m format" if piped else ""
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{name}: not a video{hint} that can be read ({reason})") from error
    with container:
        yield ContainerSource(container, target if piped else path, name, selection, max_pixels, tracks=tracks)


class ContainerSource(Source):
    """One video stream of an open container, with the sound and subtitles beside it."""

    def __init__(
        self, container: Any, file: "Path | _Pipe", name: str, selection: Selection, max_pixels: int, *, tracks: bool
    ) -> None:
        super().__init__(name, selection, max_pixels)
        self._container, self._file, self._format = container, file, container.format.name
        container.flags &= (
            ~av.container.core.Flags.gen_pts.value
        )  # what it guesses where there are none is a frame late
        self._stream = self._choose()
        context = self._stream.codec_context
        self.codec, self.field_order = context.name, context.field_order
        self.require_room(context.width, context.height)
        context.options = {"max_pixels": str(max_pixels)}  # its data may claim more than its header
        if context.codec.intra_only:  # each frame stands alone, so what its decoder finds wrong is no matter of taste
            context.options |= {"err_detect": "explode"}
        flags = container.format.flags
        self._bare = bool(flags & NO_TIMES) or self._format == "rawvideo" or self._format.endswith("_pipe")
        self._rate = self._told_rate()
        seconds = Fraction(container.duration or 0, av.time_base)
        self.claimed = self._stream.frames or round(seconds * (self._rate or DEFAULT_RATE))
        aspect = self._stream.sample_aspect_ratio
        self.aspect = Fraction(aspect) if aspect is not None and aspect > 0 else Fraction(1)
        sides = self._wanted_sides() if tracks else ()
        if len(sides) > MAX_TRACKS:
            self.note(f"{len(sides) - MAX_TRACKS} tracks left out: a file holds {MAX_TRACKS} of sound and subtitles")
        self._sides = tuple(TrackReader(side, side.type) for side in sides[:MAX_TRACKS])
        self._extras = ExtrasReader(container, attachments=tracks and selection.attachments)
        self._clock = Clock(self._stream.index, restarting=self._format in RESTARTING)
        self._seen = 0  # packets of the video
        self._given = 0  # frames
        self._end = 0  # of the last one in the file
        self._complaints: Complaints | None = None

    def frames(self) -> Iterator[Any]:
        """Frames of the stream as they are decoded, while the packets beside it are gathered."""
        sides: dict[int, TrackReader | ExtrasReader] = {side.stream.index: side for side in self._sides}
        sides |= dict.fromkeys((cover.index for cover in self._extras.covers), self._extras)
        if self._stream.codec_context.name in MUTE:
            self._complaints = Complaints()
        try:
            for packet in self._container.demux(
                self._stream, *(side.stream for side in self._sides), *self._extras.covers
            ):
                self._mark(packet)
                self._clock.align(packet)
                side = sides.get(packet.stream.index)  # packet.stream_index is 0 in those that flush a decoder
                if side is not None:
                    side.add(packet)
                elif not self.done:
                    for frame in self._decoded(packet):
                        self._given += 1
                        yield frame
                elif not sides:
                    return
        except av.error.FFmpegError as error:
            raise Damage(f"damaged after frame {self._seen} ({error.strerror})") from error
        finally:
            if self._complaints:
                self._complaints.close()
        if not self.done:
            self._check_end()

    def frames_from(self, landmark: Landmark) -> Iterator[Any]:
        """Frames from about a landmark on; what cannot be decoded is passed over."""
        by_place = landmark.place is not None and (self._format in RESTARTING or landmark.time is None)
        goal = landmark.place if by_place else landmark.time
        if goal is None:
            return
        with suppress(av.error.FFmpegError, OSError, ValueError):
            self._container.seek(goal, stream=self._stream, unsupported_byte_offset=by_place)
            for packet in self._container.demux(self._stream):
                with suppress(av.error.FFmpegError):
                    yield from packet.decode()

    def timeline(self, times: list[int | None], last: int, end: int | None, start: int) -> Timeline:
        """By the container's own times; frames that it tells no time of go by the order in which they are decoded."""
        clock, base = self._clock, Fraction(self._stream.time_base)
        untimed = self._bare or (self._format == Y4M and self._rate is None)  # what times there are, FFmpeg made up
        if untimed:
            times = [None] * len(times)
        elif not clock.presents:
            slots = sorted(clock.decoding)[start : start + len(times) + 1]
            times = [*slots[: len(times)], *[None] * (len(times) - len(slots))]
            end = slots[len(times)] if len(slots) > len(times) else None
        asked = self.selection.rate
        if not untimed and asked not in (None, self._rate):
            self.note("frames have times of their own: the rate asked for (`rate`) is not used")
        rate = (asked or self._rate) if untimed else self._rate
        return make_timeline(times, base, rate, last=last, end=end)

    def tracks(self) -> tuple[SideTrack, ...]:
        """Sound and subtitles that were met so far."""
        return tuple(track for side in self._sides if (track := side.track()) is not None)

    def extras(self) -> Extras:
        """Tags, chapters and attachments."""
        return self._extras.extras()[0]

    def warnings(self) -> tuple[str, ...]:
        """What of the source could not be taken as it is; all of it once all frames were read."""
        joins = self._clock.joins
        joined = f"times start anew {joins} time{'s' if joins > 1 else ''}: what follows is taken to go on there"
        lost = [
            f"{side.kind} track {side.stream.index} ({side.codec}) left out: it cannot be carried"
            for side in self._sides
            if side.left_out
        ]
        return (*([joined] if joins else []), *self.notes, *lost, *self._extras.extras()[1])

    def _choose(self) -> Any:
        """The video stream that was asked for, or the one that ffmpeg would take; cover art is none."""
        cover, wanted = av.stream.Disposition.attached_pic, self.selection.stream
        moving = (stream for stream in self._container.streams.video if not stream.disposition & cover)
        streams = [stream for stream in moving if stream.codec_context is not None]
        if not streams:
            raise InputError(f"{self.name}: holds no video that can be decoded")
        found = ", ".join(f"{number}: {stream.width}x{stream.height}" for number, stream in enumerate(streams))
        if wanted is None:
            scores = [s.width * s.height + DEFAULT_STREAM * bool(s.disposition & 1) for s in streams]
            wanted = scores.index(max(scores))
            if len(streams) > 1:
                self.note(f"video stream {wanted} is taken of several ({found}); `stream` takes another")
        if not 0 <= wanted < len(streams):
            raise SettingsError(f"{self.name}: has no video stream {wanted}; it has {found}")
        return streams[wanted]

    def _wanted_sides(self) -> tuple[Any, ...]:
        streams, selection = self._container.streams, self.selection
        audio = streams.audio if selection.audio else ()
        return (*audio, *(streams.subtitles if selection.subtitles else ()))

    def _told_rate(self) -> Fraction | None:
        """Frames a second as the stream says; None where nobody says it."""
        stream = self._stream
        if self._format == Y4M:
            return _y4m_rate(self._file)
        if self._bare and not stream.codec_context.framerate:
            return None
        rate, coded = stream.guessed_rate or stream.average_rate, stream.codec_context.framerate
        if rate and coded and abs(rate / coded - 1) < SAME_RATE:
            rate = coded  # as it was before a container rounded it
        return Fraction(rate) if rate else None

    def _decoded(self, packet: Any) -> Iterator[Any]:
        self._seen += packet.size > 0
        if packet.size and packet.pos is not None:
            self._end = max(self._end, packet.pos + packet.size)
        if packet.is_corrupt and self._format not in RESTARTING:
            raise Damage(f"damaged at frame {self._seen - 1}: its data end early")
        context = self._stream.codec_context
        try:
            if self._complaints:
                self._complaints.new()  # those of the demuxer are its own matter
            frames = packet.decode()
            if self._complaints and (message := self._complaints.new()) is not None:
                raise Damage(f"damaged at frame {self._seen - 1} ({message})")
            yield from frames if packet.size or not self._missing else takewhile(self._before_the_cut, frames)
        except av.error.FFmpegError as error:
            if isinstance(error, av.error.PatchWelcomeError) or not context.width:
                raise Unsupported(f"this kind of {context.codec.long_name} is not supported") from error
            raise Damage(f"damaged at frame {self._seen - 1} ({error.strerror})") from error

    def _mark(self, packet: Any) -> None:
        """Remember where a packet lies that can be decoded without those before it."""
        if packet.is_keyframe and packet.size and packet.stream.index == self._stream.index:
            # Packets count frames, but for those that show none or half a frame.
            number = min(self._seen, self._given + HELD_BACK)
            self.mark(Landmark(number, packet.dts if packet.pts is None else packet.pts, packet.pos))

    def _before_the_cut(self, frame: Any) -> bool:
        """Whether a frame that a decoder held back until the end of a cut file comes before all that were lost.

        None of those is shown before the time at which the first of them would have been decoded.
        """
        if not self._stream.codec_context.has_b_frames:
            return True
        cut = self._clock.expected(self._stream.index)
        if cut is None or frame.pts is None:
            return cut is None and frame.key_frame  # the first of all
        return bool(frame.pts * self._stream.time_base <= cut)

    @cached_property
    def _missing(self) -> int:
        """How many bytes the file lacks at its end, by its own account."""
        return missing_bytes(self._file, self._format) if isinstance(self._file, Path) else 0

    def _check_end(self) -> None:
        """Raise `Damage` where the file itself says that there is more."""
        if self._format == Y4M:
            size = self._file.count if isinstance(self._file, _Pipe) else self._file.stat().st_size
            if self._seen and size != self._end:
                raise Damage(f"cut short, only {size - self._end} bytes of its last frame are there")
        elif self._missing:
            raise Damage(f"cut short, {self._missing} bytes are missing at its end")


class _Pipe:
    """Bytes of a pipe, counted, of which the first ones are kept."""

    def __init__(self, file: Any) -> None:
        self._file = file
        self.count, self.head = 0, b""

    def read(self, size: int) -> bytes:
        data: bytes = self._file.read(size)
        self.count += len(data)
        if len(self.head) < MAX_Y4M_HEADER:
            self.head += data[: MAX_Y4M_HEADER - len(self.head)]
        return data


def _y4m_rate(file: "Path | _Pipe") -> Fraction | None:
    """The rate in the header of a y4m file; None where it tells none."""
    if isinstance(file, Path):
        with file.open("rb") as opened:
            head = opened.readline(MAX_Y4M_HEADER)
    else:
        head = file.head.partition(b"\n")[0]
    for part in head.split()[1:]:
        upper, _, lower = part[1:].partition(b":")
        if part[:1] == b"F" and upper.isdigit() and lower.isdigit() and int(upper) and int(lower):
            return Fraction(int(upper), int(lower))
    return None


def _raw_options(path: Path, selection: Selection) -> dict[str, str]:
    if selection.video_size is None:
        raise SettingsError(f"{path}: raw samples do not tell their size; give `video_size` (and `pix_fmt`, `rate`)")
    width, height = selection.video_size
    pix_fmt = selection.pix_fmt or "yuv420p"
    given = f"{width}x{height} {pix_fmt}"
    if not MIN_FRAME_SIDE <= min(width, height) <= max(width, height) <= MAX_FRAME_SIDE:
        raise SettingsError(f"{path}: {given}: sides from {MIN_FRAME_SIDE} to {MAX_FRAME_SIDE} can be coded")
    total = path.stat().st_size if path.exists() else 0
    # Less than a bit a pixel is no frame of any format: no need to make one to see.
    whole = total * 8 >= width * height and total % _raw_size(width, height, pix_fmt) == 0
    if path.exists() and not whole:
        raise InputError(f"{path}: its {total} bytes are not whole frames of {given}; check `video_size` and `pix_fmt`")
    rate = selection.rate or DEFAULT_RATE
    return {"video_size": f"{width}x{height}", "pixel_format": pix_fmt, "framerate": str(rate)}


def _raw_size(width: int, height: int, pix_fmt: str) -> int:
    """Bytes of a frame of raw samples. Raises `SettingsError` for a format that is unknown."""
    try:
        encoder = av.CodecContext.create("rawvideo", "w")
        encoder.width, encoder.height, encoder.pix_fmt = width, height, pix_fmt
        encoder.time_base = 1 / DEFAULT_RATE
        return sum(packet.size for packet in encoder.encode(av.VideoFrame(width, height, pix_fmt)))
    except (ValueError, av.error.FFmpegError) as error:
        raise SettingsError(f"pixel format {pix_fmt!r} is unknown or not supported") from error
