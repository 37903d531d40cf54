"""VMAF, by the libvmaf in the ffmpeg that comes with the package imageio-ffmpeg (extra `vmaf`)."""

import subprocess
from array import array
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from xml.etree import ElementTree

import numpy as np

from snerv_codec.errors import ResourceError, SettingsError
from snerv_codec.media.picture import Pixels
from snerv_codec.runtime.machine import available_cores

MODEL = "vmaf_v0.6.1"
MIN_SIDE = 32  # libvmaf crashes below 17 pixels, and on its fourth scale little is left of 32
MAX_THREADS = 8
LOG, MESSAGES = "vmaf.xml", "messages.txt"


@dataclass(frozen=True, slots=True)
class Vmaf:
    """The scores of all frames, about 0..100, and what they come from."""

    scores: Sequence[float]
    model: str
    version: str


def find_ffmpeg() -> str:
    """Path of the ffmpeg to use. Raises `ResourceError`, with what to install, where there is none."""
    try:
        from imageio_ffmpeg import get_ffmpeg_exe
    except ImportError:
        raise ResourceError("VMAF needs imageio-ffmpeg; pip install 'snerv-codec[vmaf]' brings it") from None
    try:
        return str(get_ffmpeg_exe())
    except RuntimeError as error:
        raise ResourceError(f"VMAF needs ffmpeg: {error}") from error


def require(width: int, height: int) -> None:
    """Raise `ResourceError` or `SettingsError` where frames of this size cannot be scored on this machine."""
    if min(width, height) < MIN_SIDE:
        raise SettingsError(f"VMAF needs frames of {MIN_SIDE}x{MIN_SIDE} or more, not {width}x{height}")
    find_ffmpeg()


class VmafMeter:
    """A running ffmpeg that takes pairs of frames and scores them meanwhile."""

    def __init__(self, process: "subprocess.Popen[bytes]", folder: Path) -> None:
        assert process.stdin is not None
        self._process, self._pipe, self._folder, self._count = process, process.stdin, folder, 0

    def add(self, reference: Pixels, distorted: Pixels) -> None:
        """Take the next pair: Y, U and V of limited range, uint8 (3, H, W). Raises `ResourceError` if ffmpeg ended."""
        try:
            for plane in (plane for planes in zip(reference, distorted, strict=True) for plane in planes):
                self._pipe.write(np.ascontiguousarray(plane).data)
        except OSError as error:
            raise self._failure() from error
        self._count += 1

    def result(self) -> Vmaf:
        """The scores of all pairs. Raises `ResourceError` where ffmpeg failed."""
        try:
            self.close()
            if self._process.wait():
                raise self._failure()
            version, scores = _read_log(self._folder / LOG)
        except (OSError, ValueError, KeyError, ElementTree.ParseError) as error:
            raise self._failure() from error
        if len(scores) != self._count:
            raise ResourceError(f"VMAF: ffmpeg scored {len(scores)} of {self._count} frames; `vmaf`=False does without")
        return Vmaf(scores, MODEL, version)

    def close(self) -> None:
        """Close the pipe."""
        self._pipe.close()

    def _failure(self) -> ResourceError:
        code = self._process.wait()
        lines = (self._folder / MESSAGES).read_text(errors="replace").splitlines()
        reason = next(filter(None, map(str.strip, lines)), f"it ended with code {code}")
        return ResourceError(f"VMAF: ffmpeg failed: {reason}; `vmaf`=False does without")


def _read_log(path: Path) -> tuple[str, Sequence[float]]:
    """The version and the score of each frame in libvmaf's log, of which one frame at a time is in memory."""
    scores = array("d")
    reader = ElementTree.iterparse(path, ("start", "end"))
    _, root = next(reader)
    around = root
    for event, element in reader:
        if element.tag == "frames":
            around = element
        elif element.tag == "frame" and event == "end":
            scores.append(float(element.attrib["vmaf"]))
            around.clear()  # which would keep it
    return str(root.attrib["version"]), scores


@contextmanager
def open_vmaf(width: int, height: int, ffmpeg: str) -> Iterator[VmafMeter]:
    """A meter for frames of this size; the process and its files are gone in the end, whatever happens.

    Both sides travel as one picture, the reference above the distorted frame: one pipe, and no two frames
    that could be paired wrongly.
    """
    split = "split[a][b];[a]crop=iw:ih/2:0:0[reference];[b]crop=iw:ih/2:0:ih/2[distorted]"
    threads = min(MAX_THREADS, available_cores())
    score = f"libvmaf=model=version\\\\={MODEL}:log_fmt=xml:log_path={LOG}:n_threads={threads}"
    command = [ffmpeg, "-hide_banner", "-nostdin", "-loglevel", "error"]
    command += ["-f", "rawvideo", "-pixel_format", "yuv444p", "-video_size", f"{width}x{2 * height}", "-i", "pipe:0"]
    command += ["-filter_complex", f"{split};[distorted][reference]{score}", "-f", "null", "-"]
    with TemporaryDirectory(prefix="snerv-vmaf-") as folder, (Path(folder) / MESSAGES).open("wb") as messages:
        try:
            process = subprocess.Popen(
                command, cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=messages
            )
        except OSError as error:
            raise ResourceError(f"VMAF: {ffmpeg} cannot be run: {error.strerror}; `vmaf`=False does without") from error
        meter = VmafMeter(process, Path(folder))
        try:
            yield meter
        finally:
            process.kill()
            process.wait()
            with suppress(OSError):  # what is still in the pipe's buffer has no reader any more
                meter.close()
