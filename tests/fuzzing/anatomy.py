"""Where the fields of a file lie, as its reader takes them: whatever sections and fields there are, it knows them."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any

from snerv_codec.bitstream.container import StreamFile
from snerv_codec.bitstream.errors import BitstreamError
from snerv_codec.bitstream.fields import Reader
from snerv_codec.bitstream.sections import CHECKSUM_SIZE, HEADER_SIZE, SectionFile

KINDS = ("uint", "varint", "signed", "raw", "blob", "string", "fraction", "float16s", "varints")


@dataclass
class Field:
    """A field at bytes `start` to `stop` of a payload; `region` is what it lies in: a blob, or all of the payload."""

    kind: str
    start: int
    stop: int
    region: tuple[int, int]


@dataclass
class Part:
    """A section: its type, flags, payload, and the fields of that as far as the reader looked at them."""

    kind: bytes
    flags: int
    payload: bytes
    fields: list[Field] = field(default_factory=list)


def dissect(data: bytes) -> list[Part]:
    """The sections of a file that can be read."""
    parts = [
        Part(entry.type, entry.flags, data[entry.offset + HEADER_SIZE : entry.end - CHECKSUM_SIZE])
        for entry in SectionFile(BytesIO(data)).sections
    ]
    with _recording() as record, StreamFile(data) as file:
        file.read_tracks()
        file.read_extras()
        for number in range(len(file.header.segments)):
            with suppress(BitstreamError):  # a model that nobody knows
                file.read_segment(number)
    for payload, fields in record.found():
        for part in parts:
            if part.payload == payload and not part.fields:
                part.fields = fields
    return parts


class _Record:
    """What readers took, by the payload that each began with; one of a part of it counts from that part's start."""

    def __init__(self) -> None:
        self.fields: dict[int, list[Field]] = {}  # by number of the payload
        self.payloads: list[bytes] = []
        self.places: dict[int, tuple[int, int]] = {}  # of bytes that were taken: payload and offset
        self.kept: list[Any] = []  # so that no two have the same identity
        self.busy = False

    def begin(self, reader: Any, data: Any) -> None:
        place = self.places.get(id(data))
        if place is None:
            self.payloads.append(bytes(data))
            place = (len(self.payloads) - 1, 0)
        reader._place = place

    def take(self, method: str, original: Any, reader: Any, *arguments: Any) -> Any:
        number, base = reader._place
        start, outermost = base + reader._position, not self.busy
        self.busy = True
        try:
            result = original(reader, *arguments)
        finally:
            self.busy = self.busy and not outermost
        stop = base + reader._position
        if isinstance(result, bytes):
            self.kept.append(result)
            self.places[id(result)] = (number, stop - len(result))
        if outermost:
            region = (base, base + reader.size)
            found = self.fields.setdefault(number, [])
            if method == "varints":
                found += _one_by_one(self.payloads[number], start, stop, region)
            else:
                found.append(Field(method, start, stop, region))
        return result

    def found(self) -> Iterator[tuple[bytes, list[Field]]]:
        for number, fields in self.fields.items():
            yield self.payloads[number], fields


def _one_by_one(payload: bytes, start: int, stop: int, region: tuple[int, int]) -> Iterator[Field]:
    for place in range(start, stop):
        if payload[place] < 0x80:
            yield Field("varint", start, place + 1, region)
            start = place + 1


class _Recorded(Reader):
    """A reader that can carry more."""

    _place: tuple[int, int]


@contextmanager
def _recording() -> Iterator[_Record]:
    record, before = _Record(), {name: getattr(Reader, name) for name in ("__init__", *KINDS)}

    def patched(name: str) -> Any:
        return lambda reader, *arguments: record.take(name, before[name], reader, *arguments)

    def begin(reader: Any, data: Any, what: str) -> None:
        record.begin(reader, data)
        before["__init__"](reader, data, what)

    try:
        setattr(Reader, "__init__", begin)  # noqa: B010
        for name in KINDS:
            setattr(Reader, name, patched(name))
        yield record
    finally:
        for name, method in before.items():
            setattr(Reader, name, method)
