"""Small clips that the tests make for themselves."""

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt


def moving_picture(frames: int, height: int, width: int) -> npt.NDArray[np.uint8]:
    """RGB gradients that drift and a square that crosses them, (T, H, W, 3)."""
    y, x = np.mgrid[0:height, 0:width]
    pictures = np.empty((frames, height, width, 3), np.uint8)
    for t, picture in enumerate(pictures):
        picture[..., 0] = 255 * (x + 2 * t) // (width + 2 * frames)
        picture[..., 1] = 255 * (y + t) // (height + frames)
        picture[..., 2] = 127 + 100 * np.sin((x + y + 3 * t) / 9)
        left = t * (width // 2) // frames
        picture[height // 4 : height // 2, left : left + width // 4] = 240, 60, 30
    return pictures


def write_clip(path: Path, *, width: int, height: int, frames: int, rate: int = 25, sound: bool = False) -> Path:
    """Write an H.264 clip, with a tone beside it where `sound` is asked for."""
    with av.open(str(path), "w") as container:
        video = add_video(container, height, width, rate)
        audio = container.add_stream("aac", rate=48000, layout="stereo") if sound else None
        encode_frames(container, video, moving_picture(frames, height, width))
        if audio is not None:
            time = np.arange(48000 * frames // rate) / 48000
            tone = np.tile(0.2 * np.sin(2 * np.pi * 440 * time), (2, 1)).astype(np.float32)
            samples = av.AudioFrame.from_ndarray(tone, format="fltp", layout="stereo")
            samples.sample_rate, samples.pts, samples.time_base = 48000, 0, Fraction(1, 48000)
            container.mux(audio.encode(samples))
            container.mux(audio.encode())
    return path


def write_frames(path: Path, frames: npt.NDArray[np.uint8], rate: int = 25) -> Path:
    """Write RGB frames (T, H, W, 3) as an H.264 clip."""
    _, height, width, _ = frames.shape
    with av.open(str(path), "w") as container:
        encode_frames(container, add_video(container, height, width, rate), frames)
    return path


def add_video(container: Any, height: int, width: int, rate: int) -> Any:
    """A stream of H.264, in 4:2:0 where the sides are even."""
    video = container.add_stream("libx264", rate=rate)
    video.height, video.width = height, width
    video.pix_fmt = "yuv420p" if width % 2 == height % 2 == 0 else "yuv444p"
    video.options = {"crf": "10", "preset": "ultrafast"}
    return video


def encode_frames(container: Any, video: Any, frames: npt.NDArray[np.uint8]) -> None:
    """Put all frames of a stream into the container."""
    for picture in frames:
        frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format=video.pix_fmt)
        container.mux(video.encode(frame))
    container.mux(video.encode())


def packets(path: Path, kind: str) -> list[bytes]:
    """The packets of the first stream of `kind`, "video" or "audio"."""
    with av.open(str(path)) as container:
        stream = next(s for s in container.streams if s.type == kind)
        return [bytes(packet) for packet in container.demux(stream) if packet.size]
