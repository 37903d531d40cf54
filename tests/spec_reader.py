"""A reader of whole files in plain Python, written from SPEC.md and nothing else. It trusts its input."""

import struct
import zlib
from math import prod
from types import SimpleNamespace

import numpy as np
from range_oracle import decode_tensor, varint

MODELS = ("b", "t", "t2d")


class Fields:
    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, size):
        self.at += size
        return self.data[self.at - size : self.at]

    def u8(self):
        return self.take(1)[0]

    def varint(self):
        value, self.at = varint(self.data, self.at)
        return value

    def varints(self, count):
        return tuple(self.varint() for _ in range(count))

    def blob(self):
        return self.take(self.varint())

    def halves(self, count):
        return struct.unpack(f"<{count}e", self.take(2 * count))


def section(data, at):
    """Type, payload, and the offset of the next section."""
    kind, flags, size = struct.unpack_from("<4sBQ", data, at)
    end = at + 13 + size
    assert flags == 0
    assert zlib.crc32(data[at:end]) == int.from_bytes(data[end : end + 4], "little")
    return kind, data[at + 13 : end], end + 4


def read_segments(data):
    """The segments of a file: configuration, tensors with symbols and values, side values and checksums."""
    assert data[:8] == b"\x8fSNRV\r\n\x1a"
    assert data[8] == 2
    (index_at,) = struct.unpack("<Q", data[-12:-4])
    kind, index, done_at = section(data, index_at)
    assert (kind, section(data, done_at)[0]) == (b"INDX", b"DONE")
    index = Fields(index)
    segments = []
    count, at = index.varints(2)
    for _ in range(count):
        frames, size, tensors, values, model = index.varints(5)
        config = read_config(MODELS[model], Fields(index.blob()))
        kind, payload, end = section(data, at)
        assert (kind, end - at) == (b"SEGM", size)
        segment = read_segment(Fields(payload), frames, config)
        held = (*segment.tensors, *segment.embeddings)
        assert (len(held), sum(prod(tensor.shape) for tensor in held)) == (tensors, values)
        segments.append(segment)
        at = end
    return segments


def read_config(model, fields):
    shape, stages = fields.varints(3), fields.u8()
    strides, kernels, widths = fields.varints(stages), fields.varints(stages), fields.varints(stages + 1)
    blocks = fields.varint()
    temporal = None if model == "b" else fields.varints(3)
    assert fields.at == len(fields.data)
    return SimpleNamespace(
        model=model,
        embedding_shape=shape,
        strides=strides,
        kernels=kernels,
        widths=widths,
        blocks=blocks,
        temporal_shape=temporal,
    )


def read_segment(fields, frames, config):
    flags, coding, directory = fields.u8(), fields.u8(), fields.blob()
    rows, embedded = read_directory(Fields(zlib.decompress(directory, -15) if coding else directory))
    side = Fields(fields.blob())
    ranges = [side.halves(2) for _ in range(frames)]
    tensors = [read_tensor(fields, *row) for row in rows]
    checksums = [int.from_bytes(fields.take(4), "little") for _ in range(frames)] if flags & 1 else []
    assert fields.at == len(fields.data)
    return SimpleNamespace(
        config=config, tensors=tensors[:-embedded], embeddings=tensors[-embedded:], side=ranges, checksums=checksums
    )


def read_directory(table):
    count, embedded = table.varints(2)
    names = [table.blob().decode() for _ in range(count)]
    shapes = [table.varints(table.u8()) for _ in range(count)]
    bits, grids, coders = ([table.u8() for _ in range(count)] for _ in range(3))
    sizes = [table.varint() for _ in range(count)]
    assert table.at == len(table.data)
    return list(zip(names, shapes, bits, grids, coders, sizes, strict=True)), embedded


def read_tensor(fields, name, shape, bits, grid, coder, size):
    axis = grid - 1 if grid else None
    grids = shape[axis] if grid else 1
    scales, offsets = fields.halves(grids), fields.halves(grids)
    symbols = decode_tensor(coder, fields.take(size), shape, bits, scales, offsets, axis)
    along = [1] * len(shape)
    if grid:
        along[axis] = grids
    scale, offset = (np.array(values, np.float32).reshape(along) for values in (scales, offsets))
    values = offset + scale * np.array(symbols, np.float32).reshape(shape)
    return SimpleNamespace(name=name, shape=shape, bits=bits, axis=axis, symbols=symbols, values=values)
