"""Schedules side by side: the yardstick is the product's own fit, and every trial runs."""

import json
import math

import numpy as np
import pytest
import torch
from clips import moving_picture, write_clip

from benchmarks import datasets, record
from benchmarks.trials import schedules
from benchmarks.trials.ways import TRIALS, Fit, Trial, halve, rate
from snerv_codec.model.architectures import paper_config
from snerv_codec.training.frames import FrameSet
from snerv_codec.training.settings import FitSettings, Phase
from snerv_codec.training.trainer import make_trainer

CONFIG = paper_config((16, 2, 2), (2, 2, 2, 1, 1), 12, 1)  # 32x32


def clip(frames):
    return FrameSet(torch.from_numpy(moving_picture(frames, 32, 32)), CONFIG)


@pytest.fixture
def toy(tmp_path, monkeypatch):
    """A clip of three frames, with records and caches out of the way."""
    monkeypatch.setattr(record, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(datasets, "CACHE", tmp_path / "cache")
    return write_clip(tmp_path / "toy.mkv", width=64, height=64, frames=3)


def test_the_yardstick_is_the_fit_of_the_product():
    """With one frame there is one order of frames."""
    fit = Fit(clip(1), CONFIG, TRIALS["paper"], epochs=8, seed=3)
    fit.run()
    settings = FitSettings.preset("paper", epochs=8, seed=3)
    trainer = make_trainer(clip(1), CONFIG, settings, schedule=settings.phases()[:1])
    trainer.run()
    for mine, theirs in zip(fit.networks.parameters(), trainer.networks.parameters(), strict=True):
        assert torch.allclose(mine, theirs, atol=1e-6)
    phase = Phase(name="fit", epochs=1, learning_rate=1.0, warmup=0.1)
    assert all(rate(Trial(), i / 50) == pytest.approx(phase.rate(i / 50)) for i in range(51))


OPTIMIZERS = ["paper", "adamw-3e-3", "muon", "soap-3e-3", "free-3e-3"]


VARIANTS = ("muon-coarse", "muon-squared", "muon-batch1-2", "muon-ema", "muon-wsd")
OTHERS = [pytest.param(each, marks=pytest.mark.slow) for each in (*OPTIMIZERS, *VARIANTS) if each != "muon"]


@pytest.mark.parametrize("name", ["muon", *OTHERS])
def test_trials_learn(name):
    untrained = Fit(clip(2), CONFIG, TRIALS["paper"], epochs=0, seed=0)
    fit = Fit(clip(2), CONFIG, TRIALS[name], epochs=15, seed=0)
    frames = moving_picture(2, 32, 32)
    before, after = schedules.measure(untrained, frames), schedules.measure(fit, frames)
    assert after["psnr"] > before["psnr"] + 0.01
    assert after["ssim"] > before["ssim"] + 0.001


def test_a_fit_that_diverges_is_a_result():
    fit = Fit(clip(1), CONFIG, Trial(rate=1e6, clip=None), epochs=5, seed=0)
    assert "diverged" in schedules.measure(fit, moving_picture(1, 32, 32))


def test_half_a_clip():
    frames = np.full((2, 8, 12, 3), 7, np.uint8)
    assert torch.equal(halve(torch.from_numpy(frames)), torch.full((2, 4, 6, 3), 7, dtype=torch.uint8))


def test_epochs_of_the_paper_are_read_between_its_runs():
    curve = [(20.0, 50), (22.0, 200)]
    assert schedules.equivalent(curve, 21.0) == "100"
    assert schedules.equivalent(curve, 22.5) == ">200"
    assert schedules.equivalent(curve, 19.0) == "<50"
    assert schedules.equivalent(curve, math.nan) == schedules.equivalent(curve[:1], 20.0) == "–"


def test_records_and_their_table(toy, tmp_path, capsys):
    arguments = ["--dataset", str(toy), "--size", "150k", "--halve", "--device", "cpu", "--trials", "paper", "muon"]
    assert schedules.main([*arguments, "--epochs", "2"]) == 0
    assert schedules.main([*arguments, "--epochs", "3"]) == 0
    lines = (tmp_path / "results" / "trials" / "schedules" / "toy.jsonl").read_text().splitlines()
    values = json.loads(lines[3])
    assert (len(lines), values["epochs"], values["trial"]) == (4, 3, "muon")
    assert values["settings"]["optimizer"] == "muon"
    assert values["environment"]["versions"]["torch"]
    capsys.readouterr()
    assert schedules.main([*arguments, "--epochs", "3"]) == 0
    assert capsys.readouterr().out == ""  # all have records
    assert schedules.main(["--table"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert next(line.split()[:2] for line in lines if line.startswith("  ")) == ["trial", "epochs"]
    assert any(f"{values['psnr']:.2f}" in line for line in lines)
    assert len(lines) == 3 + 4
