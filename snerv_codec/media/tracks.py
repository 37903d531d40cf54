"""Sound and subtitles: packets copied as they are, out of one container and into another."""

import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Any

import av
import av.error

from snerv_codec.bitstream.types import Packet, SideTrack, TrackKind

MAX_DESCRIPTION = 1 << 18  # bytes that are given to a demuxer: codecs need far less than the format allows
MAX_SECONDS = 1 << 30  # what a container's clock can hold in any of its units
MAX_TIME = 1 << 62
EBML = b"\x1a\x45\xdf\xa3"  # how Matroska starts; ISO BMFF is the other choice


class TrackReader:
    """Gathers the packets of one audio or subtitle stream."""

    def __init__(self, stream: Any, kind: TrackKind) -> None:
        self.stream, self.kind = stream, kind
        self.codec = _codec(stream)
        self._packets: list[Packet] = []
        self._cut: list[bool] = []  # of each packet, whether an edit list takes it out
        self._description: bytes | None = None

    def add(self, packet: "av.Packet[Any]") -> None:
        """Keep a packet; one without a time or bytes is a container's end mark."""
        pts = packet.dts if packet.pts is None else packet.pts
        if pts is None or not packet.size:
            return
        if self._description is None:
            self._description = _describe(self.stream, packet)
        dts = pts if packet.dts is None else packet.dts
        self._packets.append(Packet(bytes(packet), pts, dts, packet.duration or 0, packet.is_keyframe))
        self._cut.append(packet.is_discard)

    @property
    def left_out(self) -> bool:
        """Whether there are packets that no container here can describe."""
        return bool(self._packets) and not self._description

    def track(self) -> SideTrack | None:
        """The track, its times going forward; None where it is empty or left out."""
        packets = tuple(in_order(self._shown()))
        if not self._description or not packets:
            return None
        return SideTrack(
            kind=self.kind,
            codec=self.codec,
            description=self._description,
            time_base=Fraction(self.stream.time_base),
            packets=packets,
            language=self.stream.language or "",
        )

    def _shown(self) -> Iterator[Packet]:
        """The packets that edits leave, and of sound the one before the first, which most codecs need to start."""
        first = next((number for number, cut in enumerate(self._cut) if not cut), len(self._cut))
        if self.kind == "audio" and 0 < first < len(self._cut):
            yield self._packets[first - 1]
        yield from (packet for packet, cut in zip(self._packets, self._cut, strict=True) if not cut)


def in_order(packets: Iterable[Packet]) -> Iterator[Packet]:
    """The packets, each moved as little as possible: decoded after the one before, and shown not before that."""
    least: int | None = None
    for packet in packets:
        least = dts = packet.dts if least is None else max(packet.dts, least)
        yield packet if dts == packet.dts <= packet.pts else replace(packet, dts=dts, pts=max(packet.pts, dts))


class TrackWriter:
    """Puts the packets of one `SideTrack` into an output container."""

    _stream: Any  # in the container
    _last: int  # decoding time of the packet before, in the container's ticks

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
            self._container.start_encoding()  # settles the ticks of its clock
            scale = track.time_base / self._stream.time_base
            pts, dts = (round((moment - self._shift) * scale) for moment in (packet.pts, packet.dts))
            dts = self._last = max(dts, self._last + 1)
            copy = av.Packet(packet.data)
            copy.stream, copy.time_base = self._stream, self._stream.time_base
            copy.pts, copy.dts, copy.duration = max(pts, dts), dts, round(packet.duration * scale)
            copy.is_keyframe = packet.keyframe
            self._container.mux(copy)
            self._next += 1

    def _begin(self, container: Any) -> None:
        self._container, self._next = container, 0
        self._last = -MAX_TIME
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
