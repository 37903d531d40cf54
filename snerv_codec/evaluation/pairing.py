"""Two videos read in step: opened by what they are, and held to the same size and frame count."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import zip_longest
from pathlib import Path

from snerv_codec.bitstream.sections import SIGNATURE
from snerv_codec.bitstream.types import Color
from snerv_codec.errors import SettingsError
from snerv_codec.media.arrays import centred
from snerv_codec.media.color import measured_in
from snerv_codec.media.picture import Pixels
from snerv_codec.media.reader import open_video
from snerv_codec.media.source import Selection
from snerv_codec.runtime.machine import available_memory


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two videos: its selected frames, uint8 RGB (height, width, 3), to be read once."""

    source: str | Path
    name: str  # for messages
    selection: Selection
    height: int
    width: int
    source_size: tuple[int, int]  # (height, width) before the crop
    yuv: Color  # the matrix and range in which Y, U and V are measured
    expected: int | None  # frames, as far as is known beforehand
    frames: Iterator[Pixels]
    count: Callable[[], int]  # frames in all; reads what is left


@dataclass(frozen=True, slots=True)
class Pair:
    """Reference and distorted video of one size; iteration gives their frames two by two.

    It ends with `SettingsError`, which tells both counts, where one of them has fewer frames.
    """

    reference: Side
    distorted: Side

    @property
    def expected(self) -> int | None:
        """How many pairs there should be, as far as is known beforehand."""
        return self.reference.expected or self.distorted.expected

    def __iter__(self) -> Iterator[tuple[Pixels, Pixels]]:
        for reference, distorted in zip_longest(self.reference.frames, self.distorted.frames):
            if reference is None or distorted is None:
                raise _counts_differ(self.reference, self.distorted)
            yield reference, distorted


@contextmanager
def open_pair(reference: str | Path, distorted: str | Path, selection: Selection, device: str) -> Iterator[Pair]:
    """Both videos, open; `selection` is taken of the reference, and `device` decodes `.snrv` files.

    A `.snrv` file was made of the centre of what is larger than it, so where no crop is given the reference is cropped
    to its size. Raises `SettingsError` where their sizes differ, and `UserError` and `BitstreamError` for sources that
    cannot be read.
    """
    if str(reference) == str(distorted) == "-":
        raise SettingsError("only one of the two videos can come from standard input")
    with open_side(reference, selection, device) as left:
        # raw samples do not tell their size: it must be the reference's
        whole = Selection(video_size=(left.width, left.height), pix_fmt=selection.pix_fmt)
        with open_side(distorted, whole, device) as right:
            if selection.crop is None and is_snrv(distorted):
                left = _cropped(left, (right.height, right.width))
            if (left.width, left.height) != (right.width, right.height):
                raise _sizes_differ(left, right)
            yield Pair(left, right)


@contextmanager
def open_side(source: str | Path, selection: Selection, device: str) -> Iterator[Side]:
    """A `.snrv` file, or whatever `open_video` reads."""
    if is_snrv(source):
        with _open_snrv(source, selection, device) as side:
            yield side
        return
    with open_video(source, selection, tracks=False, memory=available_memory()) as stream:

        def count() -> int:
            stream.skip()
            return stream.count

        yield Side(
            source=source,
            name=stream.name,
            selection=selection,
            height=stream.height,
            width=stream.width,
            source_size=stream.source_size,
            yuv=measured_in(stream.color, stream.chroma),
            expected=stream.expected,
            frames=iter(stream),
            count=count,
        )


@contextmanager
def _open_snrv(source: str | Path, selection: Selection, device: str) -> Iterator[Side]:
    from snerv_codec.decoding import Decoder

    with Decoder(source, device=device) as decoder:
        info = decoder.info
        start, stop = selection.frames or (0, None)
        numbers = range(start, info.frame_count if stop is None else stop)
        if not 0 <= start < numbers.stop <= info.frame_count:
            raise SettingsError(f"{source}: has {info.frame_count} frames, not all of {_written(start, stop)}")
        height, width = selection.crop or (info.height, info.width)
        if not 0 < height <= info.height or not 0 < width <= info.width:
            raise SettingsError(
                f"{source}: crop {height}x{width} (height x width) does not fit the frame, {info.height}x{info.width}"
            )
        rows, columns = centred(info.height, info.width, (height, width))
        yield Side(
            source=source,
            name=str(source),
            selection=selection,
            height=height,
            width=width,
            source_size=(info.height, info.width),
            yuv=measured_in(info.color, info.chroma),
            expected=len(numbers),
            frames=(frame[rows, columns] for frame in decoder.frames(numbers)),
            count=lambda: len(numbers),
        )


def _cropped(side: Side, size: tuple[int, int]) -> Side:
    """The centre of a video, (height, width); the video itself where that is no smaller."""
    if size[0] > side.height or size[1] > side.width:
        return side
    rows, columns = centred(side.height, side.width, size)
    return replace(side, height=size[0], width=size[1], frames=(frame[rows, columns] for frame in side.frames))


def is_snrv(source: str | Path) -> bool:
    """Whether `source` is a `.snrv` file, by its name or, whatever its name, by its first bytes."""
    path = Path(source)
    if path.suffix.lower() == ".snrv":
        return True
    try:
        if not path.is_file():
            return False
        with path.open("rb") as file:
            return file.read(len(SIGNATURE)) == SIGNATURE
    except OSError:  # whoever opens it will say why
        return False


def _sizes_differ(left: Side, right: Side) -> SettingsError:
    crop, size = left.selection.crop, (right.height, right.width)
    after = f" after `crop` {crop[0]}x{crop[1]}" if crop else ""
    advice = ""
    if crop and size == left.source_size:
        advice = "; `crop` applies to the reference alone: crop the distorted video too, or leave `crop` out"
    elif not crop and size[0] <= left.height and size[1] <= left.width:
        advice = f"; if it was made from a crop, give `crop` {size[0]}x{size[1]} (height x width)"
    return SettingsError(
        f"{right.name}: is {right.width}x{right.height}, and {left.name} {left.width}x{left.height}{after}{advice}"
    )


def _counts_differ(left: Side, right: Side) -> SettingsError:
    frames, here, there = left.selection.frames, left.count(), right.count()
    after = f" in `frames` {_written(*frames)}" if frames else ""
    advice = ""
    if frames and there == _whole_count(left):
        advice = "; `frames` applies to the reference alone: cut the distorted video too, or leave `frames` out"
    elif not frames and there < here:
        advice = f"; if it was made from a part, give its frames, such as `frames` 0:{there}"
    return SettingsError(f"{right.name}: has {there} frames, and {left.name} {here}{after}{advice}")


def _written(start: int, stop: int | None) -> str:
    return f"{start}:{'' if stop is None else stop}"


def _whole_count(side: Side) -> int | None:
    """Frames of the source before the selection; None for a pipe, which cannot be read again."""
    if not Path(side.source).is_file() and not Path(side.source).is_dir():
        return None
    with open_side(side.source, replace(side.selection, frames=None), "cpu") as whole:
        return whole.count()
