"""SPEC.md, sections 1 to 8: from the bytes of a file to its values, as plain integers, lists and named tuples."""

import struct
import zlib
from dataclasses import dataclass
from fractions import Fraction
from math import prod
from types import SimpleNamespace
from typing import NamedTuple

from independent import symbols

SIGNATURE = bytes.fromhex("8f534e5256 0d0a1a")
MANDATORY = {b"INFO", b"INDX", b"SEGM", b"SNNC", b"DONE"}
OPTIONAL = {b"text", b"meta", b"atch", b"trak", b"pdat"}
ROLES = (
    *("default", "dub", "original", "comment", "lyrics", "karaoke", "forced"),
    *("hearing_impaired", "visual_impaired", "clean_effects", "captions", "descriptions"),
)
CHROMA = ("400", "420", "422", "444", "rgb")


class Fields:
    """Section 1: fields from a payload, one after the other."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def take(self, size: int) -> bytes:
        self.at += size
        assert self.at <= len(self.data), "truncated"
        return self.data[self.at - size : self.at]

    def rest(self) -> bytes:
        return self.take(len(self.data) - self.at)

    def end(self) -> None:
        assert self.at == len(self.data), "bytes left over"

    def u(self, size: int) -> int:
        return int.from_bytes(self.take(size), "little")

    def varint(self) -> int:
        value = shift = 0
        while True:
            byte = self.u(1)
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                assert byte or shift == 7, "not the shortest form"
                assert value < 1 << 64
                return value

    def varints(self, count: int) -> tuple[int, ...]:
        return tuple(self.varint() for _ in range(count))

    def svarint(self) -> int:
        value = self.varint()
        return -(value + 1) // 2 if value % 2 else value // 2

    def blob(self) -> bytes:
        return self.take(self.varint())

    def string(self) -> str:
        return self.blob().decode()

    def ratio(self) -> Fraction:
        return Fraction(*self.varints(2))

    def f16s(self, count: int) -> list[float]:
        return list(struct.unpack(f"<{count}e", self.take(2 * count)))


class Section(NamedTuple):
    """Section 3."""

    type: bytes
    offset: int
    size: int  # with its header and checksum
    payload: bytes


@dataclass
class Tensor:
    """A row of a segment's directory, with its symbols; those of an NNC bitstream have none."""

    name: str
    shape: tuple[int, ...]
    bits: int
    axis: int | None
    scales: list[float]
    offsets: list[float]
    symbols: list[int]


class File(NamedTuple):
    """All that a file holds. A segment of an unknown model has `number` and `config` bytes, and no tensors."""

    version: tuple[int, int]
    video: SimpleNamespace
    summary: str
    extras: SimpleNamespace
    tracks: list[SimpleNamespace]
    segments: list[SimpleNamespace]


def read(data: bytes) -> File:
    """The file that `data` is the whole of."""
    assert data[:8] == SIGNATURE
    assert int.from_bytes(data[10:14], "little") == zlib.crc32(data[:10])
    assert data[8] == 2, "another major version"
    found = sections(data)
    by_type = {kind: [section for section in found if section.type == kind] for kind in {s.type for s in found}}
    assert found[0].type == b"INFO"
    assert len(by_type[b"INFO"]) == len(by_type[b"INDX"]) == len(by_type[b"DONE"]) == 1
    assert found[-1].type == b"DONE"
    (index,) = by_type[b"INDX"]
    assert int.from_bytes(found[-1].payload, "little") == index.offset
    assert len(found[-1].payload) == 8
    coded = [section for section in found if section.type in (b"SEGM", b"SNNC")]
    entries = read_index(index.payload)
    assert [(entry.offset, entry.size) for entry in entries] == [(section.offset, section.size) for section in coded]
    for entry, section in zip(entries, coded, strict=True):
        if entry.config is not None:
            read_segment(entry, section)
    tracks = []
    for description in by_type.get(b"trak", []):
        packets = found[found.index(description) + 1]
        assert packets.type == b"pdat"
        tracks.append(read_track(description.payload, packets.payload))
    (text,) = by_type.get(b"text", [None])
    summary = text.payload.decode() if text else ""
    (meta,) = [section.payload for section in by_type.get(b"meta", [])] or [None]
    extras = read_extras(meta, [section.payload for section in by_type.get(b"atch", [])])
    return File((data[8], data[9]), read_video(found[0].payload), summary, extras, tracks, entries)


def sections(data: bytes) -> list[Section]:
    """The sections, of which unknown optional ones are left out."""
    at, found = 14, []
    while at < len(data):
        fields = Fields(data[at:])
        kind, flags, size = fields.take(4), fields.u(1), fields.u(8)
        payload = fields.take(size)
        assert zlib.crc32(data[at : at + 13 + size]) == fields.u(4)
        if kind in MANDATORY or kind in OPTIONAL:
            assert flags == 0
            found.append(Section(kind, at, fields.at, payload))
        else:
            assert kind[:1].islower(), f"{kind!r} is mandatory and unknown"
        at += fields.at
    return found


def read_video(payload: bytes) -> SimpleNamespace:
    """Section 4."""
    fields, video = Fields(payload), SimpleNamespace()
    video.width, video.height = fields.varints(2)
    video.time_base, video.rate, video.pixel_aspect = (fields.ratio() for _ in range(3))
    video.scan = ("progressive", "top", "bottom")[fields.u(1)]
    video.bit_depth, video.chroma = fields.u(1), CHROMA[fields.u(1)]
    video.color, video.full_range = tuple(fields.take(3)), (None, False, True)[fields.u(1)]
    count, differences, time = fields.varint(), fields.u(1), fields.svarint()
    times, step = [time], 0
    if differences:
        for _ in range(count - 1):
            step += fields.svarint()
            times.append(times[-1] + step)
    else:
        step = fields.varint()
        times = [time + i * step for i in range(count)]
    video.timestamps, video.final_duration = tuple(times), fields.varint()
    fields.end()
    return video


def read_index(payload: bytes) -> list[SimpleNamespace]:
    """Section 5."""
    fields, entries = Fields(payload), []
    count, offset = fields.varints(2)
    for _ in range(count):
        frames, size, tensors, values, model = fields.varints(5)
        blob = fields.blob()
        config = read_config(model, blob) if model in (0, 1, 2, 3, 4, 5) else None
        entries.append(
            SimpleNamespace(
                frames=frames, offset=offset, size=size, tensor_count=tensors, value_count=values,
                model=model, blob=blob, config=config,
            )
        )  # fmt: skip
        offset += size
    fields.end()
    return entries


def read_config(model: int, blob: bytes) -> SimpleNamespace:
    """Section 5.1."""
    fields, config = Fields(blob), SimpleNamespace()
    config.model = ("b", "t", "t2d", "pixel", "canvas", "sprite")[model]
    config.embedding_shape, stages = fields.varints(3), fields.u(1)
    config.strides, config.kernels, config.widths = (fields.varints(n) for n in (stages, stages, stages + 1))
    config.blocks = fields.varint()
    config.temporal_shape = fields.varints(3) if model in (1, 2) else None
    config.canvas = None
    if model in (4, 5):
        config.canvas = (*fields.varints(2), fields.varint() if model == 5 else 0)
    config.scenes, first = (), 0
    for _ in range(fields.varint() if model == 5 else 0):
        first += fields.varint()
        config.scenes += (first,)
    fields.end()
    return config


def read_segment(segment: SimpleNamespace, section: Section) -> None:
    """Section 6: put what the section holds into the segment."""
    fields, nnc, frames = Fields(section.payload), section.type == b"SNNC", segment.frames
    flags, deflated, directory = fields.u(1), fields.u(1), fields.blob()
    assert flags in (0, 1)
    assert deflated in (0, 1)
    rows, embeddings = read_directory(zlib.decompress(directory, -15) if deflated else directory)
    assert len(rows) == segment.tensor_count
    assert sum(prod(row.shape) for row in rows) == segment.value_count
    assert embeddings == (2 if segment.model in (1, 2, 5) else 1)
    side = Fields(fields.blob())
    segment.side = [side.f16s(0 if segment.model in (3, 4, 5) else 2) for _ in range(frames)]
    side.end()
    segment.weights, segment.embeddings = [], []
    for number, row in enumerate(rows):
        embedded = number >= len(rows) - embeddings
        if nnc and not embedded:
            assert (row.bits, row.grid, row.coder, row.size) == (0, 0, 255, 0)
            tensor = Tensor(row.name, row.shape, 0, None, [], [], [])
        else:
            tensor = read_tensor(fields, row)
        (segment.embeddings if embedded else segment.weights).append(tensor)
    checksums = frames if flags & 1 else 0
    segment.nnc = fields.take(len(fields.data) - fields.at - 4 * checksums) if nnc else None
    segment.checksums = tuple(fields.u(4) for _ in range(checksums))
    fields.end()


def read_directory(table: bytes) -> tuple[list[SimpleNamespace], int]:
    """The rows of the directory, and how many of them are embeddings."""
    fields = Fields(table)
    count, embeddings = fields.varints(2)
    names = [fields.string() for _ in range(count)]
    shapes = [fields.varints(fields.u(1)) for _ in range(count)]
    bits, grids, coders = (list(fields.take(count)) for _ in range(3))
    sizes = fields.varints(count)
    fields.end()
    columns = zip(names, shapes, bits, grids, coders, sizes, strict=True)
    keys = ("name", "shape", "bits", "grid", "coder", "size")
    return [SimpleNamespace(**dict(zip(keys, row, strict=True))) for row in columns], embeddings


def read_tensor(fields: Fields, row: SimpleNamespace) -> Tensor:
    """Scales, offsets and symbols."""
    axis = row.grid - 1 if row.grid else None
    grids = 1 if axis is None else row.shape[axis]
    scales, offsets = fields.f16s(grids), fields.f16s(grids)
    decoded = symbols.decode_tensor(row.coder, fields.take(row.size), row.shape, row.bits, scales, offsets, axis)
    return Tensor(row.name, row.shape, row.bits, axis, scales, offsets, decoded)


def read_track(payload: bytes, data: bytes) -> SimpleNamespace:
    """Section 8."""
    fields, track, content = Fields(payload), SimpleNamespace(), Fields(data)
    track.kind, track.codec, track.language = ("audio", "subtitle")[fields.u(1)], fields.string(), fields.string()
    roles = fields.varint()
    assert roles < 1 << len(ROLES)
    track.roles = tuple(role for bit, role in enumerate(ROLES) if roles >> bit & 1)
    track.sample_rate, track.skip, track.drop = fields.varints(3)
    track.tags = read_tags(fields)
    track.time_base, track.description, track.packets = fields.ratio(), fields.blob(), []
    end = duration = 0
    for _ in range(fields.varint()):
        size, key = divmod(fields.varint(), 2)
        dts = end + fields.svarint()
        pts = dts + fields.svarint()
        duration += fields.svarint()
        end = dts + duration
        track.packets.append((content.take(size), pts, dts, duration, bool(key)))
    fields.end()
    content.end()
    return track


def read_tags(fields: Fields) -> tuple[tuple[str, str], ...]:
    """Section 8.1."""
    return tuple((fields.string(), fields.string()) for _ in range(fields.varint()))


def read_extras(meta: bytes | None, attached: list[bytes]) -> SimpleNamespace:
    """Section 8.1: `meta` is None where there is no such section."""
    fields = Fields(bytes(3) if meta is None else meta)
    extras, end = SimpleNamespace(tags=read_tags(fields), chapters=[], attachments=[]), 0
    for _ in range(fields.varint()):
        start = end + fields.svarint()
        end = start + fields.varint()
        extras.chapters.append((start, end, fields.string()))
    kinds = fields.u(1)
    assert kinds < 4
    extras.mastering = fields.varints(10) if kinds & 1 else None
    extras.light = fields.varints(2) if kinds & 2 else None
    fields.end()
    for payload in attached:
        fields = Fields(payload)
        extras.attachments.append((fields.string(), fields.string(), fields.blob()))
        fields.end()
    return extras
