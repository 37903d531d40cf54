"""Sound and subtitles: packets copied as they are, out of one container and into another."""

import io
from collections.abc import Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Any

import av
import av.error

from bitstream.types import Packet, SideTrack, TrackKind

MAX_DESCRIPTION = 1 << 18  # bytes that are given to a demuxer: codecs need far less than the format allows
MAX_SECONDS = 1 << 30  # what a container's clock can hold in any of its units
EBML = b"\x1a\x45\xdf\xa3"  # how Matroska starts; ISO BMFF is the other choice


class TrackReader:
    """Gathers the packets of one audio or subtitle stream."""

    def __init__(self, stream: Any, kind: TrackKind) -> None:
        self.stream, self.kind = stream, kind
        self.codec = _codec(stream)
        self._packets: list[Packet] = []
        self._description: bytes | None = None

    def add(self, packet: "av.Packet[Any]") -> None:
        """Keep a packet; one without a time or bytes is a container's end mark."""
        if packet.pts is None or not packet.size:
            return
        if self._description is None:
            self._description = _describe(self.stream, packet)
        dts = packet.pts if packet.dts is None else packet.dts
        duration = packet.duration or 0
        self._packets.append(Packet(bytes(packet), packet.pts, dts, duration, packet.is_keyframe))

    @property
    def left_out(self) -> bool:
        """Whether there are packets that no container here can describe."""
        return bool(self._packets) and not self._description

    def track(self) -> SideTrack | None:
        """The track; None where it is empty or left out."""
        if not self._description:
            return None
        return SideTrack(
            kind=self.kind,
            codec=self.codec,
            description=self._description,
            time_base=Fraction(self.stream.time_base),
            packets=tuple(self._packets),
            language=self.stream.language or "",
        )


class TrackWriter:
    """Puts the packets of one `SideTrack` into an output container."""

    def __init__(self, container: Any, track: SideTrack, start: Fraction) -> None:
        """`start` (seconds) becomes time 0.

        Raises `ValueError` or `av.error.FFmpegError` where the container cannot hold the track.
        """
        if any(abs(time) * track.time_base > MAX_SECONDS for p in track.packets for time in (p.pts, p.dts, p.duration)):
            raise ValueError("its times are out of range")
        self._track, self._shift = track, round(start / track.time_base)
        with av.open(_Nowhere(), "w", format=container.format.name) as rehearsal:
            self._begin(rehearsal)
            self.write_until(None)
        self._begin(container)

    def write_until(self, time: Fraction | None) -> None:
        """Write the packets that start before `time`, in seconds; all that are left for None."""
        track = self._track
        while self._next < len(track.packets):
            packet = track.packets[self._next]
            if time is not None and (packet.dts - self._shift) * track.time_base >= time:
                return
            copy = av.Packet(packet.data)
            copy.stream, copy.time_base = self._stream, track.time_base
            copy.pts, copy.dts, copy.duration = packet.pts - self._shift, packet.dts - self._shift, packet.duration
            copy.is_keyframe = packet.keyframe
            self._container.mux(copy)
            self._next += 1

    def _begin(self, container: Any) -> None:
        self._container, self._next = container, 0
        with _open_description(self._track.description) as described:
            template = described.streams[0]
            if template.type != self._track.kind:
                raise ValueError(f"its description is of a {template.type} stream")
            self._stream = container.add_stream_from_template(template)
        self._stream.time_base = self._track.time_base
        if self._track.language:
            self._stream.metadata["language"] = self._track.language


class _Nowhere:
    """A file that forgets: a track is written to it whole first, as a refusal in the real output would be the end."""

    def __init__(self) -> None:
        self._position = self._size = 0

    def write(self, data: bytes) -> int:
        self._position += len(data)
        self._size = max(self._size, self._position)
        return len(data)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._position = offset + (0, self._position, self._size)[whence]
        return self._position

    def tell(self) -> int:
        return self._position


def cut_tracks(tracks: Sequence[SideTrack], start: Fraction, end: Fraction) -> tuple[SideTrack, ...]:
    """What is heard or seen from `start` to `end` (seconds), moved so that `start` becomes 0.

    Sound begins with one packet more than that, at negative times: most codecs need it to start cleanly.
    """
    cut = []
    for track in tracks:
        shift = round(start / track.time_base)
        packets = tuple(replace(p, pts=p.pts - shift, dts=p.dts - shift) for p in _between(track, start, end))
        if packets:
            cut.append(replace(track, packets=packets))
    return tuple(cut)


def _between(track: SideTrack, start: Fraction, end: Fraction) -> Iterator[Packet]:
    """Packets of a time span; a subtitle that reaches over its ends is shown for the part inside."""
    first, stop = round(start / track.time_base), round(end / track.time_base)
    for packet in track.packets:
        begin, duration = packet.pts, packet.duration
        lead = duration if track.kind == "audio" else 0
        if begin >= stop or (begin < first and begin + duration + lead <= first):
            continue
        if track.kind == "subtitle":
            begin = max(begin, first)
            duration = min(packet.pts + duration, stop) - begin
            packet = replace(packet, pts=begin, dts=begin, duration=max(duration, 0))
        yield packet


def _describe(stream: Any, packet: "av.Packet[Any]") -> bytes:
    """The stream's parameters as a small media file: MP4 without packets, or Matroska with the first one."""
    for kind in ("mp4", "matroska"):
        buffer = io.BytesIO()
        options = {"movflags": "empty_moov+default_base_moof"} if kind == "mp4" else {}
        try:
            with av.open(buffer, "w", format=kind, options=options) as container:
                copy = container.add_stream_from_template(stream)
                copy.time_base = stream.time_base
                if kind == "mp4":
                    container.start_encoding()
                else:
                    first = av.Packet(bytes(packet))
                    first.stream, first.time_base, first.pts, first.dts = copy, stream.time_base, 0, 0
                    container.mux(first)
            with _open_description(buffer.getvalue()) as described:
                if _codec(described.streams[0]) == _codec(stream):
                    return buffer.getvalue()
        except (ValueError, OSError, av.error.FFmpegError):
            continue
    return b""


def _codec(stream: Any) -> str:
    return str(stream.codec_context.name) if stream.codec_context is not None else "unknown codec"


def _open_description(description: bytes) -> Any:
    """The description as a container; only the two formats that we write are tried."""
    if len(description) > MAX_DESCRIPTION:
        raise ValueError(f"its description of {len(description)} bytes exceeds {MAX_DESCRIPTION}")
    kind = "matroska" if description.startswith(EBML) else "mp4"
    container = av.open(io.BytesIO(description), format=kind)
    if not container.streams:
        container.close()
        raise ValueError("its description is empty")
    return container
