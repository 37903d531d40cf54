"""Rounding one fit in several ways: a toy run, and what the report makes of its record."""

import json

import numpy as np
import pytest
from clips import write_clip

from benchmarks import datasets, record
from benchmarks.trials import rounding

pytest.importorskip("bjontegaard", reason="the extra bench is not installed")


@pytest.mark.slow
def test_a_toy_record_and_its_section(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(record, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(datasets, "CACHE", tmp_path / "cache")
    monkeypatch.setattr(rounding, "QPS", (-38, -26))
    monkeypatch.setattr(rounding, "WEIGHT_BITS", (8, 5))
    monkeypatch.setattr(rounding, "PRICES", np.array([1e-8, 1e-6]))
    clip = write_clip(tmp_path / "toy.mkv", width=48, height=32, frames=3)
    rounding.main(["--dataset", str(clip), "--size", "60k", "--epochs", "4", "--device", "cpu"])
    values = json.loads((tmp_path / "results" / "trials" / "rounding" / "toy.jsonl").read_text())
    plain = values["curves"]["plain"]
    assert [point["bits"] for point in plain] == list(rounding.WEIGHT_BITS)
    assert plain[0]["bytes"] > plain[-1]["bytes"]
    assert abs(plain[0]["psnr"] - values["unrounded_psnr"]) < 0.5
    equal = values["curves"]["equal"]
    assert all(ours["bytes"] < theirs["bytes"] for ours, theirs in zip(equal, plain, strict=True))
    assert f"{plain[0]['bytes']:,} bytes" in capsys.readouterr().out

    section = rounding.section(values)
    text, figure, table = section.blocks
    assert f"{values['unrounded_psnr']:.2f} dB before rounding" in text.text
    assert figure.markup.count("<path") > 3
    assert [row[0] for row in table.rows][:3] == [rounding.SHOWN[name] for name in ("plain", "steps", "equal")]
