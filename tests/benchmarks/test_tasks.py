"""Interpolation and in-painting as benchmarks: what is hidden, what is the floor, and one toy run of each."""

import json

import numpy as np
import pytest
from clips import moving_picture, write_clip

from benchmarks import datasets, record
from benchmarks.paper import inpainting, interpolation, regression
from snerv_codec.evaluation.metrics import psnr
from snerv_codec.media.reader import read_video


@pytest.fixture
def toy(tmp_path, monkeypatch):
    """A clip of five frames, with records and caches out of the way."""
    monkeypatch.setattr(record, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(datasets, "CACHE", tmp_path / "cache")
    return write_clip(tmp_path / "toy.mkv", width=48, height=32, frames=5)


def read(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_the_boxes_of_the_two_tasks():
    fixed = inpainting.known_pixels("fixed", (3, 96, 192), 10, 0)
    assert (~fixed).sum(axis=(1, 2)).tolist() == [500, 500, 500]
    assert (fixed[0] == fixed[2]).all()
    assert not fixed[0, 43:53, 91:101].any()  # the middle
    random = inpainting.known_pixels("random", (3, 96, 192), 10, 0)
    assert all(500 < hidden <= 1000 for hidden in (~random).sum(axis=(1, 2)))
    assert not (random[0] == random[1]).all()
    assert (random == inpainting.known_pixels("random", (3, 96, 192), 10, 0)).all()
    assert not (random == inpainting.known_pixels("random", (3, 96, 192), 10, 1)).all()


def test_hidden_pixels_are_measured_apart():
    frames = moving_picture(2, 32, 48)
    known = inpainting.known_pixels("fixed", (2, 32, 48), 4, 0)
    worse = np.where(known[..., None], frames, 255 - frames)
    values = inpainting.measure(frames, worse, known)
    inside = [psnr(a[~k], b[~k]) for a, b, k in zip(frames, worse, known, strict=True)]
    assert values["hidden_psnr"] == pytest.approx(np.mean(inside))
    assert values["psnr"] > values["hidden_psnr"] + 5


def test_the_floor_of_interpolation_is_the_mean_of_the_frames_beside():
    frames = np.zeros((6, 16, 16, 3), np.uint8)
    frames[[0, 2, 4]] = np.array([255, 254, 1])[:, None, None, None]
    assert list(interpolation.between(frames)) == [1, 3]
    assert [int(frame.max()) for frame in interpolation.average(frames)] == [255, 128]


def test_a_toy_regression(toy, tmp_path, capsys):
    arguments = ["--dataset", str(toy), "--size", "150k", "--epochs", "2", "--device", "cpu"]
    assert regression.main([*arguments, "--models", "b", "hnerv"]) == 0
    b, hnerv = read(tmp_path / "results" / "paper" / "regression" / "toy.jsonl")
    assert b["variant"]["full_size"] == "wavelet" != hnerv["variant"]["full_size"]
    assert abs(sum(b["parameters"].values()) - 150_000) < 0.1 * 150_000
    assert 5 < b["psnr"] < 60
    assert f"{hnerv['psnr']:.2f}" in capsys.readouterr().out


@pytest.mark.slow
def test_a_toy_interpolation(toy, tmp_path, capsys):
    arguments = ["--dataset", str(toy), "--size", "150k", "--epochs", "2", "--device", "cpu"]
    assert interpolation.main([*arguments, "--models", "t", "hnerv"]) == 0
    t, hnerv = read(tmp_path / "results" / "paper" / "interpolation" / "toy.jsonl")
    frames = read_video(toy).frames
    floor = [psnr(frames[i], frame) for i, frame in zip((1, 3), interpolation.average(frames), strict=True)]
    assert t["average"]["psnr"] == hnerv["average"]["psnr"] == pytest.approx(np.mean(floor))
    assert t["frames"] == 2
    assert t["codec"]["bytes"] == (tmp_path / "cache" / "interpolation" / "toy-t.snrv").stat().st_size
    assert hnerv["codec"]["bytes"] is None
    assert all(record[protocol]["unseen"]["psnr"] > 5 for record in (t, hnerv) for protocol in ("paper", "codec"))
    assert f"{t['codec']['unseen']['psnr']:.2f}" in capsys.readouterr().out


def test_a_toy_inpainting(toy, tmp_path):
    arguments = ["--dataset", str(toy), "--size", "150k", "--epochs", "2", "--box", "6", "--device", "cpu"]
    assert inpainting.main([*arguments, "--models", "b", "hnerv", "--tasks", "fixed", "--files"]) == 0
    b, hnerv = read(tmp_path / "results" / "paper" / "inpainting" / "toy.jsonl")
    assert b["hidden"] == pytest.approx(5 * 36 / (32 * 48))
    assert b["masked"] == hnerv["masked"]
    assert "file" in b
    assert "file" not in hnerv
    assert abs(b["network"]["psnr"] - b["file"]["psnr"]) < 1
    picture = read_video(tmp_path / "cache" / "inpainting" / "toy" / "b-fixed-2.png").frames
    assert picture.shape == (1, 32, 3 * 48, 3)
    assert (picture[0, 13:19, 21:27] == 0).all()  # the masked input, its middle box black


def test_a_clip_too_short_is_told(toy):
    with pytest.raises(SystemExit, match="none lies between two others"):
        interpolation.main(["--dataset", str(toy), "--frames", "2", "--size", "150k"])
    with pytest.raises(SystemExit, match="neither a file nor one of"):
        interpolation.main(["--dataset", "nothing"])
