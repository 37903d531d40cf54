"""The INDX section: which frames each segment holds, its decoder, and where it lies (SPEC.md, "INDX")."""

from collections.abc import Iterable
from dataclasses import dataclass

from bitstream.errors import Corrupt, LimitExceeded, UnsupportedVersion
from bitstream.fields import Reader, Writer
from bitstream.segmentsection import MAX_TENSORS, check_values
from bitstream.types import MAX_FRAMES, STAGES, DecoderConfig, Model

MAX_SEGMENTS = 1 << 16
MODELS: tuple[Model, ...] = ("b", "t", "t2d")


@dataclass(frozen=True, slots=True)
class SegmentEntry:
    """A segment as the index knows it.

    `offset` is its section's first byte, counted from the first byte after the index section; `length` the
    whole section in bytes. `tensor_count` and `value_count` include the embeddings.
    """

    first_frame: int
    frame_count: int
    config: DecoderConfig
    offset: int
    length: int
    tensor_count: int
    value_count: int


def write_index(entries: Iterable[SegmentEntry]) -> bytes:
    """Payload of the section. Raises `LimitExceeded`."""
    entries = tuple(entries)
    if len(entries) > MAX_SEGMENTS:
        raise LimitExceeded(f"{len(entries)} segments is above the limit of {MAX_SEGMENTS}")
    out = Writer()
    out.varint(len(entries))
    for entry in entries:
        out.varint(entry.frame_count)
        out.varint(entry.offset)
        out.varint(entry.length)
        out.varint(entry.tensor_count)
        out.varint(entry.value_count)
        _write_config(out, entry.config)
    return out.finish()


def read_index(payload: bytes) -> tuple[SegmentEntry, ...]:
    """Inverse of `write_index`. Raises `BitstreamError`, or `ValueError` where the values contradict."""
    fields = Reader(payload, "segment index")
    entries: list[SegmentEntry] = []
    first_frame = 0
    for _ in range(fields.varint(MAX_SEGMENTS)):
        frames, offset, length = fields.varint(MAX_FRAMES), fields.varint(), fields.varint()
        tensors, values = fields.varint(MAX_TENSORS), fields.varint()
        if frames == 0:
            raise Corrupt("segment index: a segment has no frames")
        check_values(values, length)
        entries.append(SegmentEntry(first_frame, frames, _read_config(fields), offset, length, tensors, values))
        first_frame += frames
    fields.finish()
    return tuple(entries)


def _write_config(out: Writer, config: DecoderConfig) -> None:
    out.uint(MODELS.index(config.model), 1)
    temporal = config.temporal_shape or ()
    for value in (*config.embedding_shape, *config.strides, config.channels, config.blocks, *temporal):
        out.varint(value)


def _read_config(fields: Reader) -> DecoderConfig:
    model = fields.uint(1)
    if model >= len(MODELS):
        raise UnsupportedVersion(f"decoder model {model} is not known to this reader")
    shape = _read_shape(fields)
    strides = tuple(fields.varint() for _ in range(STAGES))
    channels, blocks = fields.varint(), fields.varint()
    temporal = None if MODELS[model] == "b" else _read_shape(fields)
    return DecoderConfig(shape, strides, channels, blocks, MODELS[model], temporal)


def _read_shape(fields: Reader) -> tuple[int, int, int]:
    return fields.varint(), fields.varint(), fields.varint()
