"""The ffmpeg inside imageio-ffmpeg: one program of a known version for every anchor, encoding and decoding.

A process of its own shows its processor time, its command line can be repeated by hand, and unlike PyAV's
wheels it has VVenC.

Colours: codecs of 4:2:0 get it by the BT.601 matrix, limited range, chroma sited left, and are taken back to RGB
by the exact counterpart, both with libswscale's Lanczos filter and full chroma precision. Of the matrices and
filters tried on the Bunny clips that pair loses least. Repeating chroma samples, as plain decoders do, would
cost the 4:2:0 codecs some 4 dB of their ceiling on the small clip.
"""

import re
import resource
import subprocess
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from snerv_codec.errors import ResourceError, UserError

_PRECISE = "flags=lanczos+accurate_rnd+full_chroma_inp+full_chroma_int"
_TO_420 = f"scale={_PRECISE}:out_color_matrix=smpte170m:out_range=tv:out_chroma_loc=left,format=yuv420p"
_TO_RGB = f"scale={_PRECISE}:in_color_matrix=smpte170m:in_range=tv:in_chroma_loc=left:out_range=pc,format=bgr0"
TO_420 = ("-vf", _TO_420, "-colorspace", "smpte170m", "-color_range", "tv")
TO_RGB = ("-vf", _TO_RGB)
CONVERSION = f"{_TO_420}; {_TO_RGB}"

# What the encoders say of themselves while they work; x264 is silent.
_LIBRARIES = (
    r"(HEVC encoder version \S+)",
    r"(SVT-AV1 Encoder Lib \S+)",
    r"(libvvenc version: \S+)",
)


class EncodingFailed(UserError):
    """ffmpeg ended with an error; the message is its last line."""


@dataclass(frozen=True, slots=True)
class Run:
    """A finished run: wall and processor seconds (children of the process included), and what it printed."""

    seconds: float
    cpu_seconds: float
    log: str

    def library(self) -> str:
        """Name and version of the encoder inside, or "" where it said none."""
        return next((found[1] for pattern in _LIBRARIES if (found := re.search(pattern, self.log))), "")


@cache
def program() -> str:
    """Path of the binary. Raises `ResourceError` where the extra is not installed."""
    try:
        import imageio_ffmpeg
    except ImportError as error:
        raise ResourceError("the anchors need ffmpeg: pip install 'snerv-codec[bench]'") from error
    return str(imageio_ffmpeg.get_ffmpeg_exe())


@cache
def version() -> str:
    """The version that the binary tells, such as "n7.1-..."."""
    first = subprocess.run([program(), "-version"], capture_output=True, text=True, check=True).stdout.splitlines()[0]
    return first.split()[2]


def run(*arguments: str | Path) -> Run:
    """Run ffmpeg to its end. Raises `EncodingFailed`."""
    command = [program(), "-hide_banner", "-nostdin", "-nostats", "-y", *map(str, arguments)]
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, errors="replace")
    seconds, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if "rror" in line] or done.stderr.splitlines() or ["?"]
        raise EncodingFailed(f"ffmpeg ended with {done.returncode}: {lines[0].strip()}")
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Run(seconds, cpu, done.stderr)
