"""What containers say in words: what a track is for, and tags of tracks and of whole videos."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from snerv_codec.bitstream.extras import MAX_TAG_NAME, MAX_TAG_VALUE, MAX_TAGS, Tags
from snerv_codec.bitstream.types import Role, SideTrack, in_role_order

NAMED = 3  # examples in a message
# FFmpeg's bits of a stream's disposition
BITS: dict[Role, int] = {
    "default": 1 << 0,
    "dub": 1 << 1,
    "original": 1 << 2,
    "comment": 1 << 3,
    "lyrics": 1 << 4,
    "karaoke": 1 << 5,
    "forced": 1 << 6,
    "hearing_impaired": 1 << 7,
    "visual_impaired": 1 << 8,
    "clean_effects": 1 << 9,
    "captions": 1 << 16,
    "descriptions": 1 << 17,
}
# What muxers write by themselves: it is of the file, not of the film.
OF_THE_FILE = re.compile(
    r"(encoder|duration|bps|number_of_(frames|bytes)|_statistics_.*|major_brand|minor_version|compatible_brands|"
    r"language|vendor_id|source_id|filename|mimetype|creation_time|timecode|reel_name|rotate|software)(-\w+)?",
    re.IGNORECASE,
)
NAMES = ("name", "handler_name")  # where MP4 has a track's title
GENERIC = re.compile(r".*(handler|core media|gpac|iso media|google|mainconcept|l-smash).*|", re.IGNORECASE | re.DOTALL)


def roles_of(stream: Any) -> tuple[Role, ...]:
    """What a stream of FFmpeg's is for."""
    return in_role_order(role for role, bit in BITS.items() if stream.disposition & bit)


def disposition_of(roles: Iterable[Role]) -> int:
    """FFmpeg's number for it."""
    return sum(BITS[role] for role in roles)


def track_tags(metadata: Mapping[str, str]) -> Tags:
    """The tags of a track that are worth keeping, and can be."""
    known = {name: value for name, value in metadata.items() if name.lower() not in NAMES}
    for name in NAMES:
        if not GENERIC.fullmatch(metadata.get(name, "")):
            known.setdefault("title", metadata[name])
    return tags_of(known)[0]


def tags_of(metadata: Mapping[str, str]) -> tuple[Tags, tuple[str, ...]]:
    """The tags that are worth keeping, and the names of those that are too long or too many for a file."""
    found = [(name, value) for name, value in metadata.items() if not OF_THE_FILE.fullmatch(name)]
    fit = [(name, value) for name, value in found if _fits(name, value)][:MAX_TAGS]
    return tuple(fit), tuple(name for name, value in found if (name, value) not in fit)


def titled(track: SideTrack) -> str:
    """A track in a few words: audio aac fra "Commentary"."""
    title = dict(track.tags).get("title", "")
    return " ".join(filter(None, (track.kind, track.codec, track.language, f'"{title}"' if title else "")))


def some(texts: Sequence[str]) -> str:
    """A few of the texts, and how many there are besides."""
    more = f" and {len(texts) - NAMED} more" if len(texts) > NAMED else ""
    return ", ".join(texts[:NAMED]) + more


def _fits(name: str, value: str) -> bool:
    short = 0 < len(name.encode()) <= MAX_TAG_NAME and len(value.encode()) <= MAX_TAG_VALUE
    return short and "\0" not in name + value
