"""Tags, chapters, attachments and light levels, as containers and decoders tell them."""

import re
import struct
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from typing import Any

import av.stream
from av.sidedata.sidedata import Type

from snerv_codec.bitstream.extras import (
    COORDINATE,
    LUMINANCE,
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
from snerv_codec.media.labels import some, tags_of
from snerv_codec.media.sidedata import known_kinds, side_data

NANOSECOND = Fraction(1, 1_000_000_000)
TIMECODE = "timecode"
CLOCK = re.compile(r"(\d\d):(\d\d):(\d\d)([:;.,])(\d\d)")
PICTURES = {"mjpeg": ("jpg", "image/jpeg"), "png": ("png", "image/png"), "webp": ("webp", "image/webp")}
DYNAMIC = {Type.DYNAMIC_HDR_PLUS: "HDR10+", Type.DYNAMIC_HDR_VIVID: "HDR Vivid", Type.DOVI_METADATA: "Dolby Vision"}
SECONDS = 1 << 30  # of a chapter, beyond which no time is meant


class ExtrasReader:
    """Gathers what an open container tells of the film that it holds; pictures of it come as packets."""

    def __init__(self, container: Any, *, attachments: bool) -> None:
        covers = (s for s in container.streams.video if s.disposition & av.stream.Disposition.attached_pic)
        self.covers = tuple(covers) if attachments else ()
        self._container, self._attachments = container, attachments
        self._pictures: list[Attachment] = []
        self._notes: list[str] = []

    def add(self, packet: Any) -> None:
        """Keep a picture."""
        if packet.size and packet.size <= MAX_ATTACHMENT:
            stream = packet.stream
            suffix, media_type = PICTURES.get(stream.name, ("bin", "application/octet-stream"))
            name = stream.metadata.get("filename") or f"cover{len(self._pictures) or ''}.{suffix}"
            self._pictures.append(_attachment(name, stream.metadata.get("mimetype") or media_type, bytes(packet)))

    def extras(self) -> tuple[Extras, tuple[str, ...]]:
        """What was told, and notes of what a file cannot hold. Light levels are told by frames."""
        notes: list[str] = []
        tags, lost = tags_of(self._container.metadata)
        if lost:
            notes.append(f"tags left out, too long or too many: {some(lost)}")
        if strangers := [
            f"{stream.index} ({_kind(stream)})" for stream in self._container.streams if self._strange(stream)
        ]:
            notes.append(f"streams of data left out, which cannot be carried: {some(strangers)}")
        if (timecode := self._timecode()) is not None:
            tags = (*tags, (TIMECODE, timecode))
        chapters = tuple(self._chapters())
        if len(chapters) > MAX_CHAPTERS:
            notes.append(f"{len(chapters) - MAX_CHAPTERS} chapters left out: a file holds {MAX_CHAPTERS}")
        found = [*self._pictures, *self._attached(notes)] if self._attachments else []
        if len(found) > MAX_ATTACHMENTS:
            notes.append(f"{len(found) - MAX_ATTACHMENTS} attachments left out: a file holds {MAX_ATTACHMENTS}")
        return Extras(tags, chapters[:MAX_CHAPTERS], attachments=tuple(found[:MAX_ATTACHMENTS])), tuple(notes)

    def _strange(self, stream: Any) -> bool:
        """Whether a stream is neither a picture nor sound, and tells no timecode or chapters either."""
        if stream.type not in ("data", "unknown") or CLOCK.fullmatch(stream.metadata.get(TIMECODE, "")):
            return False
        return _kind(stream) != "bin_data" or not self._container.chapters()

    def _timecode(self) -> str | None:
        places = (self._container, *self._container.streams.video, *self._container.streams.data)
        tags = (tag for place in places for tag in place.metadata.items())
        return next((value for name, value in tags if name.lower() == TIMECODE and CLOCK.fullmatch(value)), None)

    def _chapters(self) -> Iterator[Chapter]:
        for chapter in self._container.chapters():
            base = chapter["time_base"] or NANOSECOND
            start, end = (round(chapter[edge] * base / NANOSECOND) for edge in ("start", "end"))
            if abs(start) * NANOSECOND > SECONDS:
                continue
            title = _cut_text(chapter["metadata"].get("title", ""), MAX_TITLE)
            yield Chapter(start, max(start, min(end, round(SECONDS / NANOSECOND))), title)

    def _attached(self, notes: list[str]) -> Iterator[Attachment]:
        for stream in self._container.streams.attachments:
            data, name = stream.data, stream.name or "attachment"
            if len(data) > MAX_ATTACHMENT:
                notes.append(f"attachment {name} left out: its {len(data):,} bytes are more than {MAX_ATTACHMENT:,}")
                continue
            yield _attachment(name, stream.mimetype or "application/octet-stream", data)


def _kind(stream: Any) -> str:
    return getattr(stream, "name", None) or "unknown kind"


def _attachment(name: str, media_type: str, data: bytes) -> Attachment:
    return Attachment(_cut_text(name, MAX_TAG_NAME), _cut_text(media_type, MAX_TAG_NAME), data)


def _cut_text(text: str, limit: int) -> str:
    """The text without zero characters, and no longer than `limit` bytes of UTF-8."""
    return text.replace("\0", "").encode()[:limit].decode(errors="ignore")


def light_of(frame: Any) -> tuple[Mastering | None, Light | None]:
    """The display on which a decoded frame was graded, and the light levels of its video, where it tells them."""
    return _mastering(side_data(frame, Type.MASTERING_DISPLAY_METADATA)), _light(
        side_data(frame, Type.CONTENT_LIGHT_LEVEL)
    )


def unseen(frame: Any) -> Iterator[str]:
    """What a decoded frame tells besides its picture that a file does not hold."""
    kinds = known_kinds(frame)
    if Type.A53_CC in kinds:
        yield "closed captions inside the video are left out"
    if names := [name for kind, name in DYNAMIC.items() if kind in kinds]:
        yield f"brightness of each scene is left out: {', '.join(names)}"


def _mastering(data: bytes | None) -> Mastering | None:
    """FFmpeg's AVMasteringDisplayMetadata: x and y of red, green, blue, white; least, greatest luminance; two flags."""
    if data is None or len(data) < struct.calcsize("20i2i"):
        return None
    *ratios, has_points, has_luminance = struct.unpack_from("20i2i", data)
    if not (has_points and has_luminance) or 0 in ratios[1::2]:
        return None
    values = [Fraction(up, down) for up, down in zip(ratios[::2], ratios[1::2], strict=True)]
    r, s, g, h, b, c, w, x = (round(value * COORDINATE) for value in values[:8])
    least, most = (round(value * LUMINANCE) for value in values[8:])
    try:
        return Mastering((r, s, g, h, b, c, w, x), (most, least))
    except ValueError:
        return None  # no display has these


def _light(data: bytes | None) -> Light | None:
    """FFmpeg's AVContentLightMetadata: two unsigned integers."""
    if data is None or len(data) < 8:
        return None
    brightest, average = struct.unpack_from("2I", data)
    return Light(brightest, average) if max(brightest, average) < 1 << 16 and brightest | average else None


def cut_extras(extras: Extras, start: Fraction, end: Fraction, first: int, rate: Fraction) -> Extras:
    """What goes with the part from `start` to `end` (seconds), whose first frame has number `first` of `rate` a second.

    Chapters are clipped to it, and `start` becomes 0.
    """
    low, high = (round(time / NANOSECOND) for time in (start, end))
    inside = [chapter for chapter in extras.chapters if chapter.start < high and chapter.end > low]
    chapters = tuple(
        replace(chapter, start=max(chapter.start, low) - low, end=min(chapter.end, high) - low) for chapter in inside
    )
    tags = tuple((name, later(value, first, rate) if name == TIMECODE else value) for name, value in extras.tags)
    return replace(extras, chapters=chapters, tags=tags)


def later(timecode: str, frames: int, rate: Fraction) -> str:
    """The timecode so many frames later (SMPTE ST 12-1, with ";" before frames where numbers are dropped)."""
    found, nominal = CLOCK.fullmatch(timecode), round(rate)
    if found is None or not frames or not 1 <= nominal <= 99:
        return timecode
    hours, minutes, seconds, number = (int(found[place]) for place in (1, 2, 3, 5))
    dropped = nominal // 15 if found[4] in ";.," and nominal % 30 == 0 else 0  # in each minute but every tenth
    minute, ten = 60 * nominal - dropped, 10 * (60 * nominal - dropped) + dropped
    total = (60 * hours + minutes) * 60 * nominal + seconds * nominal + number
    total -= dropped * (60 * hours + minutes - (60 * hours + minutes) // 10)
    total = (total + frames) % (24 * 6 * ten)
    tens, rest = divmod(total, ten)
    skipped = dropped * (max(0, rest - dropped) // minute) if dropped else 0
    total += 9 * dropped * tens + skipped
    clock = [total // nominal // 3600, total // nominal // 60 % 60, total // nominal % 60]
    return ":".join(f"{part:02}" for part in clock) + f"{found[4]}{total % nominal:02}"
