"""The paper's claims beside records: what counts as seen, and that figures come from the records alone."""

import json

import pytest

from benchmarks.paper import claims


def write(folder, model, psnr, epochs=60, optimizer="adam"):
    folder.mkdir(parents=True, exist_ok=True)
    values = {
        "model": model,
        "settings": {"size": "300k", "epochs": epochs, "seed": 0, "optimizer": optimizer},
        "parameters": {"decoder": 290_000, "embeddings": 10_000},
        "macs": 2e9,
        "psnr": psnr,
        "ms_ssim": 0.97,
    }
    (folder / f"{model}.json").write_text(json.dumps(values))


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


def test_a_page_from_records(tmp_path, capsys):
    folder = tmp_path / "regression" / "clip-300k-60"
    write(folder, "b", 30.5)
    write(folder, "hnerv", 31.0)
    write(tmp_path / "regression" / "clip-300k-60-muon", "b", 32.25, optimizer="muon")
    write(tmp_path / "regression" / "clip-300k-60-muon", "hnerv", 32.0, optimizer="muon")
    write(tmp_path / "regression" / "clip-300k-9", "b", 20.0, epochs=9)
    write(tmp_path / "regression" / "other-300k-60", "t", 44.0)
    claims.main(["--clip", "clip", "--results", str(tmp_path)])
    page = (tmp_path / "report" / "claims.md").read_text()
    assert capsys.readouterr().out.strip() == page.strip()
    assert "| regression: B − HNeRV | +1.58 | -0.50 | contradicted | +0.25 | seen |" in page
    assert "| regression: B − T | +0.55 | – | not measured | – | not measured |" in page
    assert "| B | 300,000 | 2.00 | 30.50 | 0.9700 |" in page
    assert "clip, size 300k, 60 epochs by Adam, seed 0." in page


def test_no_records_are_told(tmp_path):
    with pytest.raises(SystemExit, match="no records of clip"):
        claims.main(["--clip", "clip", "--results", str(tmp_path)])
