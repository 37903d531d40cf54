"""The paper's claims beside records: what counts as seen, and that figures come from the records alone."""

import json

import pytest

from benchmarks.paper import claims


def values_of(model, psnr, epochs=60, optimizer="adam"):
    return {
        "model": model,
        "settings": {"size": "300k", "epochs": epochs, "seed": 0, "optimizer": optimizer},
        "parameters": {"decoder": 290_000, "embeddings": 10_000},
        "macs": 2e9,
        "psnr": psnr,
        "ms_ssim": 0.97,
    }


def write(results, clip, *lines):
    path = results / "paper" / "regression" / f"{clip}.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


@pytest.mark.parametrize(
    ("published", "ours", "expected"),
    [
        (1.5, 0.4, "seen"),
        (1.5, -0.4, "contradicted"),
        (1.5, 0.05, "no clear difference"),
        (-0.03, 0.02, "seen"),
        (-0.03, 0.9, "no clear difference"),
        (1.5, None, "not measured"),
    ],
)
def test_verdicts(published, ours, expected):
    assert claims.verdict(published, ours) == expected


def test_tables_from_records(tmp_path, capsys):
    write(
        tmp_path,
        "clip",
        values_of("b", 20.0, epochs=9),
        values_of("b", 30.5),
        values_of("hnerv", 31.0),
        values_of("b", 32.25, optimizer="muon"),
        values_of("hnerv", 32.0, optimizer="muon"),
    )
    write(tmp_path, "other", values_of("t", 44.0))
    claims.main(["--clip", "clip", "--results", str(tmp_path)])
    page = capsys.readouterr().out
    assert "| regression: B − HNeRV | +1.58 | -0.50 | contradicted | +0.25 | seen |" in page
    assert "| regression: B − T | +0.55 | – | not measured | – | not measured |" in page
    assert "| B | 300,000 | 2.00 | 30.50 | 0.9700 |" in page
    assert "clip, size 300k, 60 epochs by Adam, seed 0." in page


def test_no_records_are_told(tmp_path):
    with pytest.raises(SystemExit, match="no records of clip"):
        claims.main(["--clip", "clip", "--results", str(tmp_path)])
