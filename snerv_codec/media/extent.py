"""Where a file ends by its own account: containers say how long their parts are, so that what is cut off shows.

Only parts that hold frames count: what is lost of an index at the end does no harm.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

MAX_PARTS = 1 << 22
# IDs of Matroska's elements (RFC 9559)
SEGMENT, CLUSTER, SIMPLE_BLOCK, BLOCK_GROUP = 0x18538067, 0x1F43B675, 0xA3, 0xA0


def missing_bytes(path: Path, kind: str) -> int:
    """How many bytes a file of FFmpeg's format `kind` lacks at its end; 0 where it is whole or does not tell."""
    walk = {"matroska,webm": _matroska, "avi": _avi}.get(kind, _iso if kind.startswith("mov,") else None)
    if walk is None:
        return 0
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        return max(0, max(walk(file, size), default=0) - size)


def _iso(file: BinaryIO, size: int) -> Iterator[int]:
    """Ends of the boxes of media data (ISO/IEC 14496-12)."""
    place = 0
    for _ in range(MAX_PARTS):
        file.seek(place)
        header = file.read(16)
        length = int.from_bytes(header[:4])
        if length == 1:
            length = int.from_bytes(header[8:16])
        if length < 8:  # 0: up to the end
            return
        place += length
        if header[4:8] in (b"mdat", b"moof"):
            yield place


def _avi(file: BinaryIO, size: int) -> Iterator[int]:
    """Ends of the lists of frames, of which long files have several."""
    place = 0
    for _ in range(MAX_PARTS):
        file.seek(place)
        header = file.read(12)
        length = int.from_bytes(header[4:8], "little")
        if len(header) < 12 or length >= 0xFFFFFFFF:
            return
        if header[:4] == b"RIFF":
            place += 12
            continue
        place += 8 + length + length % 2
        if header[:4] + header[8:] == b"LISTmovi":
            yield place


def _matroska(file: BinaryIO, size: int) -> Iterator[int]:
    """End of the part in which the file ends (RFC 8794); of the segment, where it ends between two parts."""
    place = end = 0
    for _ in range(MAX_PARTS):
        file.seek(place)
        header = file.read(12)
        marker, width = _variable(header, keep=True)
        length, taken = _variable(header[width:])
        if not width or not taken:
            yield end
            return
        place += width + taken
        unknown = length == (1 << 7 * taken) - 1  # a recording that was never finished
        if marker == SEGMENT:
            end = 0 if unknown else place + length
        elif not (unknown and marker == CLUSTER):
            place += length
            if place > size:
                if marker in (CLUSTER, SIMPLE_BLOCK, BLOCK_GROUP):
                    yield max(place, end)
                return


def _variable(data: bytes, *, keep: bool = False) -> tuple[int, int]:
    """An EBML integer, with its length marker where that is to `keep`, and the bytes it takes; (0, 0) for none."""
    if not data or not data[0]:
        return 0, 0
    width = 9 - data[0].bit_length()
    if width > len(data):
        return 0, 0
    value = int.from_bytes(data[:width])
    return (value if keep else value & ((1 << 7 * width) - 1)), width
