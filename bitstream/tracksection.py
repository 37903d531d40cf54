"""The two sections of a side track: what it is with its packet table, and its packets' bytes."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import starmap
from typing import NamedTuple, get_args

import numpy as np
import numpy.typing as npt

from .errors import Corrupt, LimitExceeded
from .extras import MAX_TAG_NAME, MAX_TAG_VALUE, MAX_TAGS, Tags
from .fields import MAX_TIME, Octets, Reader, Writer, unzigzag_all
from .types import MAX_TRACKS, MAX_TRIM, Packet, Role, SideTrack, TrackKind

KINDS: tuple[TrackKind, ...] = ("audio", "subtitle")
ROLES: tuple[Role, ...] = get_args(Role)
MAX_TEXT = 255
MAX_DESCRIPTION = 1 << 24
MAX_PACKETS = 1 << 24
BLOCK = 1 << 14  # packets whose rows are read at once

Times = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class TrackSummary:
    """A side track without its packets. `data_size` is their sum in bytes, `duration` in seconds."""

    kind: TrackKind
    codec: str
    language: str
    roles: tuple[Role, ...]
    tags: Tags
    sample_rate: int
    time_base: Fraction
    packet_count: int
    data_size: int
    duration: Fraction


class _Rows(NamedTuple):
    """Packets that follow each other: their sizes in bytes, times, and whether they are key frames."""

    sizes: npt.NDArray[np.uint64]
    pts: Times
    dts: Times
    durations: Times
    keyframes: npt.NDArray[np.bool_]


def check_track_count(count: int) -> None:
    """Raise `LimitExceeded` where a file may not hold so many side tracks."""
    if count > MAX_TRACKS:
        raise LimitExceeded(f"{count} side tracks is above the limit of {MAX_TRACKS}")


def write_tags(out: Writer, tags: Tags) -> None:
    """Their number, then name and value of each."""
    out.varint(len(tags))
    for name, value in tags:
        out.string(name, MAX_TAG_NAME)
        out.string(value, MAX_TAG_VALUE)


def read_tags(fields: Reader) -> Tags:
    """Inverse of `write_tags`."""
    count = fields.varint(MAX_TAGS)
    return tuple((fields.string(MAX_TAG_NAME), fields.string(MAX_TAG_VALUE)) for _ in range(count))


def write_track(track: SideTrack) -> tuple[bytes, bytes]:
    """Payloads of the track section and of the packet section. Raises `LimitExceeded`."""
    out = Writer()
    out.uint(KINDS.index(track.kind), 1)
    out.string(track.codec, MAX_TEXT)
    out.string(track.language, MAX_TEXT)
    out.varint(sum(1 << ROLES.index(role) for role in track.roles))
    for count in (track.sample_rate, track.skip, track.drop):
        out.varint(count)
    write_tags(out, track.tags)
    out.fraction(track.time_base)
    out.blob(track.description, MAX_DESCRIPTION)
    if len(track.packets) > MAX_PACKETS:
        raise LimitExceeded(f"{len(track.packets)} packets is above the limit of {MAX_PACKETS}")
    out.varint(len(track.packets))
    expected = duration = 0
    for packet in track.packets:
        steps = (packet.dts - expected, packet.pts - packet.dts, packet.duration - duration)
        if any(abs(step) > MAX_TIME for step in steps):
            raise LimitExceeded("packet times lie further apart than 62 bits can tell")
        out.varint(len(packet.data) << 1 | packet.keyframe)
        for step in steps:
            out.signed(step)
        duration = packet.duration
        expected = packet.dts + duration
    return out.finish(), b"".join(packet.data for packet in track.packets)


def read_track(payload: Octets, data: Octets) -> SideTrack:
    """Inverse of `write_track`. Raises `BitstreamError` or `ValueError`."""
    fields = Reader(payload, "track")
    track, count = _read_head(fields)
    packets, content = list[Packet](), Reader(data, "packets")
    for rows in _read_rows(fields, count, len(data)):
        parts = map(content.raw, rows.sizes.tolist())
        columns = (column.tolist() for column in (rows.pts, rows.dts, rows.durations, rows.keyframes))
        packets.extend(starmap(Packet, zip(parts, *columns, strict=True)))
    content.finish()
    return replace(track, packets=tuple(packets))


def summarize_track(payload: Octets, data_size: int) -> TrackSummary:
    """What the track section alone says of packets of `data_size` bytes. Raises `BitstreamError` or `ValueError`."""
    fields = Reader(payload, "track")
    track, count = _read_head(fields)
    size, first, last = 0, list[int](), list[int]()
    for rows in _read_rows(fields, count, data_size):
        size += int(rows.sizes.sum())
        first.append(int(rows.pts.min()))
        last.append(int((rows.pts + rows.durations).max()))
    if size != data_size:
        raise Corrupt(f"a side track's packets have {data_size} bytes, not {size}")
    return TrackSummary(
        kind=track.kind,
        codec=track.codec,
        language=track.language,
        roles=track.roles,
        tags=track.tags,
        sample_rate=track.sample_rate,
        time_base=track.time_base,
        packet_count=count,
        data_size=size,
        duration=(max(last, default=0) - min(first, default=0)) * track.time_base,
    )


def _read_head(fields: Reader) -> tuple[SideTrack, int]:
    """The track without its packets, and how many there are."""
    kind = fields.uint(1)
    if kind >= len(KINDS):
        raise Corrupt(f"track: kind {kind} is not known")
    codec, language, roles = fields.string(MAX_TEXT), fields.string(MAX_TEXT), fields.varint()
    if roles >> len(ROLES):
        raise Corrupt(f"track: roles {roles:#x} are not known")
    sample_rate, skip, drop = (fields.varint(MAX_TRIM) for _ in range(3))
    tags = read_tags(fields)
    time_base, description = fields.fraction(), fields.blob(MAX_DESCRIPTION)
    track = SideTrack(
        kind=KINDS[kind],
        codec=codec,
        description=description,
        time_base=time_base,
        packets=(),
        language=language,
        roles=tuple(role for place, role in enumerate(ROLES) if roles >> place & 1),
        tags=tags,
        sample_rate=sample_rate,
        skip=skip,
        drop=drop,
    )
    return track, fields.varint(MAX_PACKETS)


def _read_rows(fields: Reader, count: int, data_size: int) -> Iterator[_Rows]:
    """The table of `count` packets, which are of `data_size` bytes together, in blocks.

    All is done modulo 2**64. That hides nothing: values in range with steps in range come to less than 2**64, and what
    wraps around is out of range.
    """
    dts = duration = np.int64(0)  # of the packet before
    for start in range(0, count, BLOCK):
        codes = fields.varints(4 * min(BLOCK, count - start)).reshape(-1, 4)
        sizes, steps = codes[:, 0] >> np.uint64(1), unzigzag_all(codes[:, 1:])
        durations = np.cumsum(steps[:, 2]) + duration
        before = np.concatenate(([duration], durations[:-1]))
        decoding = np.cumsum(steps[:, 0] + before) + dts
        rows = _Rows(sizes, decoding + steps[:, 1], decoding, durations, (codes[:, 0] & np.uint64(1)).astype(bool))
        if not all(np.all((each >= -MAX_TIME) & (each <= MAX_TIME)) for each in (steps, *rows[1:4])):
            raise Corrupt("track: packet times exceed 62 bits")
        if int(sizes.max()) > data_size:
            raise Corrupt(f"track: a packet of {sizes.max()} bytes, all have {data_size}")
        yield rows
        dts, duration = decoding[-1], durations[-1]
    fields.finish()
