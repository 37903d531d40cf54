"""Files joined to one, and one split at its segments: coded segments are copied as bytes, nothing is fitted again."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from fractions import Fraction
from math import gcd
from pathlib import Path

from snerv_codec.bitstream.container import StreamFile, StreamWriter
from snerv_codec.bitstream.extras import MAX_ATTACHMENTS, MAX_CHAPTERS, Chapter, Extras
from snerv_codec.bitstream.types import SideTrack, VideoInfo
from snerv_codec.errors import OutputError, SettingsError
from snerv_codec.events import Event, Warned
from snerv_codec.media.timeline import cut, cut_to
from snerv_codec.runtime.files import atomic_path, check_target

ALIKE = ("width", "height", "pixel_aspect", "scan", "color")  # what videos have in common that can be joined
NANOSECONDS = 10**9


def join(
    sources: Sequence[str | Path],
    output: str | Path,
    *,
    overwrite: bool = False,
    on_event: Callable[[Event], None] = lambda event: None,
) -> None:
    """Write the videos of several `.snrv` files, one after the other, to `output`.

    Sound and subtitles of the first go on with those of the others that are coded alike; a warning tells what had to
    be left out. Tags, light levels and the summary are the first file's. Raises `SettingsError` for videos that differ
    in size, pixel aspect, scan or colours, `OutputError`, and `BitstreamError` for a bad file.
    """
    output = Path(output)
    for source in sources:
        check_target(output, overwrite=overwrite, source=source)
    with ExitStack() as stack:
        files = [stack.enter_context(StreamFile(source)) for source in sources]
        infos = [file.header.video for file in files]
        for source, info in zip(sources, infos, strict=True):
            wrong = next((name for name in ALIKE if getattr(info, name) != getattr(infos[0], name)), None)
            if wrong:
                raise SettingsError(
                    f"{source}: its {wrong.replace('_', ' ')} is {getattr(info, wrong)}, that of {sources[0]} "
                    f"{getattr(infos[0], wrong)}; only videos that are alike can be joined"
                )
        starts = _starts(infos)
        tracks, left_out = _joined_tracks([file.read_tracks() for file in files], starts)
        for message in left_out:
            on_event(Warned(message))
        extras = _joined_extras([file.read_extras() for file in files], starts)
        segments = (file.coded_segment(i) for file in files for i in range(len(file.header.segments)))
        with atomic_path(output, overwrite=overwrite) as beside, beside.open("wb") as out:
            writer = StreamWriter(out.write, _joined_info(infos, starts), tracks, files[0].header.summary, extras)
            for segment in segments:
                writer.add(segment)
            writer.finish()


def split(source: str | Path, folder: str | Path, *, overwrite: bool = False) -> list[Path]:
    """Write each segment of a `.snrv` file as a file of its own into `folder`, with its part of the sound.

    Returns their paths: the name of `source` with a number, from 1. Raises `OutputError` where one is there already or
    the folder cannot be made, and `BitstreamError` for a bad file.
    """
    source, folder = Path(source), Path(folder)
    with StreamFile(source) as file:
        header, digits = file.header, len(str(len(file.header.segments)))
        paths = [folder / f"{source.stem}-{i + 1:0{digits}}.snrv" for i in range(len(header.segments))]
        try:
            folder.mkdir(exist_ok=True)
        except OSError as error:
            raise OutputError(f"{folder}: cannot be made: {error.strerror}") from error
        for path in paths:
            check_target(path, overwrite=overwrite, source=source)
        tracks, extras = file.read_tracks(), file.read_extras()
        for i, (path, entry) in enumerate(zip(paths, header.segments, strict=True)):
            numbers = range(entry.first_frame, entry.first_frame + entry.frame_count)
            info, heard = cut(header.video, tracks, numbers)
            with atomic_path(path, overwrite=overwrite) as beside, beside.open("wb") as out:
                writer = StreamWriter(out.write, info, heard, header.summary, cut_to(extras, header.video, numbers))
                writer.add(file.coded_segment(i))
                writer.finish()
    return paths


def _starts(infos: Sequence[VideoInfo]) -> list[Fraction]:
    """When the time 0 of each video comes, in seconds of the joined one: so that its first frame follows the last."""
    starts: list[Fraction] = []
    end = Fraction(0)
    for info in infos:
        early = min(0, info.timestamps[0]) * info.time_base
        starts.append(end - early if starts else Fraction(0))
        end = starts[-1] + (info.timestamps[-1] + info.final_duration) * info.time_base
    return starts


def _joined_info(infos: Sequence[VideoInfo], starts: Sequence[Fraction]) -> VideoInfo:
    """One video; its time base is the coarsest in which all frames keep their times."""
    first, base = infos[0], infos[0].time_base
    for unit in (*(info.time_base for info in infos), *starts):
        base = Fraction(gcd(base.numerator * unit.denominator, unit.numerator * base.denominator)) / (
            base.denominator * unit.denominator
        )
    times: list[int] = []
    for info, start in zip(infos, starts, strict=True):
        times += [int((start + time * info.time_base) / base) for time in info.timestamps]
    final = int(infos[-1].final_duration * infos[-1].time_base / base)
    try:
        return replace(first, time_base=base, timestamps=tuple(times), final_duration=final)
    except ValueError as error:
        raise SettingsError(f"the videos cannot be joined: {error}") from error


def _joined_tracks(
    tracks: Sequence[Sequence[SideTrack]], starts: Sequence[Fraction]
) -> tuple[tuple[SideTrack, ...], list[str]]:
    """The first video's tracks with those of the others that go on with them; and what had to be left out."""
    joined, left_out = list(tracks[0]), []
    for number, (others, start) in enumerate(zip(tracks[1:], starts[1:], strict=True), start=2):
        free = list(range(len(joined)))
        for other in others:
            place = next((i for i in free if _goes_on(joined[i], other)), None)
            if place is None:
                left_out.append(f"{other.kind} of file {number} is coded otherwise than the first one's; left out")
                continue
            free.remove(place)
            joined[place] = _continued(joined[place], other, start)
    return tuple(joined), left_out


def _goes_on(track: SideTrack, other: SideTrack) -> bool:
    names = ("kind", "codec", "description", "time_base", "language")
    return all(getattr(track, name) == getattr(other, name) for name in names)


def _continued(track: SideTrack, other: SideTrack, start: Fraction) -> SideTrack:
    """A track and after it another one from `start` (seconds) on, without what the two have both at the border."""
    shift = round(start / track.time_base)
    later = [replace(p, pts=p.pts + shift, dts=p.dts + shift) for p in other.packets]
    end = track.packets[-1].pts + track.packets[-1].duration if track.packets else None
    fresh = (p for p in later if end is None or track.kind != "audio" or p.pts >= end - p.duration / 2)
    return replace(track, packets=(*track.packets, *fresh), drop=other.drop)


def _joined_extras(extras: Sequence[Extras], starts: Sequence[Fraction]) -> Extras:
    """The first one's tags and light levels, and the chapters and attachments of all."""
    chapters = tuple(_moved_chapters(extras, starts))[:MAX_CHAPTERS]
    attachments = dict.fromkeys(attachment for each in extras for attachment in each.attachments)
    return replace(extras[0], chapters=chapters, attachments=tuple(attachments)[:MAX_ATTACHMENTS])


def _moved_chapters(extras: Sequence[Extras], starts: Sequence[Fraction]) -> Iterator[Chapter]:
    for each, start in zip(extras, starts, strict=True):
        shift = round(start * NANOSECONDS)
        for chapter in each.chapters:
            yield replace(chapter, start=chapter.start + shift, end=chapter.end + shift)
