"""What an output can hold of what goes with a video, found by writing it to memory and reading it back."""

import io
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from fractions import Fraction
from typing import Any

import av
import av.error

from snerv_codec.bitstream.extras import Attachment, Chapter, Extras, Tags
from snerv_codec.bitstream.types import SideTrack, VideoInfo
from snerv_codec.media.extras import TIMECODE
from snerv_codec.media.labels import roles_of, some, titled
from snerv_codec.media.tracks import MATROSKA, TEE, TrackWriter

MUXERS = {".mp4": "mp4", ".mov": "mov", ".mkv": "matroska"}
FEW = 16  # packets that show whether a track can be written
SECONDS = 1 << 30  # up to which containers can tell when a chapter is
NAMELESS, UNTYPED = "attachment", "application/octet-stream"
FAILURES = (ValueError, OSError, OverflowError, av.error.FFmpegError)


def muxer_for(kind: str, tracks: Iterable[SideTrack]) -> str:
    """FFmpeg's muxer for outputs with this suffix: another where that alone takes one of the tracks."""
    muxer = MUXERS[kind]
    if muxer in MATROSKA and any(not _takes(muxer, track) and _takes(TEE, track) for track in tracks):
        return TEE
    return muxer


def _takes(muxer: str, track: SideTrack) -> bool:
    return _come_back(muxer, track) is not None


def _come_back(muxer: str, track: SideTrack) -> SideTrack | None:
    """The track's words as the muxer keeps them, without its packets; None where it does not take it."""
    few, buffer = replace(track, packets=track.packets[:FEW]), io.BytesIO()
    with suppress(*FAILURES):
        if muxer == TEE:  # writes Matroska, and cannot write to memory
            with av.open(io.BytesIO(), "w", format="matroska") as unused:
                TrackWriter(unused, few, Fraction(0), muxer)
            return few
        with av.open(buffer, "w", format=muxer) as container:
            TrackWriter(container, few, Fraction(0)).write_until(None)
        with av.open(io.BytesIO(buffer.getvalue())) as container:
            stream = container.streams[0]
            language = stream.language or ""
            titles = [(name, value) for name, value in stream.metadata.items() if name in ("title", "handler_name")]
            return replace(few, language=language, roles=roles_of(stream), tags=tuple(titles))
    return None


def lost_words(kind: str, track: SideTrack) -> list[str]:
    """What of a track's language, roles and title an output with this suffix, which takes it, does not keep."""
    back = _come_back(MUXERS[kind], track)
    if back is None:
        return []
    title = dict(track.tags).get("title")
    lost = [] if back.language == track.language or track.language in ("", "und") else [f"language {track.language}"]
    lost += [role.replace("_", " ") for role in track.roles if role not in back.roles and role != "default"]
    return lost + ([] if title is None or title in dict(back.tags).values() else ["title"])


def lost_end(kind: str, track: SideTrack) -> list[str]:
    """That a track ends within a packet, where an output with this suffix cannot tell."""
    return ["where its sound ends, to the sample"] if track.drop and MUXERS[kind] not in MATROSKA else []


def held(muxer: str, extras: Extras, rate: Fraction, start: int = 0) -> Extras:
    """What a muxer keeps of the extras, as it is to be given them: times count from `start` (nanoseconds).

    Each kind is tried by itself, as one that a muxer refuses is the end of its output.
    """
    chapters = tuple(_shifted(extras.chapters, start))
    timecodes = tuple(tag for tag in extras.tags if tag[0] == TIMECODE)
    plain = tuple(tag for tag in extras.tags if tag[0] != TIMECODE)
    attachments = tuple(_named(extras.attachments))
    stand_ins = Extras(attachments=tuple(replace(each, data=each.data[:1]) for each in attachments))
    return Extras(
        tags=(*_try(muxer, Extras(tags=plain), rate).tags, *_try(muxer, Extras(tags=timecodes), rate).tags),
        chapters=_try(muxer, Extras(chapters=chapters), rate).chapters if muxer != TEE else (),
        mastering=extras.mastering if muxer not in MATROSKA else None,  # in the H.264 itself
        light=extras.light if muxer not in MATROSKA else None,
        attachments=attachments if muxer in MATROSKA and _try(muxer, stand_ins, rate) == stand_ins else (),
    )


def _shifted(chapters: Sequence[Chapter], start: int) -> Iterator[Chapter]:
    """Chapters from `start` on, in order and with times that all containers have."""
    last = -1
    for chapter in sorted(chapters, key=lambda each: each.start):
        begin, end = max(chapter.start - start, 0), max(chapter.end - start, 0)
        if last < begin <= end <= SECONDS * 10**9:
            yield replace(chapter, start=begin, end=end)
            last = begin


def _named(attachments: Iterable[Attachment]) -> Iterator[Attachment]:
    """Those with a content, with the name and the type that Matroska must have."""
    for each in attachments:
        if each.data:
            yield replace(each, name=each.name or NAMELESS, media_type=each.media_type or UNTYPED)


def _try(muxer: str, extras: Extras, rate: Fraction) -> Extras:
    """What comes back of extras of one kind."""
    buffer, nothing = io.BytesIO(), Extras()
    if extras == nothing:
        return nothing
    with suppress(*FAILURES):
        with av.open(buffer, "w", format="matroska" if muxer == TEE else muxer) as container:
            stream: Any = container.add_stream("mpeg4", rate=rate.limit_denominator(1 << 15))
            stream.width = stream.height = 16
            put(container, extras)
            container.mux(stream.encode(av.VideoFrame(16, 16, "yuv420p")))
            container.mux(stream.encode())
        with av.open(io.BytesIO(buffer.getvalue()), metadata_errors="replace") as container:
            metadata = {name.lower(): value for name, value in container.metadata.items()}
            for stream in container.streams:  # where a timecode may be
                metadata |= {TIMECODE: stream.metadata[TIMECODE]} if TIMECODE in stream.metadata else {}
            tags: Tags = tuple((n, v) for n, v in extras.tags if metadata.get(n.lower()) == v)
            count = len(container.streams.attachments)
            covers = sum(bool(stream.disposition & av.stream.Disposition.attached_pic) for stream in container.streams)
            whole = count + covers == len(extras.attachments)
            chapters = extras.chapters if len(container.chapters()) == len(extras.chapters) else ()
            return Extras(tags, chapters, attachments=extras.attachments if whole else ())
    return nothing


def put(container: Any, extras: Extras) -> None:
    """Give an output that has not begun the extras that it keeps."""
    container.metadata.update(extras.tags)
    if extras.chapters:
        container.set_chapters(
            [
                {
                    "id": number,
                    "start": chapter.start,
                    "end": chapter.end,
                    "time_base": Fraction(1, 10**9),
                    "metadata": {"title": chapter.title} if chapter.title else {},
                }
                for number, chapter in enumerate(extras.chapters, start=1)
            ]
        )
    for attachment in extras.attachments:
        container.add_attachment(attachment.name, attachment.media_type, attachment.data)


def lost(extras: Extras, kept: Extras) -> list[str]:
    """What is not in `kept`, in words."""
    found = [f"tag {name}" for name in dict(extras.tags) if name not in dict(kept.tags)]
    for what in ("chapter", "attachment"):
        count = len(getattr(extras, f"{what}s")) - len(getattr(kept, f"{what}s"))
        found += [f"{count} {what}{'s' * (count > 1)}"] if count else []
    if (extras.mastering, extras.light) != (kept.mastering, kept.light):
        found.append("light levels of HDR")
    return found


def told_outputs(info: VideoInfo, tracks: Sequence[SideTrack], extras: Extras) -> tuple[str, ...]:
    """A line about what not every output of `decode` with sound can hold; none where all hold all."""
    homes: dict[tuple[str, ...], list[str]] = {}
    for track in tracks:
        words = titled(track)
        fit = tuple(kind for kind in MUXERS if any(_takes(muxer, track) for muxer in _muxers(kind)))
        homes.setdefault(fit, []).append(words)
        lacks = {kind: lost_words(kind, track) for kind in fit}
        for word in dict.fromkeys(word for each in lacks.values() for word in each):
            keeping = tuple(kind for kind in fit if word not in lacks[kind])
            homes.setdefault(keeping, []).append(f"{word} of {words}")
    for item in lost(extras, Extras()):
        fit = tuple(kind for kind in MUXERS if item not in lost(extras, held(MUXERS[kind], extras, info.rate)))
        homes.setdefault(fit, []).append(item)
    homes.pop(tuple(MUXERS), None)
    told = [f"{some(items)} ({' and '.join(fit) or 'none'})" for fit, items in homes.items()]
    return (f"only some outputs can hold what comes with the video: {'; '.join(told)}",) if told else ()


def _muxers(kind: str) -> tuple[str, ...]:
    return (MUXERS[kind], TEE) if MUXERS[kind] in MATROSKA else (MUXERS[kind],)
