"""What goes with a video beside its frames and tracks: tags, chapters, light levels of HDR, and attached files."""

from dataclasses import dataclass

from .fields import MAX_TIME
from .models import check

Tags = tuple[tuple[str, str], ...]  # names and values, for people
MAX_TAGS = 256
MAX_TAG_NAME, MAX_TAG_VALUE = 255, 1 << 14  # bytes of UTF-8
MAX_CHAPTERS = 1 << 12
MAX_TITLE = 1 << 10  # bytes of a chapter's
MAX_ATTACHMENTS = 256
MAX_ATTACHMENT = 1 << 25  # bytes
COORDINATE, LUMINANCE = 50_000, 10_000  # units of a chromaticity, and of a cd/m2


def check_tags(tags: Tags) -> None:
    """Raise `ValueError` where there are too many tags, or one that is too long, nameless or holds a zero."""
    check(len(tags) <= MAX_TAGS, f"{len(tags)} tags are more than {MAX_TAGS}")
    for name, value in tags:
        check(0 < len(name.encode()) <= MAX_TAG_NAME, f"a tag's name is not 1..{MAX_TAG_NAME} bytes")
        check(len(value.encode()) <= MAX_TAG_VALUE, f"a tag is above {MAX_TAG_VALUE} bytes")
        check("\0" not in name + value, "a tag holds a zero character")


@dataclass(frozen=True, slots=True)
class Chapter:
    """A part of the video, from `start` to `end` in nanoseconds, and its title."""

    start: int
    end: int
    title: str = ""

    def __post_init__(self) -> None:
        ok = -MAX_TIME <= self.start <= self.end <= MAX_TIME
        check(ok, f"a chapter from {self.start} to {self.end} is not a span of time")
        check(len(self.title.encode()) <= MAX_TITLE, f"a chapter's title is above {MAX_TITLE} bytes")
        check("\0" not in self.title, "a chapter's title holds a zero character")


@dataclass(frozen=True, slots=True)
class Mastering:
    """The display on which the video was graded (SMPTE ST 2086).

    `points` are x and y of red, green, blue and white in 1/50000; `luminance` is the greatest and the least, in
    0.0001 cd/m2.
    """

    points: tuple[int, int, int, int, int, int, int, int]
    luminance: tuple[int, int]

    def __post_init__(self) -> None:
        ok = len(self.points) == 8 and all(0 <= value <= COORDINATE for value in self.points)
        check(ok, f"the primaries of a display {self.points} are not eight chromaticities")
        ok = len(self.luminance) == 2 and all(0 <= value < 1 << 32 for value in self.luminance)
        check(ok, f"the luminance of a display {self.luminance} is out of range")


@dataclass(frozen=True, slots=True)
class Light:
    """Light levels of the content (CTA-861.3) in cd/m2: of its brightest pixel, and of its brightest frame's mean."""

    brightest: int
    average: int

    def __post_init__(self) -> None:
        ok = 0 <= self.brightest < 1 << 16 and 0 <= self.average < 1 << 16
        check(ok, f"light levels {self.brightest} and {self.average} are not 16-bit integers")


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file that travels with the video, such as a font of its subtitles; `media_type` is its MIME type."""

    name: str
    media_type: str
    data: bytes

    def __post_init__(self) -> None:
        for text in (self.name, self.media_type):
            check(len(text.encode()) <= MAX_TAG_NAME, f"name or type of an attachment is above {MAX_TAG_NAME} bytes")
            check("\0" not in text, "name or type of an attachment holds a zero character")
        check(len(self.data) <= MAX_ATTACHMENT, f"an attachment is above {MAX_ATTACHMENT} bytes")


@dataclass(frozen=True, slots=True)
class Extras:
    """All of it. `tags` are of the whole video; "timecode" among them is that of its first frame."""

    tags: Tags = ()
    chapters: tuple[Chapter, ...] = ()
    mastering: Mastering | None = None
    light: Light | None = None
    attachments: tuple[Attachment, ...] = ()

    def __post_init__(self) -> None:
        check_tags(self.tags)
        check(len(self.chapters) <= MAX_CHAPTERS, f"{len(self.chapters)} chapters are more than {MAX_CHAPTERS}")
        check(len(self.attachments) <= MAX_ATTACHMENTS, f"more than {MAX_ATTACHMENTS} attachments")

    @property
    def told(self) -> bool:
        """Whether there is anything but attachments."""
        return self != Extras(attachments=self.attachments)


NO_EXTRAS = Extras()
