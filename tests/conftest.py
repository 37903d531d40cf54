"""Fixtures that several tests share: a tiny clip with sound, and the file that it becomes."""

import os
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported: tiny tensors gain nothing from more

import pytest
from clips import write_clip

from snerv_codec import EncodeSettings, encode
from snerv_codec.report import EncodeReport
from snerv_codec.training.settings import FitSettings

QUICK = EncodeSettings(size="40k", device="cpu", fit=FitSettings(epochs=3, prune_epochs=1))


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six frames of 34x18 in an mp4, with sound."""
    return write_clip(tmp_path_factory.mktemp("clip") / "clip.mp4", width=34, height=18, frames=6, sound=True)


@pytest.fixture(scope="session")
def encoded(clip: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, EncodeReport]:
    """`clip` as a `.snrv` file, which tests must not change, and the report of its encode."""
    path = tmp_path_factory.mktemp("encoded") / "clip.snrv"
    return path, encode(clip, path, QUICK)


@pytest.fixture(scope="session")
def coded(encoded: tuple[Path, EncodeReport]) -> Path:
    """`clip` as a `.snrv` file; tests must not change it."""
    return encoded[0]
