"""The two sections of a side track: what it is with its packet table, and its packets' bytes."""

from dataclasses import dataclass
from fractions import Fraction

from .errors import Corrupt, LimitExceeded
from .fields import Reader, Writer
from .types import Packet, SideTrack, TrackKind

KINDS: tuple[TrackKind, ...] = ("audio", "subtitle")
MAX_TEXT = 255
MAX_DESCRIPTION = 1 << 24
MAX_PACKETS = 1 << 24


@dataclass(frozen=True, slots=True)
class TrackSummary:
    """A side track without its packets. `data_size` is their sum in bytes, `duration` in seconds."""

    kind: TrackKind
    codec: str
    language: str
    time_base: Fraction
    packet_count: int
    data_size: int
    duration: Fraction


@dataclass(frozen=True, slots=True)
class _Row:
    size: int
    pts: int
    dts: int
    duration: int
    keyframe: bool


@dataclass(frozen=True, slots=True)
class _Table:
    track: SideTrack  # without packets
    rows: tuple[_Row, ...]


def write_track(track: SideTrack) -> tuple[bytes, bytes]:
    """Payloads of the track section and of the packet section. Raises `LimitExceeded`."""
    out = Writer()
    out.uint(KINDS.index(track.kind), 1)
    out.string(track.codec, MAX_TEXT)
    out.string(track.language, MAX_TEXT)
    out.fraction(track.time_base)
    out.blob(track.description, MAX_DESCRIPTION)
    if len(track.packets) > MAX_PACKETS:
        raise LimitExceeded(f"{len(track.packets)} packets is above the limit of {MAX_PACKETS}")
    out.varint(len(track.packets))
    expected = duration = 0
    for packet in track.packets:
        out.varint(len(packet.data) << 1 | packet.keyframe)
        out.signed(packet.dts - expected)
        out.signed(packet.pts - packet.dts)
        out.signed(packet.duration - duration)
        duration = packet.duration
        expected = packet.dts + duration
    return out.finish(), b"".join(packet.data for packet in track.packets)


def read_track(payload: bytes, data: bytes) -> SideTrack:
    """Inverse of `write_track`. Raises `BitstreamError` or `ValueError`."""
    table = _read_table(payload)
    fields = Reader(data, "packets")
    packets = tuple(Packet(fields.raw(row.size), row.pts, row.dts, row.duration, row.keyframe) for row in table.rows)
    fields.finish()
    track = table.track
    return SideTrack(track.kind, track.codec, track.description, track.time_base, packets, track.language)


def summarize_track(payload: bytes) -> TrackSummary:
    """What the track section alone says. Raises `BitstreamError` or `ValueError`."""
    table = _read_table(payload)
    track, rows = table.track, table.rows
    first = min((row.pts for row in rows), default=0)
    last = max((row.pts + row.duration for row in rows), default=0)
    return TrackSummary(
        kind=track.kind,
        codec=track.codec,
        language=track.language,
        time_base=track.time_base,
        packet_count=len(rows),
        data_size=sum(row.size for row in rows),
        duration=(last - first) * track.time_base,
    )


def _read_table(payload: bytes) -> _Table:
    fields = Reader(payload, "track")
    kind = fields.uint(1)
    if kind >= len(KINDS):
        raise Corrupt(f"track: kind {kind} is not known")
    codec, language = fields.string(MAX_TEXT), fields.string(MAX_TEXT)
    time_base, description = fields.fraction(), fields.blob(MAX_DESCRIPTION)
    rows = []
    expected = duration = 0
    for _ in range(fields.varint(MAX_PACKETS)):
        size = fields.varint()
        dts = expected + fields.signed()
        pts = dts + fields.signed()
        duration += fields.signed()
        rows.append(_Row(size >> 1, pts, dts, duration, bool(size & 1)))
        expected = dts + duration
    fields.finish()
    return _Table(SideTrack(KINDS[kind], codec, description, time_base, (), language), tuple(rows))
