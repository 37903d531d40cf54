"""The frame of a stream: signature, version, and a list of checked sections (SPEC.md, "Sections")."""

import errno
import io
import os
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from threading import Lock
from typing import BinaryIO

from .errors import Corrupt, Damaged, LimitExceeded, NotAStream, Truncated, UnsupportedVersion
from .fields import Reader, Writer

# Not text, and harmed by whoever strips the eighth bit, translates line ends or stops at ^Z.
SIGNATURE = b"\x8fSNRV\r\n\x1a"
VERSION = (2, 0)
PROLOGUE_SIZE = 14
HEADER_SIZE = 13
CHECKSUM_SIZE = 4
FRAMING_SIZE = HEADER_SIZE + CHECKSUM_SIZE
MAX_SECTIONS = 1 << 18

VIDEO, INDEX, SEGMENT, END = b"INFO", b"INDX", b"SEGM", b"DONE"
NNC_SEGMENT = b"SNNC"
SUMMARY, TRACK, PACKETS = b"text", b"trak", b"pdat"
EXTRAS, ATTACHMENT = b"meta", b"atch"
END_SIZE = 8  # bytes of the end mark, which says where the index lies
# The known sections, and the most bytes of a payload. Packets are as large as they are: they take what a film's sound
# takes, and are read when somebody wants them.
LIMITS = {
    VIDEO: 1 << 24,
    SUMMARY: 1 << 16,
    EXTRAS: 1 << 23,
    ATTACHMENT: (1 << 25) + (1 << 10),
    TRACK: 1 << 28,
    PACKETS: 1 << 40,
    SEGMENT: 1 << 30,
    NNC_SEGMENT: 1 << 30,
    INDEX: 1 << 24,
    END: END_SIZE,
}
PIECE = 1 << 20  # bytes of a section that are checked at once


@dataclass(frozen=True, slots=True)
class SectionEntry:
    """Where a section lies: `offset` of its first byte in the file, `size` of its payload, in bytes."""

    type: bytes
    flags: int
    offset: int
    size: int

    @property
    def end(self) -> int:
        """Offset of the byte after the section."""
        return self.offset + FRAMING_SIZE + self.size

    @property
    def name(self) -> str:
        """The type as text."""
        return self.type.decode("ascii")

    @property
    def mandatory(self) -> bool:
        """Whether a reader that does not know the type must give up."""
        return self.type[:1].isupper()


def write_prologue() -> bytes:
    """Signature, version, and their checksum."""
    out = Writer()
    out.raw(SIGNATURE)
    for number in VERSION:
        out.uint(number, 1)
    out.uint(zlib.crc32(out.finish()), CHECKSUM_SIZE)
    return out.finish()


def write_section(kind: bytes, payload: bytes) -> bytes:
    """A section with its header and checksum."""
    out = Writer()
    out.raw(kind)
    out.uint(0, 1)
    out.uint(len(payload), 8)
    header = out.finish()
    checksum = zlib.crc32(payload, zlib.crc32(header))
    return b"".join((header, payload, checksum.to_bytes(CHECKSUM_SIZE, "little")))


def payload_of(section: bytes) -> memoryview:
    """The payload of a whole section, which is not copied."""
    return memoryview(section)[HEADER_SIZE:-CHECKSUM_SIZE]


def check_size(kind: bytes, size: int) -> None:
    """Raise `LimitExceeded` where a section may not have a payload of `size` bytes."""
    limit = LIMITS.get(kind, size)
    if size > limit:
        raise LimitExceeded(f"section {kind.decode('ascii')} has {size} bytes, which is above the limit of {limit}")


class SectionFile:
    """The sections of an open file. Opening reads the prologue and the section headers alone.

    Threads may share it, and a file on disk forked processes too: where a read starts is nobody else's business.

    Raises `NotAStream`, `UnsupportedVersion`, `Truncated`, `Corrupt` or `LimitExceeded`.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file, self._turn = file, Lock()
        on_disk = isinstance(file, io.BufferedReader) and isinstance(file.raw, io.FileIO) and hasattr(os, "pread")
        self._descriptor = file.fileno() if on_disk else None
        self.size = file.seek(0, 2)
        self.version = self._read_version()
        self.sections = tuple(self._scan())

    def whole(self, section: SectionEntry) -> bytes:
        """A section with its header and its checksum, which is verified."""
        data = self._read(section.offset, section.end - section.offset)
        _compare(section, zlib.crc32(memoryview(data)[:-CHECKSUM_SIZE]), data[-CHECKSUM_SIZE:])
        return data

    def payload(self, section: SectionEntry) -> memoryview:
        """A section's payload, its checksum verified."""
        return payload_of(self.whole(section))

    def verify(self, section: SectionEntry) -> None:
        """Check a section's checksum, whatever its size in little memory."""
        checksum, end = 0, section.end - CHECKSUM_SIZE
        for start in range(section.offset, end, PIECE):
            checksum = zlib.crc32(self._read(start, min(PIECE, end - start)), checksum)
        _compare(section, checksum, self._read(end, CHECKSUM_SIZE))

    def _read(self, offset: int, size: int) -> bytes:
        if self._file.closed:
            raise OSError(errno.EBADF, "the file has been closed")
        data = self._read_at(offset, size)
        if len(data) < size:
            raise Truncated(f"the stream ends at byte {offset + len(data)}, {offset + size} announced")
        return data

    def _read_at(self, offset: int, size: int) -> bytes:
        if self._descriptor is None:
            with self._turn:
                self._file.seek(offset)
                return self._file.read(size)
        parts, end = [], offset + size
        while offset < end and (part := os.pread(self._descriptor, end - offset, offset)):
            parts.append(part)
            offset += len(part)
        return b"".join(parts)

    def _read_version(self) -> tuple[int, int]:
        start = self._read(0, min(self.size, len(SIGNATURE)))
        if not SIGNATURE.startswith(start) or not start:
            raise NotAStream("not a SNRV stream: the signature is missing")
        prologue = Reader(self._read(0, PROLOGUE_SIZE), "prologue")
        body = prologue.raw(PROLOGUE_SIZE - CHECKSUM_SIZE)
        if prologue.uint(CHECKSUM_SIZE) != zlib.crc32(body):
            raise Corrupt("the checksum of the prologue does not match")
        major, minor = body[-2:]
        if major != VERSION[0]:
            raise UnsupportedVersion(f"version {major}.{minor}; this reader knows {VERSION[0]}.x")
        return major, minor

    def _scan(self) -> Iterator[SectionEntry]:
        offset = PROLOGUE_SIZE
        for _ in range(MAX_SECTIONS):
            section = self._read_header(offset)
            yield section
            offset = section.end
            if section.type == END:
                if offset != self.size:
                    raise Corrupt(f"{self.size - offset} bytes follow the end mark")
                return
        raise LimitExceeded(f"more than {MAX_SECTIONS} sections")

    def _read_header(self, offset: int) -> SectionEntry:
        header = Reader(self._read(offset, HEADER_SIZE), "section header")
        kind, flags, size = header.raw(4), header.uint(1), header.uint(8)
        if not kind.isalpha():
            raise Corrupt(f"no section starts at byte {offset}")
        section = SectionEntry(kind, flags, offset, size)
        if section.end > self.size:
            raise Truncated(f"section {section.name} ends at byte {section.end}, the stream at {self.size}")
        if section.mandatory and (kind not in LIMITS or flags):
            raise UnsupportedVersion(f"this reader does not know section {section.name}, flags {flags}")
        if not flags:
            check_size(kind, size)
        return section


def _compare(section: SectionEntry, found: int, stored: bytes) -> None:
    if found != int.from_bytes(stored, "little"):
        raise Damaged(f"the checksum of section {section.name} at byte {section.offset} does not match")
