"""A fitted file that every later version, on every device, must decode to the same picture.

Set REGENERATE_GOLDEN=1 to write it anew: only before the format is released.
"""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from clips import write_clip
from conftest import QUICK

from snerv_codec import Decoder, encode
from snerv_codec.evaluation.metrics import psnr
from snerv_codec.training.settings import FitSettings

FILE = Path(__file__).parent / "golden" / "video.snrv"
FRAMES = FILE.with_suffix(".npz")


def regenerate(folder):
    source = write_clip(folder / "in.mkv", width=33, height=17, frames=3, sound=True)
    settings = replace(QUICK, fit=FitSettings.preset("paper", epochs=200, learning_rate=3e-3))
    encode(source, FILE, settings, overwrite=True)
    with Decoder(FILE, device="cpu") as decoder:
        np.savez_compressed(FRAMES, decoder[:])


def check(device):
    expected = np.load(FRAMES)["arr_0"]
    with Decoder(FILE, device=device) as decoder:
        frames = decoder[:]
    difference = np.abs(frames.astype(int) - expected)
    assert difference.max() <= 1
    assert (difference > 0).mean() < 0.01


def test_the_golden_video_looks_as_it_did(tmp_path):
    if os.environ.get("REGENERATE_GOLDEN") == "1":
        regenerate(tmp_path)
    check("cpu")


@pytest.mark.needs_cuda
def test_the_golden_video_looks_the_same_on_a_gpu():
    check("cuda")


@pytest.mark.slow
def test_the_demo_clip_is_fitted_as_well_as_promised(tmp_path):
    from importlib.resources import as_file, files

    from snerv_codec.cli.demo import CLIP_EPOCHS, CLIP_SIZE
    from snerv_codec.media.reader import read_video

    with as_file(files("snerv_codec") / "demo" / "bunny.mp4") as clip:
        settings = replace(QUICK, size=CLIP_SIZE, fit=FitSettings.preset("default", epochs=CLIP_EPOCHS))
        report = encode(clip, tmp_path / "bunny.snrv", settings)
        frames = read_video(clip).frames
    with Decoder(tmp_path / "bunny.snrv", device="cpu") as decoder:
        assert np.mean([psnr(a, b) for a, b in zip(frames, decoder, strict=True)]) >= 27
    assert report.quality.psnr >= 27
    assert abs(report.pruned_psnr - report.quality.psnr) < 0.1
