"""Reading frames from the middle of a source, exactly those that a pass over all of it has seen.

Containers are not to be relied on for where a frame lies, nor decoders for what they show first. So decoding begins at
a landmark before the frames, and they are looked for by their checksums among what comes.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

from snerv_codec.errors import InputError
from snerv_codec.media.arrays import centred
from snerv_codec.media.color import Converter
from snerv_codec.media.interlacing import deinterlaced
from snerv_codec.media.orientation import STORED, orientation
from snerv_codec.media.picture import PictureFormat, Pixels
from snerv_codec.media.reader import open_source, open_video, too_many
from snerv_codec.media.run import Checker, Run
from snerv_codec.media.source import Damage, Landmark, Selection, Source, Unsupported

LOOKED_AT = 2  # frames before the first one that a filter may see
BEYOND = 100  # frames that come before a landmark, or are held back, where one is not met


def read_run(source: str | Path, selection: Selection, run: Run, *, memory: int | None = None) -> Pixels:
    """The frames of a run of `source`, uint8 (N, H, W, 3), as `selection` shows them; its `frames` do not count.

    They are read from the start where they are not found from a landmark. Raises as `read_video` does, and `InputError`
    where they are others than those of the run.
    """
    selection = replace(selection, audio=False, subtitles=False, attachments=False)
    before = LOOKED_AT if selection.deinterlace else 0
    for landmark in reversed(run.landmarks):
        if landmark.number + before > run.first:
            continue
        with open_source(source, replace(selection, frames=None), tracks=False, memory=memory) as opened:
            found = _found(opened, landmark, run, memory)
        if found is not None:
            return found
    numbers = run.first, run.first + len(run.checksums)
    with open_video(source, replace(selection, frames=numbers), memory=memory, noted=True) as stream:
        pixels = _room_for(len(run.checksums), stream.format, stream.name, memory)
        for number, picture in enumerate(stream):
            pixels[number] = picture
        if stream.run().checksums != run.checksums:
            raise InputError(f"{stream.name}: has changed since it was planned")
    return pixels


def _found(source: Source, landmark: Landmark, run: Run, memory: int | None) -> Pixels | None:
    """The frames of the run among those that come from a landmark on; None where they are not there."""
    count, converter = len(run.checksums), Converter()
    pixels: Pixels | None = None
    most = run.first + count - run.landmarks[0].number + BEYOND
    for number, frame in _matches(islice(_decoded(source, landmark), most), run.checksums):
        picture = (orientation(frame) or STORED).upright(converter.to_rgb(frame))
        height, width, _ = picture.shape
        rows, columns = centred(height, width, source.selection.crop or (height, width))
        picture = picture[rows, columns]
        if pixels is None:
            pixels = _room_for(count, PictureFormat(*picture.shape[:2]), source.name, memory)
        pixels[number] = picture
        if number == count - 1:
            return pixels
    return None


def _room_for(count: int, picture: PictureFormat, name: str, memory: int | None) -> Pixels:
    """Pixels of so many frames, to be filled. Raises `ResourceError` where they do not fit."""
    if memory is not None and count * picture.size > memory:
        raise too_many(name, memory // picture.size, memory)
    return picture.empty(count)


def _decoded(source: Source, landmark: Landmark) -> Iterator[Any]:
    frames = source.frames_from(landmark)
    if source.selection.deinterlace:
        frames = deinterlaced(frames, source.field_order, source.codec)
    with suppress(Damage, Unsupported, InputError):
        yield from frames


def _matches(frames: Iterable[Any], checksums: Sequence[int]) -> Iterator[tuple[int, Any]]:
    """Frames that may be part of a run, each with its number in it; one that comes again with a number replaces it.

    Where a frame does not match, those before it may still begin the run later, as in Knuth, Morris and Pratt's search.
    They are equal to those that have these numbers already.
    """
    checker, shorter, count = Checker(), _shorter(checksums), 0
    for frame in frames:
        check = checker(frame)
        while count and check != checksums[count]:
            count = shorter[count - 1]
        if check == checksums[count]:
            yield count, frame
            count += 1
            if count == len(checksums):
                return


def _shorter(checksums: Sequence[int]) -> list[int]:
    """For each beginning of a run, how long the longest shorter beginning is with which it ends."""
    lengths, length = [0], 0
    for check in checksums[1:]:
        while length and check != checksums[length]:
            length = lengths[length - 1]
        length += check == checksums[length]
        lengths.append(length)
    return lengths
