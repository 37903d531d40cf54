"""Frames in memory: a part of them, and a video that is nothing but an array."""

from fractions import Fraction
from typing import Any

import numpy as np

from snerv_codec.bitstream.models import MAX_FRAME_SIDE
from snerv_codec.bitstream.types import MAX_FRAMES, MIN_FRAME_SIDE, Color, VideoInfo
from snerv_codec.errors import InputError, SettingsError
from snerv_codec.media.picture import Pixels
from snerv_codec.media.source import Selection

RGB = Color(matrix=0, full_range=True)


def centred(height: int, width: int, crop: tuple[int, int]) -> tuple[slice, slice]:
    """Rows and columns of a centred `crop`, (height, width), of a frame."""
    top, left = (height - crop[0]) // 2, (width - crop[1]) // 2
    return slice(top, top + crop[0]), slice(left, left + crop[1])


def check_crop(whole: tuple[int, int], crop: tuple[int, int], prefix: str = "") -> None:
    """Raise where frames of `whole`, (height, width), have no such `crop`, or none that can be coded.

    That is `SettingsError` for a crop that is too large, and `InputError`, with `prefix` before what it says, else.
    """
    height, width = crop
    if height > whole[0] or width > whole[1]:
        raise SettingsError(f"crop {height}x{width} (height x width) exceeds the frame, {whole[0]}x{whole[1]}")
    if not MIN_FRAME_SIDE <= min(crop) <= max(crop) <= MAX_FRAME_SIDE:
        raise InputError(
            f"{prefix}{width}x{height} frames; sides from {MIN_FRAME_SIDE} to {MAX_FRAME_SIDE} can be coded"
        )


def from_array(source: Any, selection: Selection) -> tuple[VideoInfo, Pixels]:
    """The selected frames of an array or tensor, uint8 RGB (T, H, W, 3) or (T, 3, H, W), shown at `selection.rate`.

    Raises `InputError` for what is no such array, `SettingsError` without a rate or for what it cannot give.
    """
    frames = _channels_last(source)
    if selection.rate is None:
        raise SettingsError("an array has no frame rate; give rate=25, or whatever it is")
    count, height, width, _ = frames.shape
    start, stop = selection.frames or (0, None)
    stop = count if stop is None else stop
    if not 0 <= start < stop <= count:
        raise SettingsError(f"frames {start}:{stop} are not in an array of {count}")
    crop = selection.crop or (height, width)
    check_crop((height, width), crop)
    if stop - start > MAX_FRAMES:
        raise InputError(f"more than {MAX_FRAMES} frames; select some")
    rows, columns = centred(height, width, crop)
    rate = Fraction(selection.rate)
    info = VideoInfo(
        width=crop[1],
        height=crop[0],
        time_base=1 / rate,
        timestamps=tuple(range(stop - start)),
        final_duration=1,
        rate=rate,
        pixel_aspect=Fraction(1),
        bit_depth=8,
        chroma="rgb",
        color=RGB,
    )
    return info, np.ascontiguousarray(frames[start:stop, rows, columns])


def _channels_last(source: Any) -> Pixels:
    """The array as (T, H, W, 3), of which no copy is made where there need not be one."""
    array = np.asarray(source.detach().cpu().numpy() if hasattr(source, "detach") else source)
    if array.dtype != np.uint8:
        raise InputError(f"an array of {array.dtype}, where uint8 is needed: RGB from 0 to 255")
    if array.ndim != 4 or 3 not in (array.shape[-1], array.shape[1]):
        raise InputError(f"an array of shape {array.shape}, where (T, H, W, 3) or (T, 3, H, W) is needed")
    if len(array) == 0:
        raise InputError("an array without frames")
    return array if array.shape[-1] == 3 else array.transpose(0, 2, 3, 1)
