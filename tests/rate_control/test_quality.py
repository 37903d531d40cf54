"""Targets of quality: files that look as good as asked for, and a warning where a model cannot."""

import gc
import weakref
from dataclasses import replace
from importlib.resources import files

import numpy as np
import pytest
import torch
from clips import write_clip
from conftest import QUICK

from snerv_codec import encode, evaluate
from snerv_codec.bitstream.container import StreamFile
from snerv_codec.encoding.footage import read_footage
from snerv_codec.encoding.planning import plan
from snerv_codec.errors import ResourceError, SettingsError
from snerv_codec.evaluation import vmaf
from snerv_codec.events import EpochDone, FrameDone, Warned
from snerv_codec.media.source import Selection
from snerv_codec.media.writer import write_image
from snerv_codec.rate_control.judge import ClipJudge
from snerv_codec.rate_control.targets import Target
from snerv_codec.training.settings import FitSettings

FIT = FitSettings.preset("paper", recipe="rd", epochs=14, grid_epochs=10, learning_rate=3e-3)
CPU = torch.device("cpu")


def encode_for(clip, output, target, **changes):
    """The report, and the warnings."""
    warnings = []

    def watch(event):
        if isinstance(event, Warned):
            warnings.append(event.message)

    report = encode(clip, output, replace(QUICK, **{"fit": FIT, **changes}, target=target), on_event=watch)
    return report, warnings


def test_a_file_looks_as_good_as_asked_for_over_the_pixels_that_are_known(clip, tmp_path):
    picture = np.zeros((18, 34, 3), np.uint8)
    picture[:9] = 255
    write_image(tmp_path / "mask.png", picture)
    # One epoch on the grids is too short to be steered, so both fits are one and all that differs is the packing.
    ways = {"mask": tmp_path / "mask.png", "fit": replace(FIT, epochs=5, grid_epochs=1)}
    free, _ = encode_for(clip, tmp_path / "free.snrv", None, **ways)
    goal = free.quality.psnr - 1
    report, warnings = encode_for(clip, tmp_path / "out.snrv", Target("psnr", goal), **ways)
    assert warnings == []
    assert goal <= report.quality.psnr
    assert report.reached == pytest.approx(report.quality.psnr, abs=1e-6)
    assert report.bytes_symbols < free.bytes_symbols


@pytest.mark.slow
def test_training_for_a_low_quality_spends_fewer_bytes_than_for_a_high_one(clip, tmp_path):
    fit = replace(FIT, epochs=1, grid_epochs=3)
    low, warnings = encode_for(clip, tmp_path / "low.snrv", Target("psnr", 0.1), fit=fit)
    high, _ = encode_for(clip, tmp_path / "high.snrv", Target("psnr", 100), fit=fit)
    assert warnings == []
    assert low.bytes_symbols < 0.5 * high.bytes_symbols


def test_a_quality_out_of_reach_is_told_and_the_file_still_written(clip, tmp_path):
    fit = replace(FIT, epochs=2, grid_epochs=2)
    report, (warning,) = encode_for(clip, tmp_path / "out.snrv", Target("psnr", 60), fit=fit)
    assert f"PSNR 60 dB, is out of this fit's reach, which came to {report.quality.psnr:.2f}" in warning
    assert "`size`" in warning
    assert report.bytes_total == (tmp_path / "out.snrv").stat().st_size
    values = plan(clip, replace(QUICK, fit=fit)).total_parameters
    assert report.bytes_symbols < 10 / 8 * values  # no bits for nothing


@pytest.mark.slow
def test_an_interrupted_fit_for_a_quality_ends_in_the_same_file(clip, tmp_path):
    class Interrupt(Exception):
        pass

    def interrupt(event):
        if isinstance(event, EpochDone) and (event.phase, event.epoch) == ("grid", 2):
            raise Interrupt

    settings = replace(QUICK, fit=replace(FIT, epochs=1, grid_epochs=3), target=Target("psnr", 9))
    with pytest.raises(Interrupt):
        encode(clip, tmp_path / "a.snrv", settings, on_event=interrupt)
    encode(clip, tmp_path / "a.snrv", settings, resume=True)
    encode(clip, tmp_path / "b.snrv", settings)
    assert (tmp_path / "a.snrv").read_bytes() == (tmp_path / "b.snrv").read_bytes()


def test_vmaf_is_what_evaluate_measures(tmp_path):
    pytest.importorskip("imageio_ffmpeg", reason="VMAF needs imageio-ffmpeg, of the extra `vmaf`")
    source = write_clip(tmp_path / "in.mkv", width=64, height=48, frames=3)
    settings = replace(QUICK, size="60k", fit=FitSettings.preset("paper", epochs=20, learning_rate=3e-3))
    encode(source, tmp_path / "out.snrv", settings)
    with StreamFile(tmp_path / "out.snrv") as file:
        segment = file.read_segment(0)
    measured = ClipJudge(read_footage(source, settings).load(), CPU).quality(segment, "vmaf")
    assert measured == pytest.approx(evaluate(source, tmp_path / "out.snrv", device="cpu").summary["vmaf"])


def test_what_was_judged_is_not_decoded_again_for_its_checksums(clip, coded, monkeypatch):
    with StreamFile(coded) as opened:
        segment, footage = opened.read_segment(0), read_footage(clip, QUICK).load()
    judge, other = ClipJudge(footage, CPU), ClipJudge(footage, CPU)
    judge.quality(segment, "psnr")
    expected = other.checksums(segment)
    monkeypatch.setattr("snerv_codec.rate_control.judge.SegmentPlayer", None)
    assert judge.checksums(segment) == other.checksums(segment) == expected == list(segment.frame_checksums)


def test_a_judge_keeps_no_segment_that_nobody_else_does(clip, coded):
    with StreamFile(coded) as opened:
        segment = opened.read_segment(0)
    judge, watched = ClipJudge(read_footage(clip, QUICK).load(), CPU), weakref.ref(segment)
    judge.quality(segment, "psnr")
    del segment
    gc.collect()
    assert watched() is None


def test_what_cannot_be_measured_is_told_before_the_fit(clip, tmp_path, monkeypatch):
    def missing():
        raise ResourceError("VMAF needs imageio-ffmpeg; install it")

    settings = replace(QUICK, size="60k", fit=FIT, target=Target("vmaf", 80))
    with pytest.raises(SettingsError, match="VMAF needs frames of 32x32 or more, not 34x18"):
        encode(clip, tmp_path / "out.snrv", settings)
    large = write_clip(tmp_path / "in.mkv", width=64, height=48, frames=1)
    monkeypatch.setattr(vmaf, "find_ffmpeg", missing)
    told = []
    with pytest.raises(ResourceError, match="VMAF needs imageio-ffmpeg"):
        encode(large, tmp_path / "out.snrv", settings, on_event=told.append)
    assert {(type(event), event.task) for event in told} == {(FrameDone, "read")}
    with pytest.raises(SettingsError, match="VMAF counts pixels that `mask` leaves out"):
        replace(settings, mask="mask.png")
    with pytest.raises(SettingsError, match="psnr 101 is above 100"):
        Target("psnr", 101)
    assert plan(clip, settings).epochs == 24


@pytest.mark.slow
@pytest.mark.parametrize("target", [Target("psnr", 26), Target("vmaf", 50)])
def test_a_film_is_met_within_the_tolerance(tmp_path, target):
    if target.kind == "vmaf":
        pytest.importorskip("imageio_ffmpeg", reason="VMAF needs imageio-ffmpeg, of the extra `vmaf`")
    source = files("snerv_codec") / "demo" / "bunny.mp4"
    fit = replace(FIT, epochs=40, grid_epochs=20)
    report, warnings = encode_for(
        source, tmp_path / "out.snrv", target, fit=fit, size="80k", source=Selection(crop=(96, 160), frames=(0, 16))
    )
    assert warnings == []
    assert target.value - 0.1 <= report.reached <= target.value + (0.3 if target.kind == "psnr" else 1)
