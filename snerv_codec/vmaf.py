"""VMAF, by the libvmaf in the ffmpeg that comes with the package imageio-ffmpeg (extra `bench`)."""

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO

import numpy as np
import numpy.typing as npt

from snerv_codec.errors import ResourceError

Planes = npt.NDArray[np.uint8]

MODEL = "vmaf_v0.6.1"
MIN_SIDE = 32  # libvmaf crashes below 17 pixels, and on its fourth scale little is left of 32
MAX_THREADS = 8
LOG, MESSAGES = "vmaf.json", "messages.txt"


@dataclass(frozen=True, slots=True)
class Vmaf:
    """The scores of all frames, about 0..100, and what they come from."""

    scores: tuple[float, ...]
    model: str
    version: str


def find_ffmpeg() -> str:
    """Path of the ffmpeg to use. Raises `ResourceError`, with what to install, where there is none."""
    try:
        from imageio_ffmpeg import get_ffmpeg_exe
    except ImportError:
        raise ResourceError("VMAF needs ffmpeg: pip install 'snerv-codec[bench]'") from None
    try:
        return str(get_ffmpeg_exe())
    except RuntimeError as error:
        raise ResourceError(f"VMAF needs ffmpeg, and imageio-ffmpeg has none for this machine: {error}") from error


class VmafMeter:
    """A running ffmpeg that takes pairs of frames and scores them meanwhile."""

    def __init__(self, process: "subprocess.Popen[bytes]", folder: Path) -> None:
        self._process, self._folder, self._count = process, folder, 0

    def add(self, reference: Planes, distorted: Planes) -> None:
        """Take the next pair: Y, U and V of limited range, uint8 (3, H, W). Raises `ResourceError` if ffmpeg ended."""
        pipe: IO[bytes] = self._process.stdin  # type: ignore[assignment]
        try:
            for plane_pair in zip(reference, distorted, strict=True):
                for plane in plane_pair:
                    pipe.write(np.ascontiguousarray(plane).data)
        except OSError as error:
            self._process.wait()
            raise self._failure() from error
        self._count += 1

    def result(self) -> Vmaf:
        """The scores of all pairs. Raises `ResourceError` where ffmpeg failed."""
        try:
            self._process.communicate()
        except OSError as error:
            raise self._failure() from error
        if self._process.returncode:
            raise self._failure()
        log = json.loads((self._folder / LOG).read_bytes())
        scores = tuple(float(frame["metrics"]["vmaf"]) for frame in log["frames"])
        if len(scores) != self._count:
            raise ResourceError(
                f"VMAF: ffmpeg scored {len(scores)} of {self._count} frames; use --no-vmaf to do without"
            )
        return Vmaf(scores, MODEL, str(log["version"]))

    def _failure(self) -> ResourceError:
        lines = (self._folder / MESSAGES).read_text(errors="replace").split("\n")
        code = self._process.returncode
        reason = next(filter(None, map(str.strip, lines)), f"it ended with code {code}")
        return ResourceError(f"VMAF: ffmpeg failed: {reason}; use --no-vmaf to do without")


@contextmanager
def open_vmaf(width: int, height: int, ffmpeg: str) -> Iterator[VmafMeter]:
    """A meter for frames of this size; the process and its files are gone in the end, whatever happens.

    Both sides travel as one picture, the reference above the distorted frame: one pipe, and no two frames
    that could be paired wrongly.
    """
    split = "split[a][b];[a]crop=iw:ih/2:0:0[reference];[b]crop=iw:ih/2:0:ih/2[distorted]"
    threads = min(MAX_THREADS, len(os.sched_getaffinity(0)))
    score = f"libvmaf=model=version\\\\={MODEL}:log_fmt=json:log_path={LOG}:n_threads={threads}"
    command = [ffmpeg, "-hide_banner", "-nostdin", "-loglevel", "error"]
    command += ["-f", "rawvideo", "-pixel_format", "yuv444p", "-video_size", f"{width}x{2 * height}", "-i", "pipe:0"]
    command += ["-filter_complex", f"{split};[distorted][reference]{score}", "-f", "null", "-"]
    with TemporaryDirectory(prefix="snerv-vmaf-") as folder, (Path(folder) / MESSAGES).open("wb") as messages:
        try:
            process = subprocess.Popen(
                command, cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=messages
            )
        except OSError as error:
            raise ResourceError(f"VMAF: {ffmpeg} cannot be run: {error.strerror}; use --no-vmaf") from error
        try:
            yield VmafMeter(process, Path(folder))
        finally:
            process.kill()
            process.wait()
            if process.stdin:
                process.stdin.close()
