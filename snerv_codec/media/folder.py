"""A folder of images as a source of frames."""

import re
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import av.error

from snerv_codec.errors import InputError
from snerv_codec.media import color
from snerv_codec.media.alone import IMAGES, OPTIONS, address, image_format
from snerv_codec.media.labels import some
from snerv_codec.media.source import Landmark, Selection, Source


class FolderSource(Source):
    """The images of a folder, a frame each, in the natural order of their names: frame2 before frame10."""

    def __init__(self, folder: Path, selection: Selection, max_pixels: int) -> None:
        super().__init__(str(folder), selection, max_pixels)
        self._paths = images_in(folder)
        self.claimed = len(self._paths)
        self.notes.extend(_oddities(self._paths))

    def frames(self) -> Iterator[Any]:
        """A frame from each image."""
        for number, path in enumerate(self._paths):
            if self.done:
                return
            self.mark(Landmark(number))
            self.part = str(path)
            yield self._read(path)

    def frames_from(self, landmark: Landmark) -> Iterator[Any]:
        """A frame from each image after those that come before the landmark."""
        return map(self._read, self._paths[landmark.number :])

    def _read(self, path: Path) -> Any:
        try:
            kind = image_format(path)
            if kind is None:
                raise InputError(f"{path}: not an image that can be read: neither PNG nor JPEG")
            with av.open(address(path), format=kind, options=OPTIONS) as image:
                context = image.streams.video[0].codec_context
                self.require_room(context.width, context.height)
                context.options = {
                    "max_pixels": str(self.max_pixels),
                    "err_detect": "explode",
                }  # else half a JPEG is one
                frame = next(image.decode(video=0))
        except (av.error.FFmpegError, OSError, ValueError, StopIteration, IndexError) as error:
            raise InputError(f"{path}: not an image that can be read") from error
        frame.pts = None
        if int(frame.color_range) == 0:
            frame.color_range = color.FULL_RANGE  # images are
        return frame


def images_in(folder: Path) -> list[Path]:
    """Its images in natural order, whatever the case of their letters. Raises `InputError` where it has none."""
    try:
        paths = [p for p in folder.iterdir() if p.suffix.lower() in IMAGES and not p.name.startswith(".")]
    except PermissionError:
        raise InputError(f"{folder}: no permission to read it") from None
    if not paths:
        raise InputError(f"{folder}: holds no images ({', '.join(IMAGES)})")
    return sorted(paths, key=_natural_order)


def _natural_order(path: Path) -> tuple[list[tuple[int, str]], str]:
    parts = re.split(r"(\d+)", path.name.casefold())
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts], path.name


def _oddities(paths: list[Path]) -> Iterator[str]:
    """What of the names makes one doubt that this is one sequence, and all of it."""
    kinds = Counter("JPEG" if path.suffix.lower() != ".png" else "PNG" for path in paths)
    if len(kinds) > 1:
        yield "images of several kinds are taken as one sequence: " + ", ".join(f"{n} {k}" for k, n in kinds.items())
    numbered = [(_number(path), path) for path in paths]
    numbers = [number for number, _ in numbered if number is not None]
    twice = [f"{a[1].name} and {b[1].name}" for a, b in pairwise(numbered) if a[0] is not None and a[0] == b[0]]
    if twice:
        yield f"images with the same number are all taken: {some(twice)}"
    gaps = [(a + 1, b - 1) for a, b in pairwise(numbers) if b > a + 1]
    even = {b - a for a, b in pairwise(numbers)}
    if gaps and len(numbers) == len(paths) and (len(even) > 1):
        missing = [str(a) if a == b else f"{a} to {b}" for a, b in gaps]
        yield f"numbers are missing between images, which are taken to follow each other: {some(missing)}"


def _number(path: Path) -> int | None:
    """The last number of a name, which counts frames; None where there is none."""
    found = re.findall(r"\d+", path.stem)
    return int(found[-1]) if found and found[-1].isascii() else None
