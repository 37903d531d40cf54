"""What a writer is said to take of memory."""

import subprocess
import sys
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest

from snerv_codec.bitstream.types import VideoInfo
from snerv_codec.media.room import HELD, writing_memory
from snerv_codec.media.writer import PRESETS
from snerv_codec.runtime.machine import available_cores

INFO = VideoInfo(1024, 1024, Fraction(1, 25), tuple(range(80)), 1, Fraction(25))
TAKEN = """
import sys
from fractions import Fraction
import numpy as np
from snerv_codec.bitstream.types import VideoInfo
from snerv_codec.media.writer import open_writer

def status(key):
    return next(int(line.split()[1]) << 10 for line in open("/proc/self/status") if line.startswith(key))

path, width, height, frames, preset = sys.argv[1], *map(int, sys.argv[2:5]), sys.argv[5]
info = VideoInfo(width, height, Fraction(1, 25), tuple(range(frames)), 1, Fraction(25))
frame = np.random.default_rng(0).integers(0, 16, (height, width, 3), np.uint8)
before = status("VmRSS")
with open_writer(path, info, preset=preset or None) as writer:
    for number in range(frames):
        writer.write(np.roll(frame, number, 0))
print(status("VmHWM") - before)
"""


def test_what_is_held_back_counts():
    """Presets that look further ahead, more frames up to those, more cores; and what H.264 does not take."""
    assert set(HELD) == set(PRESETS)
    by_preset = [writing_memory("a.mp4", INFO, preset, 2) for preset in PRESETS]
    assert by_preset == sorted(by_preset)
    assert by_preset[0] < by_preset[-1] / 5
    assert writing_memory("a.mp4", INFO, None, 2) == by_preset[PRESETS.index("medium")]
    assert writing_memory("a.MOV", INFO, None, 64) > writing_memory("a.mov", INFO, None, 2)
    short = replace(INFO, timestamps=(0, 1))
    assert writing_memory("a.mp4", short, None, 2) < by_preset[1]
    assert writing_memory("a.mp4", replace(INFO, width=1023), None, 2) > 1.4 * by_preset[5]  # 4:4:4
    for plain in ("a.y4m", "frames", "a.png", "-"):
        assert writing_memory(plain, INFO, None, 2) < writing_memory("a.mkv", INFO, None, 2) < by_preset[5]


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the kernel does not tell what a process takes")
@pytest.mark.parametrize(
    ("kind", "width", "height", "frames", "preset"),
    [
        (".mp4", 1024, 1024, 80, "ultrafast"),
        (".mp4", 1024, 1024, 80, "medium"),
        (".mp4", 1023, 1024, 80, "medium"),
        (".mp4", 1024, 1024, 100, "veryslow"),
        (".mp4", 2048, 2048, 70, "medium"),
        (".mkv", 2048, 2048, 10, ""),
        (".y4m", 2048, 2048, 10, ""),
    ],
)
def test_writing_takes_what_is_stated(tmp_path, kind, width, height, frames, preset):
    path = tmp_path / f"out{kind}"
    sizes = map(str, (width, height, frames))
    done = subprocess.run(
        [sys.executable, "-c", TAKEN, str(path), *sizes, preset], capture_output=True, text=True, check=True
    )
    info = replace(INFO, width=width, height=height, timestamps=tuple(range(frames)))
    share = int(done.stdout) / writing_memory(path, info, preset or None, available_cores())
    assert 0.75 < share < 1.25
