"""The sections `meta` and `atch`: what goes with a video beside its frames and tracks, which a reader may skip."""

from .errors import Corrupt, LimitExceeded
from .extras import (
    MAX_ATTACHMENT,
    MAX_ATTACHMENTS,
    MAX_CHAPTERS,
    MAX_TAG_NAME,
    MAX_TITLE,
    Attachment,
    Chapter,
    Extras,
    Light,
    Mastering,
)
from .fields import Octets, Reader, Writer
from .tracksection import read_tags, write_tags


def write_extras(extras: Extras) -> bytes:
    """Payload of the section `meta`, which holds all but the attachments."""
    out = Writer()
    write_tags(out, extras.tags)
    out.varint(len(extras.chapters))
    before = 0
    for chapter in extras.chapters:
        out.signed(chapter.start - before)
        out.varint(chapter.end - chapter.start)
        out.string(chapter.title, MAX_TITLE)
        before = chapter.end
    out.uint((extras.mastering is not None) | (extras.light is not None) << 1, 1)
    if extras.mastering is not None:
        for value in (*extras.mastering.points, *extras.mastering.luminance):
            out.varint(value)
    if extras.light is not None:
        out.varint(extras.light.brightest)
        out.varint(extras.light.average)
    return out.finish()


def read_extras(payload: Octets) -> Extras:
    """Inverse of `write_extras`. Raises `BitstreamError` or `ValueError`."""
    fields = Reader(payload, "extras")
    tags = read_tags(fields)
    chapters, before = [], 0
    for _ in range(fields.varint(MAX_CHAPTERS)):
        start = before + fields.signed()
        before = start + fields.varint()
        chapters.append(Chapter(start, before, fields.string(MAX_TITLE)))
    kinds = fields.uint(1)
    if kinds >> 2:
        raise Corrupt(f"extras: kinds of light {kinds} are not known")
    mastering = light = None
    if kinds & 1:
        r, s, g, h, b, c, w, x, most, least = (fields.varint() for _ in range(10))
        mastering = Mastering((r, s, g, h, b, c, w, x), (most, least))
    if kinds & 2:
        light = Light(fields.varint(), fields.varint())
    fields.finish()
    return Extras(tags, tuple(chapters), mastering, light)


def write_attachment(attachment: Attachment) -> bytes:
    """Payload of a section `atch`."""
    out = Writer()
    out.string(attachment.name, MAX_TAG_NAME)
    out.string(attachment.media_type, MAX_TAG_NAME)
    out.blob(attachment.data, MAX_ATTACHMENT)
    return out.finish()


def read_attachment(payload: Octets) -> Attachment:
    """Inverse of `write_attachment`. Raises `BitstreamError` or `ValueError`."""
    fields = Reader(payload, "attachment")
    name, media_type = fields.string(MAX_TAG_NAME), fields.string(MAX_TAG_NAME)
    attachment = Attachment(name, media_type, fields.blob(MAX_ATTACHMENT))
    fields.finish()
    return attachment


def check_attachment_count(count: int) -> None:
    """Raise `LimitExceeded` where a file may not hold so many attachments."""
    if count > MAX_ATTACHMENTS:
        raise LimitExceeded(f"{count} attachments is above the limit of {MAX_ATTACHMENTS}")
