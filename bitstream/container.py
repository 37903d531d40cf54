"""Stream <-> bytes, and random access to the segments of a file.

INFO | text | meta | atch ... | trak pdat ... | SEGM or SNNC ... | INDX | DONE, each checked (bitstream.sections).
Opening a file reads INFO, INDX and the headers of the rest, so a segment costs one read wherever it lies.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from io import BytesIO, TextIOBase
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, TypeVar

from . import sections
from .errors import Corrupt, Damaged, LimitExceeded, contradictions_are_corrupt, naming
from .extras import NO_EXTRAS, Extras
from .extrassection import check_attachment_count, read_attachment, read_extras, write_attachment, write_extras
from .indexsection import SegmentEntry, read_index, write_entry, write_head, write_index
from .models import DecoderConfig, check_covers
from .sections import SectionEntry, SectionFile, check_size, payload_of, write_prologue, write_section
from .segmentsection import CodedSegment, Expect, read_segment, write_segment
from .tracksection import TrackSummary, check_track_count, read_track, summarize_track, write_track
from .types import Segment, SideTrack, Stream, VideoInfo
from .videosection import read_video, write_video

MAX_LOADED_VALUES = 1 << 28  # tensor values that `read_stream` keeps in memory at once

Part = TypeVar("Part")
Bytes = bytes | bytearray | memoryview
Source = str | PathLike[str] | Bytes | BinaryIO  # a path, the bytes of a whole file, or a file object that can seek


@dataclass(frozen=True, slots=True)
class StreamHeader:
    """What a file says of itself without its tensors and packets. Sizes and offsets are bytes."""

    version: tuple[int, int]
    video: VideoInfo
    summary: str
    extras: Extras  # but for the attachments
    segments: tuple[SegmentEntry, ...]
    tracks: tuple[TrackSummary, ...]
    damage: tuple[str, ...]  # what of the above is left out, as its checksum fails, and a video does without
    sections: tuple[SectionEntry, ...]
    file_size: int


class StreamWriter:
    """Writes a file section by section, so that no more than one segment is in memory at a time.

    What is known before the first segment goes first: the video, summary, extras, and side tracks. Then `add`
    takes the segments in order, and `finish` writes the index and the end mark; a file without them is seen to be
    truncated. `write` is given the bytes, in order. Methods raise `LimitExceeded` for what no reader would accept,
    and `ValueError` for segments that are not those of the video.
    """

    def __init__(
        self,
        write: Callable[[bytes], object],
        video: VideoInfo,
        tracks: Iterable[SideTrack] = (),
        summary: str = "",
        extras: Extras = NO_EXTRAS,
    ) -> None:
        self._sink, self._video = write, video
        self._entries: list[SegmentEntry] = []
        self._offset = self._frames = 0
        self._write(write_prologue())
        self._section(sections.VIDEO, write_video(video))
        if summary:
            self._section(sections.SUMMARY, summary.encode())
        if extras.told:
            self._section(sections.EXTRAS, write_extras(extras))
        for attachment in extras.attachments:
            self._section(sections.ATTACHMENT, write_attachment(attachment))
        for number, track in enumerate(tracks, start=1):
            check_track_count(number)
            description, packets = write_track(track)
            self._section(sections.TRACK, description)
            self._section(sections.PACKETS, packets)

    def rest(self, segments: int) -> int:
        """Bytes of a file of so many segments, but for those of the segments themselves (`segment_bytes`).

        To be asked before the first one is added.
        """
        return self._offset + len(write_head(segments, self._offset)) + sections.END_SIZE + 2 * sections.FRAMING_SIZE

    def add(self, segment: CodedSegment) -> None:
        """Append the segment that holds the next frames."""
        if isinstance(segment.config, DecoderConfig):
            check_covers(segment.config, self._video.height, self._video.width)
        left = self._video.frame_count - self._frames
        if segment.frame_count > left:
            raise ValueError(f"a segment of {segment.frame_count} frames where the video has {left} left")
        check_size(segment.section[:4], len(payload_of(segment.section)))
        self._entries.append(_entry(segment, self._frames, self._offset))
        self._frames += segment.frame_count
        self._write(segment.section)

    def finish(self) -> None:
        """Write the index and the end mark."""
        if self._frames != self._video.frame_count:
            raise ValueError(f"segments hold {self._frames} frames, the video {self._video.frame_count}")
        for part in _end(self._entries, self._offset):
            self._write(part)

    def _section(self, kind: bytes, payload: bytes) -> None:
        check_size(kind, len(payload))
        self._write(write_section(kind, payload))

    def _write(self, data: bytes) -> None:
        self._sink(data)
        self._offset += len(data)


def segment_bytes(segment: CodedSegment) -> int:
    """Bytes that a segment takes of a file: its section, and its part of the index."""
    return len(segment.section) + len(write_entry(_entry(segment, 0, 0)))


def _file_object(source: Bytes | BinaryIO) -> BinaryIO:
    """What is no path as a file. Raises `TypeError` for what is no file either."""
    if isinstance(source, Bytes):
        return BytesIO(source)
    if isinstance(source, TextIOBase) or not hasattr(source, "seek"):
        kind = "one opened as text" if isinstance(source, TextIOBase) else type(source).__name__
        raise TypeError(f"a .snrv file is given by its path, its bytes, or a binary file object, not {kind}")
    return source


def _entry(segment: CodedSegment, first_frame: int, offset: int) -> SegmentEntry:
    return SegmentEntry(
        first_frame=first_frame,
        frame_count=segment.frame_count,
        config=segment.config,
        offset=offset,
        length=len(segment.section),
        tensor_count=segment.tensor_count,
        value_count=segment.value_count,
    )


def _end(entries: list[SegmentEntry], offset: int) -> tuple[bytes, bytes]:
    """The index, which lies at `offset`, and the end mark."""
    index = write_section(sections.INDEX, write_index(entries))
    return index, write_section(sections.END, offset.to_bytes(sections.END_SIZE, "little"))


def write_stream(stream: Stream) -> bytes:
    """The file that holds `stream`. Raises `LimitExceeded` for one that no reader would accept."""
    file = BytesIO()
    writer = StreamWriter(file.write, stream.video, stream.tracks, stream.summary, stream.extras)
    for segment in stream.segments:
        writer.add(write_segment(segment))
    writer.finish()
    return file.getvalue()


def read_stream(data: bytes) -> Stream:
    """The stream in the bytes of a whole file, every checksum verified.

    Raises a `BitstreamError`; nothing else, whatever the bytes. A long video that is above
    `MAX_LOADED_VALUES` is to be read segment by segment, with `StreamFile`.
    """
    file = StreamFile(data)
    file.verify()
    return file.read_stream()


def read_header(source: Source) -> StreamHeader:
    """What a file says of itself; decodes no tensor. Raises a `BitstreamError` or `OSError`."""
    with StreamFile(source) as file:
        return file.header


class StreamFile:
    """A file that is open for random access; use it as a context manager. Threads may share it.

    It is given by its path, as its bytes, or as a binary file object, which this closes.

    Opening checks the prologue, the section list, and the checksums of the small sections; a segment's or
    a track's own when it is read. All methods raise a `BitstreamError` or `OSError`.
    """

    header: StreamHeader
    _name = ""
    _file: BinaryIO
    _sections: SectionFile
    _segments: tuple[SectionEntry, ...]

    def __init__(self, source: Source) -> None:
        self._name = str(source) if isinstance(source, str | PathLike) else ""
        with naming(self._name), ExitStack() as on_error:
            if isinstance(source, str | PathLike):
                self._load(on_error.enter_context(Path(source).open("rb")))
            else:
                self._load(_file_object(source))
            on_error.pop_all()

    def __enter__(self) -> "StreamFile":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def coded_segment(self, index: int) -> CodedSegment:
        """Segment number `index`, counted from 0, as bytes to copy; `IndexError` where there is none."""
        entry = self.header.segments[index]
        with naming(self._name):
            section = self._sections.whole(self._segments[index])
        return CodedSegment(entry.frame_count, entry.config, entry.tensor_count, entry.value_count, section)

    def read_segment(self, index: int, expect: Expect | None = None) -> Segment:
        """Segment number `index`, counted from 0; `IndexError` where there is none.

        `expect` is asked about its decoder's tensors before any is decoded.
        """
        coded = self.coded_segment(index)
        with naming(self._name), contradictions_are_corrupt():
            return read_segment(coded, self.header.segments[index].first_frame, expect)

    def read_tracks(self, damage: list[str] | None = None) -> tuple[SideTrack, ...]:
        """All side tracks with their packets.

        With a list for `damage`, those whose checksums fail are left out, and it is told which sections these are.
        """
        read = self._sections.payload
        with naming(self._name), contradictions_are_corrupt():
            tracks = [lambda pair=pair: read_track(*map(read, pair)) for pair in self._track_pairs()]
            return _undamaged(tracks, damage)

    def read_extras(self, damage: list[str] | None = None) -> Extras:
        """Tags, chapters, light levels and attachments; `damage` as for tracks."""
        read, found = self._sections.payload, self._of_type(sections.ATTACHMENT)
        with naming(self._name), contradictions_are_corrupt():
            check_attachment_count(len(found))
            told = _undamaged([self._read_told], damage) or (NO_EXTRAS,)
            attachments = [lambda each=each: read_attachment(read(each)) for each in found]
            return replace(told[0], attachments=_undamaged(attachments, damage))

    def read_stream(self) -> Stream:
        """Everything at once."""
        values = sum(entry.value_count for entry in self.header.segments)
        with naming(self._name), contradictions_are_corrupt():
            if values > MAX_LOADED_VALUES:
                raise LimitExceeded(f"{values} tensor values is above the limit of {MAX_LOADED_VALUES} at once")
            segments = tuple(self.read_segment(i) for i in range(len(self.header.segments)))
            return Stream(self.header.video, segments, self.read_tracks(), self.header.summary, self.read_extras())

    def verify(self) -> None:
        """Check the checksum of every section, known or not."""
        with naming(self._name):
            for section in self._sections.sections:
                self._sections.verify(section)

    def _load(self, file: BinaryIO) -> None:
        self._file = file
        self._sections = SectionFile(file)
        self._segments = tuple(self._of_type(sections.SEGMENT, sections.NNC_SEGMENT))
        table, index = self._sections.sections, self._of_type(sections.INDEX)
        if table[0].type != sections.VIDEO or len(self._of_type(sections.VIDEO)) > 1:
            raise Corrupt("the stream does not start with its one INFO")
        if table[-1].size != sections.END_SIZE:
            raise Corrupt(f"an end mark of {table[-1].size} bytes")
        read = self._sections.payload
        if len(index) != 1 or int.from_bytes(read(table[-1]), "little") != index[0].offset:
            raise Corrupt("the end mark does not name the one INDX")
        if self._segments and self._segments[-1].offset > index[0].offset:
            raise Corrupt("a segment follows INDX")
        damage: list[str] = []
        with contradictions_are_corrupt():
            tracks = [
                lambda pair=(track, packets): summarize_track(read(pair[0]), pair[1].size)
                for track, packets in self._track_pairs()
            ]
            self.header = StreamHeader(
                version=self._sections.version,
                video=read_video(read(table[0])),
                summary="".join(_undamaged([self._read_summary], damage)),
                extras=next(iter(_undamaged([self._read_told], damage)), NO_EXTRAS),
                segments=read_index(read(index[0])),
                tracks=_undamaged(tracks, damage),
                sections=table,
                file_size=self._sections.size,
                damage=tuple(damage),
            )
        self._check_index()

    def _check_index(self) -> None:
        """The index and the segment sections must tell the same story, and cover the video."""
        header = self.header
        listed = [(entry.offset, entry.length) for entry in header.segments]
        found = [(section.offset, section.end - section.offset) for section in self._segments]
        if listed != found:
            raise Corrupt("the segment index does not match the segments")
        video, frames = header.video, sum(entry.frame_count for entry in header.segments)
        if frames != video.frame_count:
            raise Corrupt(f"segments hold {frames} frames, the video {video.frame_count}")
        with contradictions_are_corrupt():
            for entry in header.segments:
                if isinstance(entry.config, DecoderConfig):
                    check_covers(entry.config, video.height, video.width)

    def _read_summary(self) -> str:
        found = self._of_type(sections.SUMMARY)
        if not found:
            return ""
        if len(found) > 1 or not found[0].size:
            raise Corrupt(f"{len(found)} summaries, the first of {found[0].size} bytes")
        try:
            return bytes(self._sections.payload(found[0])).decode()
        except UnicodeDecodeError:
            raise Corrupt("the summary is not UTF-8") from None

    def _read_told(self) -> Extras:
        """The extras without the attachments."""
        found = self._of_type(sections.EXTRAS)
        if len(found) > 1:
            raise Corrupt(f"{len(found)} sections of extras")
        return read_extras(self._sections.payload(found[0])) if found else NO_EXTRAS

    def _of_type(self, *kinds: bytes) -> list[SectionEntry]:
        return [section for section in self._sections.sections if section.type in kinds and not section.flags]

    def _track_pairs(self) -> Iterator[tuple[SectionEntry, SectionEntry]]:
        tracks, packets = self._of_type(sections.TRACK), self._of_type(sections.PACKETS)
        check_track_count(len(tracks))
        if len(tracks) != len(packets):
            raise Corrupt("a side track's packets are missing")
        for track, its_packets in zip(tracks, packets, strict=True):
            if track.end != its_packets.offset:
                raise Corrupt("a side track's packets do not follow it")
            yield track, its_packets


def _undamaged(reads: Iterable[Callable[[], Part]], damage: list[str] | None) -> tuple[Part, ...]:
    """What each reads, but where a checksum fails, which `damage` is told; without one it is an error."""
    parts = []
    for read in reads:
        try:
            parts.append(read())
        except Damaged as error:
            if damage is None:
                raise
            damage.append(str(error))
    return tuple(parts)
