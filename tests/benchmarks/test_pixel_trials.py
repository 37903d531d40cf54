"""Trials of model pixel: all can be run, and what they come to stands side by side at equal bytes."""

import pytest

from benchmarks import record
from benchmarks.codecs import Snerv
from benchmarks.trials import pixel


@pytest.mark.parametrize("name", pixel.TRIALS)
def test_every_trial_is_an_encode(name):
    settings = Snerv({**pixel.COMMON, **pixel.TRIALS[name], "epochs": 3}).settings("80k")
    assert (settings["model"], settings["recipe"], settings["epochs"]) == ("pixel", "rd", 3)


def test_half_the_bytes_are_made_up_for(tmp_path, monkeypatch):
    monkeypatch.setattr(record, "RESULTS", tmp_path)
    for name, size, psnr in (("8x4x8", 40_000, 31.0), ("16x4x8", 20_000, 30.0), ("balanced", 30_000, 29.0)):
        same = {"trial": name, "settings": {"size": "80k", "epochs": 30}}
        values = {"bytes": size, "embedding_bytes": 9, "psnr": psnr, "ssim": 0.9, "vmaf": 80.0}
        record.write_record("trials/pixel/clip", same, values)
    lines = [line for line in pixel.table() if line]
    (half,) = (line for line in lines if "16x4x8" in line)
    assert half.endswith("+1.50 dB, +6.9 VMAF")
    assert sum("80k parameters" in line for line in lines) == 2  # losses are a table of their own
