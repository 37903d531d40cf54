"""The SEGM and SNNC sections: the tensors of a run of frames (SPEC.md, "SEGM")."""

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import prod

from .drafts import encode_tensors
from .entropy import Grid, decode_tensor
from .errors import Corrupt, LimitExceeded, UnsupportedVersion
from .fields import Reader, Writer
from .models import DecoderConfig, UnknownModel
from .sections import CHECKSUM_SIZE, NNC_SEGMENT, SEGMENT, payload_of, write_section
from .types import (
    MAX_BITS,
    MAX_DIMENSIONS,
    MAX_NAME,
    MAX_TENSOR_VALUES,
    NncTensors,
    QuantizedTensor,
    Segment,
    Shape,
    check_embeddings,
)

MAX_TENSORS = 1 << 12
MAX_DIRECTORY = 1 << 20  # bytes, once inflated
MAX_SEGMENT_VALUES = 1 << 28
MAX_SIDE = 1 << 24  # bytes of a segment's side values
# A tensor of one value only takes no bytes for its symbols, so bytes must bound values some other way. The
# sparsest network worth sending spends more than 0.01 bit a value, about 800 values a byte.
MAX_VALUES_PER_BYTE = 1 << 10
HAS_CHECKSUMS = 1
STORED, DEFLATED = 0, 1
RAW_DEFLATE = -15
ELSEWHERE = 255  # the coder of tensors that the NNC bitstream at the section's end holds

# Raises `Corrupt` where tensors of these names and shapes are not those of the decoder that a configuration describes.
Expect = Callable[[DecoderConfig, Sequence[tuple[str, Shape]]], None]


@dataclass(frozen=True, slots=True)
class _Row:
    """One tensor in the directory; `grid` is 0 for one grid, or 1 + the axis it varies along."""

    name: str
    shape: Shape
    bits: int
    grid: int
    coder: int
    size: int

    @property
    def axis(self) -> int | None:
        return None if self.grid == 0 else self.grid - 1

    @property
    def grid_count(self) -> int:
        """Number of scales, and of offsets."""
        return 1 if self.axis is None else self.shape[self.axis]


def check_values(values: int, size: int) -> None:
    """Raise `LimitExceeded` where a section of `size` bytes may not hold `values` symbols."""
    limit = min(MAX_SEGMENT_VALUES, MAX_VALUES_PER_BYTE * size)
    if values > limit:
        raise LimitExceeded(f"{values} tensor values is above the limit of {limit} for {size} bytes")


@dataclass(frozen=True, slots=True)
class CodedSegment:
    """A segment as bytes: what a file needs of it, whether it was just coded or is copied from another file.

    `section` is the whole section, header and checksum included. `tensor_count` and `value_count` include the
    embeddings.
    """

    frame_count: int
    config: DecoderConfig | UnknownModel
    tensor_count: int
    value_count: int
    section: bytes

    @property
    def symbol_bytes(self) -> int:
        """Bytes of the coded symbols of all tensors, their tables included."""
        fields = Reader(payload_of(self.section), "segment")
        flags = fields.uint(1)
        rows, _ = _read_directory(fields)
        fields.blob(MAX_SIDE)
        grids = sum(4 * row.grid_count for row in rows if row.coder != ELSEWHERE)
        return fields.remaining - grids - _checksums_size(flags, self.frame_count)

    @property
    def tensor_bytes(self) -> dict[str, int]:
        """The same of each tensor by name, but for those that an NNC bitstream holds."""
        fields = Reader(payload_of(self.section), "segment")
        fields.uint(1)
        rows, _ = _read_directory(fields)
        return {row.name: row.size for row in rows if row.coder != ELSEWHERE}

    def with_checksums(self, checksums: Sequence[int]) -> "CodedSegment":
        """The segment, which has none yet, with the CRC-32 of each decoded frame."""
        payload = bytearray(payload_of(self.section))
        if payload[0] & HAS_CHECKSUMS or len(checksums) != self.frame_count:
            raise ValueError(f"{len(checksums)} checksums for {self.frame_count} frames, or there are some already")
        payload[0] |= HAS_CHECKSUMS
        payload += b"".join(checksum.to_bytes(CHECKSUM_SIZE, "little") for checksum in checksums)
        return replace(self, section=write_section(self.section[:4], bytes(payload)))


def write_segment(segment: Segment) -> CodedSegment:
    """Code a segment, as SNNC where it has an NNC bitstream. Raises `LimitExceeded`."""
    rows = [_Row(name, shape, 0, 0, ELSEWHERE, 0) for name, shape in segment.nnc.shapes] if segment.nnc else []
    parts = Writer()
    for tensor, (coder, data) in zip(segment.all_tensors, encode_tensors(segment.all_tensors), strict=True):
        grid = 0 if tensor.axis is None else tensor.axis + 1
        rows.append(_Row(tensor.name, tensor.shape, tensor.bits, grid, coder, len(data)))
        parts.float16s(tensor.scales)
        parts.float16s(tensor.offsets)
        parts.raw(data)
    out, side = Writer(), Writer()
    out.uint(0, 1)
    _write_directory(out, rows, len(segment.embeddings))
    side.float16s(segment.side)
    out.blob(side.finish(), MAX_SIDE)
    out.raw(parts.finish())
    out.raw(segment.nnc.data if segment.nnc else b"")
    values = sum(prod(row.shape) for row in rows)
    check_values(values, len(out))
    section = write_section(NNC_SEGMENT if segment.nnc else SEGMENT, out.finish())
    coded = CodedSegment(segment.frame_count, segment.config, len(rows), values, section)
    return coded.with_checksums(segment.frame_checksums) if segment.frame_checksums else coded


def read_segment(coded: CodedSegment, first_frame: int, expect: Expect | None = None) -> Segment:
    """Inverse of `write_segment`; `expect` is asked about the decoder's tensors before any is decoded.

    Raises `BitstreamError`, of which `UnsupportedVersion` for a model that this version does not know, or
    `ValueError` where the values contradict.
    """
    config, frames, nnc = coded.config, coded.frame_count, coded.section[:4] == NNC_SEGMENT
    if isinstance(config, UnknownModel):
        raise UnsupportedVersion(f"decoder model {config.number} is not known to this version; install a newer one")
    fields = Reader(payload_of(coded.section), "segment")
    flags = fields.uint(1)
    if flags & ~HAS_CHECKSUMS:
        raise UnsupportedVersion(f"segment flags {flags} are not known to this version; install a newer one")
    rows, count = _read_directory(fields)
    if count != len(config.embedding_shapes):
        raise Corrupt(f"{count} tensors of embeddings where the segment's model has {len(config.embedding_shapes)}")
    values = sum(prod(row.shape) for row in rows)
    check_values(values, fields.size)
    if (len(rows), values) != (coded.tensor_count, coded.value_count):
        raise Corrupt("the segment does not hold the tensors that the index announces")
    weights, embeddings = rows[:-count], rows[-count:]
    _check_coders(weights if nnc else [], embeddings if nnc else rows)
    check_embeddings(config, frames, [row.shape for row in embeddings])
    shapes = tuple((row.name, row.shape) for row in weights)
    if expect is not None:
        expect(config, shapes)
    side = Reader(fields.blob(MAX_SIDE), "side values")
    side_values = side.float16s(frames * config.layout.frame_values).reshape(frames, -1)
    side.finish()
    tensors = () if nnc else tuple(_read_tensor(fields, row) for row in weights)
    embedded = tuple(_read_tensor(fields, row) for row in embeddings)
    size = _checksums_size(flags, frames)
    bitstream = NncTensors(shapes, fields.raw(max(fields.remaining - size, 0))) if nnc else None
    packed = fields.raw(size)
    fields.finish()
    return Segment(
        first_frame=first_frame,
        config=config,
        tensors=tensors,
        embeddings=embedded,
        side=side_values,
        frame_checksums=tuple(int.from_bytes(packed[i : i + 4], "little") for i in range(0, size, CHECKSUM_SIZE)),
        nnc=bitstream,
    )


def _check_coders(elsewhere: Sequence[_Row], here: Sequence[_Row]) -> None:
    """Whether the NNC bitstream holds tensors, or the section itself, is to be told by their rows too."""
    if any((row.bits, row.grid, row.coder, row.size) != (0, 0, ELSEWHERE, 0) for row in elsewhere):
        raise Corrupt("a tensor of an NNC segment is coded apart")
    for row in here:
        if not 1 <= row.bits <= MAX_BITS:
            raise Corrupt(f"{row.name}: {row.bits} bits is not in 1..{MAX_BITS}")


def _checksums_size(flags: int, frames: int) -> int:
    return CHECKSUM_SIZE * frames if flags & HAS_CHECKSUMS else 0


def _read_tensor(fields: Reader, row: _Row) -> QuantizedTensor:
    scales, offsets = fields.float16s(row.grid_count), fields.float16s(row.grid_count)
    grid = Grid(row.shape, row.bits, scales, offsets, row.axis)
    symbols = decode_tensor(row.coder, fields.raw(row.size), grid)
    return QuantizedTensor(row.name, row.shape, row.bits, symbols, scales, offsets, row.axis)


def _write_directory(out: Writer, rows: list[_Row], embeddings: int) -> None:
    if len(rows) > MAX_TENSORS:
        raise LimitExceeded(f"{len(rows)} tensors is above the limit of {MAX_TENSORS}")
    table = Writer()
    table.varint(len(rows))
    table.varint(embeddings)  # of the tensors, how many (the last ones) are embeddings
    # By column, because like stands next to like and deflates well.
    for row in rows:
        table.string(row.name, MAX_NAME)
    for row in rows:
        table.uint(len(row.shape), 1)
        for side in row.shape:
            table.varint(side)
    for column in ("bits", "grid", "coder"):
        for row in rows:
            table.uint(getattr(row, column), 1)
    for row in rows:
        table.varint(row.size)
    plain = table.finish()
    deflater = zlib.compressobj(9, zlib.DEFLATED, RAW_DEFLATE)
    packed = deflater.compress(plain) + deflater.flush()
    coding, data = min(((STORED, plain), (DEFLATED, packed)), key=lambda choice: len(choice[1]))
    out.uint(coding, 1)
    out.blob(data, MAX_DIRECTORY)


def _read_directory(fields: Reader) -> tuple[list[_Row], int]:
    """The rows, and how many of them, the last ones, are embeddings."""
    table = Reader(_inflate(fields.uint(1), fields.blob(MAX_DIRECTORY)), "tensor directory")
    count, embeddings = table.varint(MAX_TENSORS), table.varint()
    if not 0 < embeddings < count:
        raise Corrupt("a segment needs embeddings and one more tensor")
    names = [table.string(MAX_NAME) for _ in range(count)]
    shapes = [_read_shape(table) for _ in range(count)]
    bits, grids, coders = ([table.uint(1) for _ in range(count)] for _ in range(3))
    sizes = [table.varint(fields.remaining) for _ in range(count)]
    table.finish()
    rows = [_Row(*row) for row in zip(names, shapes, bits, grids, coders, sizes, strict=True)]
    for row in rows:
        if row.grid > len(row.shape):
            raise UnsupportedVersion(f"{row.name}: grid {row.grid} is not known for {len(row.shape)} axes")
    return rows, embeddings


def _read_shape(table: Reader) -> Shape:
    dimensions = table.uint(1)
    if not 1 <= dimensions <= MAX_DIMENSIONS:
        raise Corrupt(f"a tensor has {dimensions} dimensions, not 1..{MAX_DIMENSIONS}")
    shape = tuple(table.varint(MAX_TENSOR_VALUES) for _ in range(dimensions))
    if 0 in shape:
        raise Corrupt(f"a tensor has shape {shape}")
    return shape


def _inflate(coding: int, data: bytes) -> bytes:
    if coding == STORED:
        return data
    if coding != DEFLATED:
        raise UnsupportedVersion(f"directory coding {coding} is not known to this reader")
    inflater = zlib.decompressobj(RAW_DEFLATE)
    try:
        plain = inflater.decompress(data, MAX_DIRECTORY)
    except zlib.error:
        raise Corrupt("the tensor directory does not inflate") from None
    if inflater.unconsumed_tail:
        raise LimitExceeded(f"the tensor directory is larger than {MAX_DIRECTORY} bytes")
    if not inflater.eof or inflater.unused_data:
        raise Corrupt("the tensor directory does not inflate to its end")
    return plain
