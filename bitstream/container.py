"""Stream <-> bytes, and random access to the segments of a file.

INFO | INDX | SEGM or SNNC ... | text | trak pdat ... | DONE, each a checked section (bitstream.sections).
Opening a file reads INFO, INDX and the headers of the rest, so a segment costs one read wherever it lies.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from io import BytesIO
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

from bitstream import sections
from bitstream.errors import Corrupt, LimitExceeded, naming
from bitstream.indexsection import SegmentEntry, read_index, write_index
from bitstream.sections import SectionEntry, SectionFile, write_prologue, write_section
from bitstream.segmentsection import count_values, read_segment, write_segment
from bitstream.tracksection import TrackSummary, read_track, summarize_track, write_track
from bitstream.types import Segment, SideTrack, Stream, VideoInfo
from bitstream.videosection import read_video, write_video

MAX_SUMMARY = 1 << 16  # bytes
MAX_LOADED_VALUES = 1 << 28  # tensor values that `read_stream` keeps in memory at once

Source = str | PathLike[str] | bytes | BinaryIO  # a path, the bytes of a whole file, or a file object that can seek


@dataclass(frozen=True, slots=True)
class StreamHeader:
    """What a file says of itself without its tensors and packets. Sizes and offsets are bytes."""

    version: tuple[int, int]
    video: VideoInfo
    summary: str
    segments: tuple[SegmentEntry, ...]
    tracks: tuple[TrackSummary, ...]
    sections: tuple[SectionEntry, ...]
    file_size: int


def write_stream(stream: Stream) -> bytes:
    """The file that holds `stream`. Raises `LimitExceeded` for one that no reader would accept."""
    parts, entries, offset = [], [], 0
    for segment in stream.segments:
        kind = sections.NNC_SEGMENT if segment.nnc else sections.SEGMENT
        part = write_section(kind, write_segment(segment))
        entries.append(
            SegmentEntry(
                first_frame=segment.first_frame,
                frame_count=segment.frame_count,
                config=segment.config,
                offset=offset,
                length=len(part),
                tensor_count=len(segment.shapes) + len(segment.embeddings),
                value_count=count_values(segment),
            )
        )
        parts.append(part)
        offset += len(part)
    if stream.summary:
        summary = stream.summary.encode()
        if len(summary) > MAX_SUMMARY:
            raise LimitExceeded(f"a summary of {len(summary)} bytes is above the limit of {MAX_SUMMARY}")
        parts.append(write_section(sections.SUMMARY, summary))
    for track in stream.tracks:
        description, packets = write_track(track)
        parts.append(write_section(sections.TRACK, description))
        parts.append(write_section(sections.PACKETS, packets))
    video = write_section(sections.VIDEO, write_video(stream.video))
    index = write_section(sections.INDEX, write_index(entries))
    return b"".join((write_prologue(), video, index, *parts, write_section(sections.END, b"")))


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
                self._load(BytesIO(source) if isinstance(source, bytes) else source)
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

    def read_segment(self, index: int) -> Segment:
        """Segment number `index`, counted from 0; `IndexError` where there is none."""
        entry = self.header.segments[index]
        section = self._segments[index]
        with naming(self._name):
            with _contradictions_are_corrupt():
                segment = read_segment(
                    self._sections.payload(section),
                    entry.first_frame,
                    entry.frame_count,
                    entry.config,
                    nnc=section.type == sections.NNC_SEGMENT,
                )
            tensors = len(segment.shapes) + len(segment.embeddings)
            if (tensors, count_values(segment)) != (entry.tensor_count, entry.value_count):
                raise Corrupt(f"segment {index} does not hold the tensors that the index announces")
            return segment

    def read_tracks(self) -> tuple[SideTrack, ...]:
        """All side tracks with their packets."""
        read = self._sections.payload
        with naming(self._name), _contradictions_are_corrupt():
            return tuple(read_track(read(track), read(packets)) for track, packets in self._track_pairs())

    def read_stream(self) -> Stream:
        """Everything at once."""
        values = sum(entry.value_count for entry in self.header.segments)
        with naming(self._name), _contradictions_are_corrupt():
            if values > MAX_LOADED_VALUES:
                raise LimitExceeded(f"{values} tensor values is above the limit of {MAX_LOADED_VALUES} at once")
            segments = tuple(self.read_segment(i) for i in range(len(self.header.segments)))
            return Stream(self.header.video, segments, self.read_tracks(), self.header.summary)

    def verify(self) -> None:
        """Check the checksum of every section, known or not."""
        with naming(self._name):
            for section in self._sections.sections:
                self._sections.payload(section)

    def _load(self, file: BinaryIO) -> None:
        self._file = file
        self._sections = SectionFile(file)
        self._segments = tuple(self._of_type(sections.SEGMENT, sections.NNC_SEGMENT))
        table = self._sections.sections
        if [section.type for section in table[:2]] != [sections.VIDEO, sections.INDEX]:
            raise Corrupt("the stream does not start with INFO and INDX")
        if len(self._of_type(sections.VIDEO)) > 1 or len(self._of_type(sections.INDEX)) > 1:
            raise Corrupt("the stream has more than one INFO or INDX")
        read = self._sections.payload
        with _contradictions_are_corrupt():
            self.header = StreamHeader(
                version=self._sections.version,
                video=read_video(read(table[0])),
                summary=self._read_summary(),
                segments=read_index(read(table[1])),
                tracks=tuple(summarize_track(read(track)) for track, _ in self._track_pairs()),
                sections=table,
                file_size=self._sections.size,
            )
        self._check_index()

    def _check_index(self) -> None:
        """The index and the segment sections must tell the same story, and cover the video."""
        header, origin = self.header, self._sections.sections[1].end
        listed = [(origin + entry.offset, entry.length) for entry in header.segments]
        found = [(section.offset, section.end - section.offset) for section in self._segments]
        if listed != found:
            raise Corrupt("the segment index does not match the segments")
        video, frames = header.video, sum(entry.frame_count for entry in header.segments)
        if frames != video.frame_count:
            raise Corrupt(f"segments hold {frames} frames, the video {video.frame_count}")
        for height, width in (entry.config.padded_size for entry in header.segments):
            if height < video.height or width < video.width:
                raise Corrupt(f"a {width}x{height} decoder cannot make {video.width}x{video.height} frames")

    def _read_summary(self) -> str:
        found = self._of_type(sections.SUMMARY)
        if not found:
            return ""
        if len(found) > 1 or not 0 < found[0].size <= MAX_SUMMARY:
            raise Corrupt(f"{len(found)} summaries, the first of {found[0].size} bytes")
        try:
            return self._sections.payload(found[0]).decode()
        except UnicodeDecodeError:
            raise Corrupt("the summary is not UTF-8") from None

    def _of_type(self, *kinds: bytes) -> list[SectionEntry]:
        return [section for section in self._sections.sections if section.type in kinds and not section.flags]

    def _track_pairs(self) -> Iterator[tuple[SectionEntry, SectionEntry]]:
        tracks, packets = self._of_type(sections.TRACK), self._of_type(sections.PACKETS)
        if len(tracks) != len(packets):
            raise Corrupt("a side track's packets are missing")
        for track, its_packets in zip(tracks, packets, strict=True):
            if track.end != its_packets.offset:
                raise Corrupt("a side track's packets do not follow it")
            yield track, its_packets


@contextmanager
def _contradictions_are_corrupt() -> Iterator[None]:
    """The types refuse values that make no sense; from a file, that means it is corrupt."""
    try:
        yield
    except ValueError as error:
        raise Corrupt(str(error)) from error
