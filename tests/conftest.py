"""What holds for every test, and fixtures that several share: a tiny clip with sound, and the file that it becomes."""

import os
from collections.abc import Iterator
from pathlib import Path

# Before torch is imported: tests run side by side, a core each, and where they are given more threads than there are
# cores, a thread that waits sleeps: spinning, it keeps the one that it waits for from running (18 times slower).
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
# Programs that tests start buffer what they print, as most people's do: then an error may come as late as at the exit.
os.environ.pop("PYTHONUNBUFFERED", None)

# Ray's clusters of tests stand alone, and a process that has met one with tokens cannot join one without.
os.environ.setdefault("RAY_AUTH_MODE", "disabled")

import hypothesis
import pytest
import torch
from clips import write_clip

from snerv_codec import EncodeSettings, encode
from snerv_codec.encoding import pace
from snerv_codec.report import EncodeReport
from snerv_codec.training.settings import FitSettings

# The same examples each time, and as long as they take; `--hypothesis-profile explore` looks for new ones.
hypothesis.settings.register_profile("same", deadline=None, derandomize=True)
hypothesis.settings.register_profile("explore", deadline=None, print_blob=True)
hypothesis.settings.load_profile("same")

QUICK = EncodeSettings(size="40k", device="cpu", fit=FitSettings.preset("paper", epochs=3, prune_epochs=1))


@pytest.fixture(autouse=True)
def _own_state() -> Iterator[None]:
    """Each test has the same random numbers, whichever ran before it, and leaves no switch of torch turned."""
    threads, deterministic = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    torch.manual_seed(0)
    yield
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(deterministic)


@pytest.fixture(autouse=True)
def _quick_plans(monkeypatch: pytest.MonkeyPatch) -> None:
    """What times a fit for a plan does so with a tiny model."""
    small = {"TRIAL_HEIGHT": 48, "TRIAL_WIDTH": 96, "TRIAL_SIZE": 160_000, "LEAST_STEPS": 1, "MOST_STEPS": 1}
    for name, value in small.items():
        monkeypatch.setattr(pace, name, value)


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
