"""Sound and subtitles: packets copied as they are, out of one container and into another."""

import io
import math
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Any, Literal, get_args

import av
import av.error
from av.packet import PacketSideData, PktSideDataT

from snerv_codec.bitstream.types import MAX_TRIM, Packet, SideTrack, TrackKind
from snerv_codec.media.labels import disposition_of, roles_of, track_tags

MAX_DESCRIPTION = 1 << 18  # bytes that are given to a demuxer: codecs need far less than the format allows
MAX_SECONDS = 1 << 30  # what a container's clock can hold in any of its units
MAX_TIME = 1 << 62
EBML = b"\x1a\x45\xdf\xa3"  # how Matroska starts; ISO BMFF is the other choice
TRACK_UID, CODEC_DELAY = b"\x73\xc5\x88", b"\x56\xaa\x88"  # two of its elements, with a length of 8 bytes
HALF = Fraction(1, 2)
NANOSECONDS = 1_000_000_000
TRIM: Literal["skip_samples"] = "skip_samples"  # FFmpeg's side data
MAX_SKIP = 3600  # seconds, beyond what any encoder or edit leaves to be skipped
MAX_LANGUAGE = 63  # characters
TEE = "tee"  # FFmpeg's muxer of several outputs, which lets Matroska have codecs that PyAV does not know it for
TO_MATROSKA = "[f=matroska]file:"
MATROSKA = ("matroska", TEE)  # muxers that write it


class TrackReader:
    """Gathers the packets of one audio or subtitle stream."""

    def __init__(self, stream: Any, kind: TrackKind) -> None:
        self.stream, self.kind = stream, kind
        self.codec, self.language = _codec(stream), stream.language or ""
        rate = (stream.codec_context.sample_rate or 0) if kind == "audio" and stream.codec_context is not None else 0
        self._rate = min(max(rate, 0), MAX_TRIM)  # samples a second
        self._packets: list[Packet] = []
        self._cut: list[bool] = []  # of each packet, whether an edit list takes it out
        self._trims: dict[int, tuple[int, int]] = {}  # samples to leave out at the start and the end of a packet
        self._description: bytes | None = None

    def add(self, packet: "av.Packet[Any]") -> None:
        """Keep a packet; one without a time or bytes is a container's end mark."""
        pts = packet.dts if packet.pts is None else packet.pts
        if pts is None or not packet.size:
            return
        if self._description is None:
            self._description = _describe(self.stream, packet)
        dts = pts if packet.dts is None else packet.dts
        if packet.has_sidedata(TRIM):
            trim = bytes(packet.get_sidedata(TRIM))
            self._trims[len(self._packets)] = int.from_bytes(trim[:4], "little"), int.from_bytes(trim[4:8], "little")
        self._packets.append(Packet(bytes(packet), pts, dts, packet.duration or 0, packet.is_keyframe))
        self._cut.append(packet.is_discard)

    def _delay(self, shown: int) -> int:
        """Samples to leave out from packet number `shown` on; what a packet before it tells counts from there."""
        place = max((number for number, (skip, _) in self._trims.items() if skip and number <= shown), default=shown)
        return self._trims.get(place, (0, 0))[0] - self._samples(place, shown)

    def _samples(self, first: int, second: int) -> int:
        """How many of them lie between the starts of two packets."""
        ticks = self._packets[second].pts - self._packets[first].pts
        return round(ticks * Fraction(self.stream.time_base) * self._rate)

    @property
    def left_out(self) -> bool:
        """Whether there are packets that no container here can describe."""
        return bool(self._packets) and not self._description

    def track(self) -> SideTrack | None:
        """The track, its times going forward; None where it is empty or left out."""
        shown = [number for number, cut in enumerate(self._cut) if not cut]
        if not self._description or not shown:
            return None
        before = shown[0] - 1 if self.kind == "audio" and shown[0] else shown[0]
        skip = self._delay(shown[0]) + self._samples(before, shown[0])
        drop = self._trims.get(shown[-1], (0, 0))[1]
        kept = shown if before == shown[0] else [before, *shown]  # most codecs need one to start
        return SideTrack(
            kind=self.kind,
            codec=self.codec,
            description=self._description,
            time_base=Fraction(self.stream.time_base),
            packets=tuple(in_order(self._packets[number] for number in kept)),
            language=self.language[:MAX_LANGUAGE],
            roles=roles_of(self.stream),
            tags=track_tags(self.stream.metadata),
            sample_rate=self._rate,
            skip=min(max(skip, 0), MAX_TRIM) if self._rate else 0,
            drop=min(drop, MAX_TRIM) if self._rate else 0,
        )


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

    def __init__(self, container: Any, track: SideTrack, start: Fraction, muxer: str | None = None) -> None:
        """`start` (seconds) becomes time 0. `muxer` is another than the container's to try the track with.

        Raises `ValueError` or `av.error.FFmpegError` where the container cannot hold the track.
        """
        if any(abs(time) * track.time_base > MAX_SECONDS for p in track.packets for time in (p.pts, p.dts, p.duration)):
            raise ValueError("its times are out of range")
        if track.skip > MAX_SKIP * track.sample_rate:
            raise ValueError(f"more than {MAX_SKIP} s of it are to be left out at its start")
        self._track, self._shift = track, round(start / track.time_base)
        with rehearsal(muxer or container.format.name) as rehearsed:
            self._begin(rehearsed)
            self.write_until(None)
        if muxer is None:
            self._begin(container)

    def write_until(self, time: Fraction | None) -> None:
        """Write the packets that start before `time`, in seconds; all that are left for None."""
        track = self._track
        while self._next < len(track.packets):
            packet = track.packets[self._next]
            if time is not None and (packet.dts - self._shift) * track.time_base >= time:
                return
            self._container.start_encoding()  # settles the ticks of its clock
            base = self._stream.time_base
            heard, delay = _ticks(track, track.time_base), _ticks(track, base)  # the first sample that is
            times = (moment - self._shift + heard for moment in (packet.pts, packet.dts))
            pts, dts = (round(time * track.time_base / base) - delay for time in times)
            dts = self._last = max(dts, self._last + 1)
            copy = av.Packet(packet.data)
            copy.stream, copy.time_base = self._stream, self._stream.time_base
            copy.pts, copy.dts, copy.duration = max(pts, dts), dts, round(packet.duration * track.time_base / base)
            copy.is_keyframe = packet.keyframe
            self._next += 1
            if track.drop and self._next == len(track.packets):
                copy.set_sidedata(_trim(0, track.drop))
            self._container.mux(copy)

    def _begin(self, container: Any) -> None:
        self._container, self._next = container, 0
        self._last = -MAX_TIME
        track = self._track
        with _open_description(track.description) as described:
            template = described.streams[0]
            if template.type != track.kind:
                raise ValueError(f"its description is of a {template.type} stream")
            if track.skip and track.packets and container.format.name in MATROSKA:
                with _delayed(template, track) as delayed:
                    self._stream = container.add_stream_from_template(delayed.streams[0])
            else:
                self._stream = container.add_stream_from_template(template)
        self._stream.time_base = track.time_base
        self._stream.disposition = disposition_of(track.roles)
        self._stream.metadata.update(track.tags)
        if container.format.name not in MATROSKA and "title" in self._stream.metadata:
            self._stream.metadata["handler_name"] = self._stream.metadata["title"]  # where MP4 has a track's name
        if track.language:
            self._stream.metadata["language"] = track.language


def _ticks(track: SideTrack, base: Fraction) -> int:
    """The samples that are left out at the start in units of `base` seconds, rounded as containers do."""
    return math.floor(track.skip / (track.sample_rate * base) + HALF) if track.skip else 0


def rehearsal(muxer: str) -> Any:
    """An output of a muxer of FFmpeg's, written to nowhere."""
    if muxer == TEE:
        return av.open(f"{TO_MATROSKA}{os.devnull}", "w", format=TEE)
    return av.open(_Nowhere(), "w", format=muxer)


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
            skip, drop = _trims(track, packets, shift, end - start)
            cut.append(replace(track, packets=packets, skip=skip, drop=drop))
    return tuple(cut)


def _trims(track: SideTrack, packets: Sequence[Packet], shift: int, end: Fraction) -> tuple[int, int]:
    """Samples to leave out at the start and the end of the `packets` that are left of a track."""
    if not track.sample_rate:
        return 0, 0
    whole = track.packets[0].pts - shift, track.packets[-1].pts - shift
    skip = -packets[0].pts * track.time_base * track.sample_rate
    drop = ((packets[-1].pts + packets[-1].duration) * track.time_base - end) * track.sample_rate
    return (
        track.skip if packets[0].pts == whole[0] else min(max(round(skip), 0), MAX_TRIM),
        track.drop if packets[-1].pts == whole[1] else min(max(round(drop), 0), MAX_TRIM),
    )


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
    for kind in ("mp4", "matroska", "mov"):
        buffer = io.BytesIO()
        options = {"movflags": "empty_moov+default_base_moof"} if kind != "matroska" else {}
        try:
            with av.open(buffer, "w", format=kind, options=options) as container:
                copy = container.add_stream_from_template(stream)
                copy.time_base = stream.time_base
                if kind == "matroska":
                    _mux_at_zero(container, copy, bytes(packet))
                else:
                    container.start_encoding()
            with _open_description(buffer.getvalue()) as described:
                if _codec(described.streams[0]) == _codec(stream):
                    return buffer.getvalue()
        except (ValueError, OSError, av.error.FFmpegError):
            continue
    return b""


def _mux_at_zero(container: Any, stream: Any, data: bytes) -> None:
    first = av.Packet(data)
    first.stream, first.time_base, first.pts, first.dts = stream, stream.time_base, 0, 0
    container.mux(first)


def _delayed(template: Any, track: SideTrack) -> Any:
    """A container of one stream like `template`, whose codec is known to need `track.skip` samples to start.

    Muxers take that from their template alone, and of PyAV only a demuxer can set it, from Matroska's CodecDelay: we
    put one in place of a number that nobody needs.
    """
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="matroska", options={"fflags": "bitexact"}) as container:
        stream = container.add_stream_from_template(template)
        stream.time_base = track.time_base
        _mux_at_zero(container, stream, track.packets[0].data)
    data, delay = buffer.getvalue(), track.skip * NANOSECONDS // track.sample_rate
    before, _, after = data.partition(TRACK_UID)
    return av.open(io.BytesIO(before + CODEC_DELAY + delay.to_bytes(8) + after[8:]), format="matroska")


def _trim(skip: int, drop: int) -> Any:
    """Side data of a packet of whose decoded sound some samples are left out at its start and its end."""
    make: Any = PacketSideData
    data = make(get_args(PktSideDataT).index(TRIM), 10)
    data.update(skip.to_bytes(4, "little") + drop.to_bytes(4, "little") + bytes(2))
    return data


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
