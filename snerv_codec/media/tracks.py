"""Sound and subtitles: packets copied as they are, out of one container and into another."""

import io
from dataclasses import replace
from fractions import Fraction
from typing import Any

import av
import av.error

from bitstream.types import Packet, SideTrack, TrackKind

MAX_DESCRIPTION = 1 << 18
EBML = b"\x1a\x45\xdf\xa3"  # how Matroska starts; ISO BMFF is the other choice


class TrackReader:
    """Gathers the packets of one audio or subtitle stream."""

    def __init__(self, stream: Any, kind: TrackKind) -> None:
        self.stream, self.kind = stream, kind
        self._packets: list[Packet] = []
        self._description: bytes | None = None

    def add(self, packet: "av.Packet[Any]") -> None:
        """Keep a packet; one without a time is a container's end mark."""
        if packet.pts is None:
            return
        if self._description is None:
            self._description = _describe(self.stream, packet)
        dts = packet.pts if packet.dts is None else packet.dts
        duration = packet.duration or 0
        self._packets.append(Packet(bytes(packet), packet.pts, dts, duration, packet.is_keyframe))

    def track(self) -> SideTrack | None:
        """The track; None where it has no packets or no container here can describe its codec."""
        if not self._description:
            return None
        return SideTrack(
            kind=self.kind,
            codec=self.stream.codec_context.name,
            description=self._description,
            time_base=Fraction(self.stream.time_base),
            packets=tuple(self._packets),
            language=self.stream.language or "",
        )


class TrackWriter:
    """Puts the packets of one `SideTrack` into an output container."""

    def __init__(self, container: Any, track: SideTrack) -> None:
        """Raises `ValueError` or `av.error.FFmpegError` where the container cannot hold the track."""
        self._track, self._next, self._container = track, 0, container
        with _open_description(track.description) as described:
            template = described.streams[0]
            if template.type != track.kind:
                raise ValueError(f"its description is of a {template.type} stream")
            self._stream = container.add_stream_from_template(template)
        self._stream.time_base = track.time_base
        if track.language:
            self._stream.metadata["language"] = track.language

    def write_until(self, time: Fraction | None) -> None:
        """Write the packets that start before `time`, in seconds; all that are left for None."""
        packets = self._track.packets
        while self._next < len(packets):
            packet = packets[self._next]
            if time is not None and packet.dts * self._track.time_base >= time:
                return
            copy = av.Packet(packet.data)
            copy.stream, copy.time_base = self._stream, self._track.time_base
            copy.pts, copy.dts, copy.duration = packet.pts, packet.dts, packet.duration
            copy.is_keyframe = packet.keyframe
            self._container.mux(copy)
            self._next += 1


def cut_tracks(tracks: tuple[SideTrack, ...], start: Fraction, end: Fraction) -> tuple[SideTrack, ...]:
    """The packets that begin from `start` to before `end` (seconds), moved so that `start` becomes 0."""
    cut = []
    for track in tracks:
        shift = round(start / track.time_base)
        packets = tuple(
            replace(packet, pts=packet.pts - shift, dts=packet.dts - shift)
            for packet in track.packets
            if start <= packet.pts * track.time_base < end
        )
        if packets:
            cut.append(replace(track, packets=packets))
    return tuple(cut)


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
                if described.streams and described.streams[0].codec_context.name == stream.codec_context.name:
                    return buffer.getvalue()
        except (ValueError, OSError, av.error.FFmpegError):
            continue
    return b""


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
