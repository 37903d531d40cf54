"""The SEGM and SNNC sections: the tensors of a run of frames (SPEC.md, "SEGM")."""

import zlib
from dataclasses import dataclass
from math import prod

from bitstream.drafts import encode_tensors
from bitstream.entropy import Grid, decode_tensor
from bitstream.errors import Corrupt, LimitExceeded, UnsupportedVersion
from bitstream.fields import Reader, Writer
from bitstream.types import (
    MAX_DIMENSIONS,
    MAX_NAME,
    MAX_TENSOR_VALUES,
    DecoderConfig,
    NncTensors,
    QuantizedTensor,
    Segment,
)

MAX_TENSORS = 1 << 12
MAX_DIRECTORY = 1 << 20  # bytes, once inflated
MAX_SEGMENT_VALUES = 1 << 28
# A tensor of one value only takes no bytes for its symbols, so bytes must bound values some other way. The
# sparsest network worth sending spends more than 0.01 bit a value, about 800 values a byte.
MAX_VALUES_PER_BYTE = 1 << 10
HAS_CHECKSUMS = 1
STORED, DEFLATED = 0, 1
RAW_DEFLATE = -15
ELSEWHERE = 255  # the coder of tensors that the NNC bitstream at the section's end holds


@dataclass(frozen=True, slots=True)
class _Row:
    """One tensor in the directory; `grid` is 0 for one grid, or 1 + the axis it varies along."""

    name: str
    shape: tuple[int, ...]
    bits: int
    grid: int
    coder: int
    size: int

    @property
    def axis(self) -> int | None:
        return None if self.grid == 0 else self.grid - 1


def check_values(values: int, size: int) -> None:
    """Raise `LimitExceeded` where a section of `size` bytes may not hold `values` symbols."""
    limit = min(MAX_SEGMENT_VALUES, MAX_VALUES_PER_BYTE * size)
    if values > limit:
        raise LimitExceeded(f"{values} tensor values is above the limit of {limit} for {size} bytes")


def count_values(segment: Segment) -> int:
    """Symbols in all of a segment's tensors."""
    weights = sum(prod(shape) for _, shape in segment.shapes)
    return weights + sum(prod(tensor.shape) for tensor in segment.embeddings)


def coded_size(segment: Segment) -> int:
    """Bytes of the coded symbols of all tensors, their tables included."""
    tensors = (*segment.tensors, *segment.embeddings)
    coded = sum(len(data) for _, data in encode_tensors(tensors))
    return coded + (len(segment.nnc.data) if segment.nnc else 0)


def write_segment(segment: Segment) -> bytes:
    """Payload of the section, a SNNC where the segment has an NNC bitstream. Raises `LimitExceeded`."""
    rows = [_Row(name, shape, 0, 0, ELSEWHERE, 0) for name, shape in segment.nnc.shapes] if segment.nnc else []
    parts = Writer()
    tensors = (*segment.tensors, *segment.embeddings)
    for tensor, (coder, data) in zip(tensors, encode_tensors(tensors), strict=True):
        grid = 0 if tensor.axis is None else tensor.axis + 1
        rows.append(_Row(tensor.name, tensor.shape, tensor.bits, grid, coder, len(data)))
        parts.float16s(tensor.scales)
        parts.float16s(tensor.offsets)
        parts.raw(data)
    out = Writer()
    out.uint(HAS_CHECKSUMS if segment.frame_checksums else 0, 1)
    _write_directory(out, rows, len(segment.embeddings))
    out.float16s(segment.ll_ranges)
    for checksum in segment.frame_checksums:
        out.uint(checksum, 4)
    out.raw(parts.finish())
    if segment.nnc:
        out.raw(segment.nnc.data)
    check_values(count_values(segment), len(out))
    return out.finish()


def read_segment(
    payload: bytes, first_frame: int, frame_count: int, config: DecoderConfig, *, nnc: bool = False
) -> Segment:
    """Inverse of `write_segment`, for a SNNC section with `nnc`.

    Raises `BitstreamError`, or `ValueError` where the values contradict.
    """
    fields = Reader(payload, "segment")
    flags = fields.uint(1)
    if flags & ~HAS_CHECKSUMS:
        raise UnsupportedVersion(f"segment flags {flags} are not known to this reader")
    rows = _read_directory(fields, len(config.embedding_shapes))
    check_values(sum(prod(row.shape) for row in rows), len(payload))
    ll_ranges = fields.float16s(2 * frame_count).reshape(frame_count, 2)
    packed = fields.raw(4 * frame_count if flags & HAS_CHECKSUMS else 0)
    count = len(rows) - len(config.embedding_shapes)
    weights, embeddings = rows[:count], rows[count:]
    if nnc and any((row.bits, row.grid, row.coder, row.size) != (0, 0, ELSEWHERE, 0) for row in weights):
        raise Corrupt("a tensor of an NNC segment is coded apart")
    tensors = [] if nnc else [_read_tensor(fields, row) for row in weights]
    embedded = [_read_tensor(fields, row) for row in embeddings]
    shapes = tuple((row.name, row.shape) for row in weights)
    bitstream = NncTensors(shapes, fields.raw(fields.remaining)) if nnc else None
    fields.finish()
    return Segment(
        first_frame=first_frame,
        config=config,
        tensors=tuple(tensors),
        embeddings=tuple(embedded),
        ll_ranges=ll_ranges,
        frame_checksums=tuple(int.from_bytes(packed[i : i + 4], "little") for i in range(0, len(packed), 4)),
        nnc=bitstream,
    )


def _read_tensor(fields: Reader, row: _Row) -> QuantizedTensor:
    grids = 1 if row.axis is None else row.shape[row.axis]
    scales, offsets = fields.float16s(grids), fields.float16s(grids)
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


def _read_directory(fields: Reader, embeddings: int) -> list[_Row]:
    table = Reader(_inflate(fields.uint(1), fields.blob(MAX_DIRECTORY)), "tensor directory")
    count, found = table.varint(MAX_TENSORS), table.varint()
    if found != embeddings:
        raise Corrupt(f"{found} tensors of embeddings where the segment's model has {embeddings}")
    if count <= embeddings:
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
    return rows


def _read_shape(table: Reader) -> tuple[int, ...]:
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
