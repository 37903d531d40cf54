"""Masks for in-painting: which pixels of a video are known."""

from pathlib import Path

import numpy as np
import numpy.typing as npt

from snerv_codec.bitstream.types import VideoInfo
from snerv_codec.errors import SettingsError
from snerv_codec.media.alone import IMAGES
from snerv_codec.media.reader import read_video
from snerv_codec.media.source import Selection

Mask = npt.NDArray[np.bool_]

WHITE = 128  # from this mean of R, G and B on, a pixel is missing


def read_mask(path: str | Path, info: VideoInfo, selection: Selection, *, memory: int | None = None) -> Mask:
    """True where a pixel is known: (T, H, W), or (1, H, W) for a single picture, which serves all frames.

    `path` is a picture, a folder of pictures or a video, white where the video is missing. It is cropped and
    cut as `selection` says of the video. Raises `InputError` where it cannot be read and `SettingsError`
    where it does not fit the video of `info` or hides a whole frame.
    """
    frames = None if Path(path).suffix.lower() in IMAGES else selection.frames
    mask = read_video(path, Selection(crop=selection.crop, frames=frames), memory=memory).frames
    count, height, width = mask.shape[:3]
    if (height, width) != (info.height, info.width):
        raise SettingsError(f"{path}: a mask of {width}x{height} does not fit a video of {info.width}x{info.height}")
    if count not in (1, info.frame_count):
        raise SettingsError(f"{path}: {count} masks for {info.frame_count} frames; give one for all, or one a frame")
    known = np.empty(mask.shape[:3], np.bool_)
    for number, picture in enumerate(mask):
        known[number] = picture.mean(axis=-1) < WHITE
        if not known[number].any():
            raise SettingsError(f"{path}: mask {number} hides the whole frame; leave some of it to fit")
    return known
