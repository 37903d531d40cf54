"""The two sections of a side track: what it is with its packet table, and its packets' bytes."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import starmap
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from .errors import Corrupt, LimitExceeded
from .fields import Octets, Reader, Writer, unzigzag_all
from .types import MAX_TIME, MAX_TRACKS, Packet, SideTrack, TrackKind

KINDS: tuple[TrackKind, ...] = ("audio", "subtitle")
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
    codec, language = fields.string(MAX_TEXT), fields.string(MAX_TEXT)
    time_base, description = fields.fraction(), fields.blob(MAX_DESCRIPTION)
    return SideTrack(KINDS[kind], codec, description, time_base, (), language), fields.varint(MAX_PACKETS)


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
