"""Forged files: each is told by its number alone, and begins as one of the samples."""

import zlib
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from math import prod
from random import Random

from snerv_codec.bitstream.errors import BitstreamError
from snerv_codec.bitstream.fields import Reader, Writer, zigzag
from snerv_codec.bitstream.indexsection import SegmentEntry, read_index, write_index
from snerv_codec.bitstream.sections import FRAMING_SIZE, PROLOGUE_SIZE, write_prologue
from snerv_codec.bitstream.segmentsection import _inflate, _read_directory

from .anatomy import Field, Part, dissect

SEGMENTS = (b"SEGM", b"SNNC")
INTERESTING = (0, 1, 2, 3, 7, 8, 15, 16, 17, 63, 64, 127, 128, 255, 256, 1023, 1024, 4096, 16384, 32768, 65535, 65536)
HUGE = tuple((1 << bits) + step for bits in (20, 24, 28, 30, 31, 32, 61, 62, 63, 64) for step in (-1, 0, 1))
HALVES = (0x0000, 0x8000, 0x3C00, 0xBC00, 0x7BFF, 0xFBFF, 0x0001, 0x7C00, 0xFC00, 0x7E00)
MOST_COPIES = 300


class Forger:
    """Makes files out of samples, which can be read."""

    def __init__(self, samples: Sequence[bytes]) -> None:
        self.samples = [_with_plain_directories(dissect(sample)) for sample in samples]

    def forge(self, number: int) -> bytes:
        """File number `number`."""
        random = Random(number)
        parts = [replace(part) for part in random.choice(self.samples)]
        for _ in range(random.choice((1, 1, 1, 1, 1, 2, 3))):
            part = random.choices(parts, [3 if part.fields else 1 for part in parts])[0]
            part.payload = self._changed(part, random)
            part.fields = []  # they lie elsewhere now
        if random.random() < 0.15:
            self._reorder(parts, random)
        return _assembled(parts, random)

    def _changed(self, part: Part, random: Random) -> bytes:
        if not part.fields or random.random() < 0.15:
            return _scrambled(part.payload, random)
        fields = part.fields
        if random.random() < 0.6:  # else most of a large file's are of packets and tensors
            first = random.randrange(len(fields))
            fields = fields[first // 4 : first // 4 + 30]
        field = random.choice(fields)
        return _with(part.payload, field, self._value(field, part, random), random)

    def _value(self, field: Field, part: Part, random: Random) -> bytes:
        old = part.payload[field.start : field.stop]
        choice = random.random()
        if choice < 0.05:
            return b""
        if choice < 0.1:
            return old + old
        if choice < 0.2:  # another field of the same kind, of any sample
            other = random.choice(random.choice(self.samples))
            alike = [each for each in other.fields if each.kind == field.kind]
            if alike:
                taken = random.choice(alike)
                return other.payload[taken.start : taken.stop]
        make = MAKERS.get(field.kind)
        return make(old, random) if make else _scrambled(old, random)

    def _reorder(self, parts: list[Part], random: Random) -> None:
        """Sections left out, repeated, moved, renamed, or marked with flags."""
        place, other = (random.randrange(len(parts)) for _ in range(2))
        part, way = parts[place], random.randrange(6)
        if way == 0:
            del parts[place]
        elif way == 1:
            parts[place:place] = [part] * random.choice((1, 2, MOST_COPIES))
        elif way == 2:
            parts[place], parts[other] = parts[other], part
        elif way == 3:
            kind = random.choice((b"newt", b"NEWT", part.kind.swapcase(), random.choice(parts).kind))
            parts[place] = replace(part, kind=kind)
        elif way == 4:
            parts[place] = replace(part, flags=random.choice((1, 2, 255)))
        else:
            parts.insert(place, random.choice(random.choice(self.samples)))


def _number(random: Random, old: int) -> int:
    near = (old + random.choice((-2, -1, 1, 2)), old * 2, old // 2, old ^ 1 << random.randrange(40))
    return random.choice((random.choice(near), random.choice(INTERESTING), random.choice(HUGE), random.getrandbits(64)))


def _varint(value: int) -> bytes:
    out = Writer()
    out.varint(value % (1 << 64))
    return out.finish()


def _of(old: bytes) -> int:
    with suppress(BitstreamError):
        return Reader(old, "old").varint()
    return 0


def _some_varint(old: bytes, random: Random) -> bytes:
    if random.random() < 0.05:  # not in its shortest form, or too long
        return random.choice((b"\x80\x00", b"\xff" * 9 + b"\x02", b"\xff" * 11, b"\x80" * 10 + b"\x01"))
    return _varint(_number(random, _of(old)))


def _some_signed(old: bytes, random: Random) -> bytes:
    return _varint(zigzag(_number(random, 0)) if random.random() < 0.5 else zigzag(-_number(random, 0)))


def _some_uint(old: bytes, random: Random) -> bytes:
    value = _number(random, int.from_bytes(old, "little"))
    return (value % (1 << 8 * len(old))).to_bytes(len(old), "little")


def _some_ratio(old: bytes, random: Random) -> bytes:
    return _some_varint(b"\x01", random) + _some_varint(b"\x01", random)


def _some_blob(old: bytes, random: Random) -> bytes:
    fields = Reader(old, "old")
    with suppress(BitstreamError):
        content = _scrambled(fields.blob(len(old)), random)
        if random.random() < 0.1:
            content = b""
        return _varint(len(content) if random.random() < 0.9 else _number(random, len(content))) + content
    return old


def _some_halves(old: bytes, random: Random) -> bytes:
    changed = bytearray(old)
    for _ in range(random.choice((1, 1, 3))):
        if len(old) >= 2:
            place = 2 * random.randrange(len(old) // 2)
            value = random.choice((random.choice(HALVES), random.getrandbits(16)))
            changed[place : place + 2] = value.to_bytes(2, "little")
    return bytes(changed)


MAKERS: dict[str, Callable[[bytes, Random], bytes]] = {
    "uint": _some_uint,
    "varint": _some_varint,
    "signed": _some_signed,
    "fraction": _some_ratio,
    "blob": _some_blob,
    "string": _some_blob,
    "float16s": _some_halves,
}


def _scrambled(data: bytes, random: Random) -> bytes:
    """Bytes changed, put in or taken out, without a look at what they mean."""
    changed = bytearray(data)
    for _ in range(random.choice((1, 1, 2, 4, 16))):
        place = random.randrange(len(changed) + 1)
        way = random.randrange(5)
        if way == 0 or not changed:
            changed[place:place] = random.choice((b"\0", b"\xff" * 4, b"\x80", random.randbytes(8)))
        elif way == 1:
            del changed[place : place + random.choice((1, 2, 8, 64))]
        elif way == 2:
            changed[place : place + 8] = random.randbytes(len(changed[place : place + 8]))
        else:
            changed[min(place, len(changed) - 1)] = random.choice((0, 1, 0x7F, 0x80, 0xFF, random.randrange(256)))
    return bytes(changed)


def _with(payload: bytes, field: Field, value: bytes, random: Random) -> bytes:
    """The payload with another field; mostly what it lies in keeps its length, as a length elsewhere tells it."""
    start, stop = field.region
    whole = (start, stop) == (0, len(payload))
    inner = payload[start : field.start] + value + payload[field.stop : stop]
    if not whole and random.random() < 0.8:
        inner = inner[: stop - start].ljust(stop - start, b"\0")
    return payload[:start] + inner + payload[stop:]


def _with_plain_directories(parts: list[Part]) -> list[Part]:
    """The same file with directories that are not deflated, so that their fields can be changed."""
    for part in parts:
        if part.kind in SEGMENTS and part.fields:
            fields = Reader(part.payload, "segment")
            flags = fields.raw(1)
            directory = _inflate(fields.uint(1), fields.blob(len(part.payload)))
            part.payload = flags + b"\0" + _varint(len(directory)) + directory + fields.rest()
    return dissect(_assembled(parts, Random(0), always=True))


def _section(part: Part) -> bytes:
    head = part.kind + bytes([part.flags]) + len(part.payload).to_bytes(8, "little")
    return head + part.payload + zlib.crc32(head + part.payload).to_bytes(4, "little")


def _assembled(parts: list[Part], random: Random, *, always: bool = False) -> bytes:
    """The file of these sections; its index and end mark mostly tell the truth of them."""
    offset, index, segments = PROLOGUE_SIZE, 0, []
    for part in parts:
        if part.kind in SEGMENTS:
            segments.append((offset, part))
        elif part.kind == b"INDX":
            index = offset
            if segments and (always or random.random() < 0.85):
                part.payload = _index_of(part.payload, segments, always or random.random() < 0.9)
        elif part.kind == b"DONE" and (always or random.random() < 0.97):
            part.payload = index.to_bytes(8, "little")
        offset += len(part.payload) + FRAMING_SIZE
    return write_prologue() + b"".join(map(_section, parts))


def _index_of(payload: bytes, segments: list[tuple[int, Part]], counts: bool) -> bytes:
    with suppress(BitstreamError, ValueError, ArithmeticError):
        entries = list(read_index(payload))
        for number, (offset, part) in enumerate(segments[: len(entries)]):
            entry = replace(entries[number], offset=offset, length=len(part.payload) + FRAMING_SIZE)
            entries[number] = _counted(entry, part.payload) if counts else entry
        return write_index(entries)
    return payload


def _counted(entry: SegmentEntry, payload: bytes) -> SegmentEntry:
    with suppress(BitstreamError, ValueError):
        fields = Reader(payload, "segment")
        fields.uint(1)
        rows, _ = _read_directory(fields)
        values = sum(prod(row.shape) for row in rows)
        return replace(entry, tensor_count=len(rows), value_count=min(values, (1 << 64) - 1))
    return entry
