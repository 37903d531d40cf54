"""The INDX section: which frames each segment holds, its decoder, and where it lies (SPEC.md, "INDX")."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

from .errors import Corrupt, LimitExceeded
from .fields import Octets, Reader, Writer
from .models import MAX_CONFIG, MAX_MODEL, DecoderConfig, UnknownModel, check_scenes, read_config, write_config
from .segmentsection import MAX_TENSORS, check_values
from .types import MAX_FRAMES

MAX_SEGMENTS = 1 << 16


@dataclass(frozen=True, slots=True)
class SegmentEntry:
    """A segment as the index knows it.

    `offset` is its section's first byte in the file, `length` the whole section, both in bytes. `tensor_count` and
    `value_count` include the embeddings.
    """

    first_frame: int
    frame_count: int
    config: DecoderConfig | UnknownModel
    offset: int
    length: int
    tensor_count: int
    value_count: int


def write_index(entries: Sequence[SegmentEntry]) -> bytes:
    """Payload of the section, for segments that follow each other. Raises `LimitExceeded`."""
    head = write_head(len(entries), entries[0].offset if entries else 0)
    return b"".join((head, *map(write_entry, entries)))


def write_head(segments: int, offset: int) -> bytes:
    """The part of the payload that tells the number of segments and where the first begins."""
    if segments > MAX_SEGMENTS:
        raise LimitExceeded(f"{segments} segments is above the limit of {MAX_SEGMENTS}")
    out = Writer()
    out.varint(segments)
    out.varint(offset)
    return out.finish()


def write_entry(entry: SegmentEntry) -> bytes:
    """The part of the payload that tells of one segment."""
    out = Writer()
    out.varint(entry.frame_count)
    out.varint(entry.length)
    out.varint(entry.tensor_count)
    out.varint(entry.value_count)
    number, data = write_config(entry.config)
    out.varint(number)
    out.blob(data, MAX_CONFIG)
    return out.finish()


def read_index(payload: Octets) -> tuple[SegmentEntry, ...]:
    """Inverse of `write_index`. Raises `BitstreamError`, or `ValueError` where the values contradict."""
    fields = Reader(payload, "segment index")
    entries: list[SegmentEntry] = []
    first_frame = 0
    count, offset = fields.varint(MAX_SEGMENTS), fields.varint()
    for _ in range(count):
        frames, length = fields.varint(MAX_FRAMES), fields.varint()
        tensors, values = fields.varint(MAX_TENSORS), fields.varint()
        if frames == 0:
            raise Corrupt("segment index: a segment has no frames")
        check_values(values, length)
        config = read_config(fields.varint(MAX_MODEL), fields.blob(MAX_CONFIG))
        if isinstance(config, DecoderConfig):
            if values <= frames * sum(map(prod, config.embedding_shapes)):
                raise Corrupt(f"segment index: {values} values are not the embeddings of {frames} frames and a decoder")
            check_scenes(config, frames)
        entries.append(SegmentEntry(first_frame, frames, config, offset, length, tensors, values))
        first_frame += frames
        offset += length
    fields.finish()
    return tuple(entries)
