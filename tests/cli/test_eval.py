"""`snerv eval` as its users meet it."""

import io
import json
import sys
from types import SimpleNamespace

import pytest
from clips import write_clip

from snerv_codec.cli.main import main


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """The same six frames, in two H.264 files."""
    folder = tmp_path_factory.mktemp("pair")
    first = write_clip(folder / "first.mp4", width=64, height=48, frames=6)
    second = write_clip(folder / "second.mp4", width=64, height=48, frames=6, rate=50)
    return first, second


def run(capsys, *argv, code=0):
    capsys.readouterr()
    assert main([str(argument) for argument in argv]) == code
    return capsys.readouterr()


def test_the_table_names_every_figure_and_what_it_rests_on(clip, coded, capsys):
    text = run(capsys, "eval", clip, coded, "--device", "cpu", "--no-vmaf").out
    assert f"{coded}: 6 frames of 34x18" in text
    assert f"{coded.stat().st_size:,} bytes" in text
    for part in ("dB RGB, mean of frames", "of the mean error", "(6Y+U+V)/8", "BT.601 limited", "SSIM"):
        assert part in text
    assert "VMAF" not in text


def test_json_is_one_object_with_all_frames(pair, capsys):
    out, err = run(capsys, "eval", *pair, "--json", "--no-vmaf", "--frames", "0:6", "--crop", "48x64")
    values = json.loads(out)
    assert err == ""
    assert values["frames"] == len(values["per_frame"]["psnr_y"]) == 6
    assert values["summary"]["psnr"] > 30
    assert values["bytes"] == pair[1].stat().st_size


def test_vmaf_is_shown_where_it_can_be_had_and_missed_in_one_line_where_not(pair, capsys, monkeypatch):
    pytest.importorskip("imageio_ffmpeg", reason="VMAF needs imageio-ffmpeg, of the extra `vmaf`")
    assert "1 % low (vmaf_v0.6.1, libvmaf " in run(capsys, "eval", *pair).out
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    out, err = run(capsys, "eval", *pair, "--json")
    assert "vmaf" not in json.loads(out)["summary"]
    assert err.startswith("snerv: warning: VMAF needs imageio-ffmpeg; pip install 'snerv-codec[vmaf]'")
    assert len(err.splitlines()) == 1


def test_csv_has_a_line_a_frame_and_harms_nothing(pair, tmp_path, capsys):
    table = tmp_path / "figures.csv"
    run(capsys, "eval", *pair, "--csv", table, "--no-vmaf")
    assert len(table.read_text().splitlines()) == 7
    before = pair[0].read_bytes()
    for target, flags, message in (
        (table, [], "exists already"),
        (pair[0], ["--overwrite"], "is the input"),
        (pair[1], ["--overwrite"], "is the input"),
        (tmp_path / "nowhere" / "figures.csv", [], "there is no folder"),
    ):
        assert message in run(capsys, "eval", *pair, "--csv", target, "--no-vmaf", *flags, code=1).err
    assert pair[0].read_bytes() == before
    run(capsys, "eval", *pair, "--csv", table, "--overwrite", "--no-vmaf")


@pytest.mark.parametrize("side", [0, 1])
def test_either_side_comes_from_a_pipe(side, coded, tmp_path, capsys, monkeypatch):
    samples = tmp_path / "samples.y4m"
    run(capsys, "decode", coded, "-o", samples, "--device", "cpu")
    sides = [coded, coded]
    sides[side] = "-"
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(samples.read_bytes())))
    values = json.loads(run(capsys, "eval", *sides, "--device", "cpu", "--no-vmaf", "--json").out)
    assert values["frames"] == 6
    assert 35 < values["summary"]["psnr"] < 100  # of the way to YUV and back
    assert (values["bytes"] is None) == (side == 1)


def test_errors_are_one_line(pair, clip, capsys):
    for argv, message in (
        ((pair[0], clip), "is 34x18, and"),
        ((pair[0], pair[1], "--frames", "0:3"), "has 6 frames, and"),
        ((pair[0], "gone.mp4"), "gone.mp4: no such file"),
        ((pair[0], "gone.snrv"), "gone.snrv: No such file"),
    ):
        err = run(capsys, "eval", *argv, "--no-vmaf", code=1).err
        assert message in err
        assert len(err.splitlines()) == 1
    assert "Missing argument" in run(capsys, "eval", pair[0], code=2).err
