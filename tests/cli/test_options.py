"""Options of the command line: what help shows, where outputs go, what a configuration file and the switches do."""

import json
import re

import av
import numpy as np
import pytest
from clips import packets, write_clip

from snerv_codec import Decoder
from snerv_codec.bitstream.container import read_header
from snerv_codec.cli.encode import command
from snerv_codec.cli.main import main
from snerv_codec.cli.render import gain
from snerv_codec.media.reader import read_video

QUICK = ("--size", "40k", "--epochs", "1", "--prune-epochs", "0", "--device", "cpu")


def run(capsys, *argv, code=0):
    """Run a command; return its output and its errors."""
    capsys.readouterr()
    assert main([str(argument) for argument in argv]) == code
    return capsys.readouterr()


def test_help_has_headings_and_leaves_research_to_those_who_ask(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    short, full = (run(capsys, "encode", flag).out for flag in ("--help", "--help-all"))
    headings = re.findall(r"^(\w.*):$", short, re.MULTILINE)
    assert headings[0] == "Examples"
    assert headings.index("Output") < headings.index("How big, or how good") < headings.index("How long")
    assert "Research" not in headings
    assert "--grid-epochs" not in short
    for option in command.params:
        if option.param_type_name == "option":
            assert option.opts[-1] in full, f"{option.name} is in no help"
    assert max(map(len, full.splitlines())) <= 100


def test_narrow_help_keeps_examples_whole(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    lines = run(capsys, "encode", "--help").out.splitlines()
    for line, purpose in command.examples:
        assert lines[lines.index(f"  {line}") + 1] == f"    {purpose}"


@pytest.mark.parametrize("name", ["decode", "eval", "report"])
def test_each_option_stands_under_a_heading_of_its_kind(name, capsys):
    help_part = run(capsys, name, "--help").out.partition("\nHelp:\n")[2]
    assert re.findall(r"--[a-z-]+", help_part) == ["--help"]


def test_decoding_and_measuring_take_options_from_a_file_too(coded, tmp_path, capsys):
    config = tmp_path / "snerv.toml"
    config.write_text('frames = "1:3"\ndevice = "cpu"\n')
    run(capsys, "decode", coded, "-o", tmp_path / "frames", "--config", config)
    assert len(list((tmp_path / "frames").iterdir())) == 2
    config.write_text('no-vmaf = true\ndevice = "cpu"\n')
    assert "VMAF" not in run(capsys, "eval", coded, coded, "--config", config).out


def test_an_example_is_a_command_that_parses():
    for line, _ in command.examples:
        arguments = line.removeprefix("snerv encode ").replace("*.mp4", "a.mp4 b.mp4").split()
        assert command.make_context("encode", arguments).params["sources"]


def test_an_output_is_named_after_its_input(clip, tmp_path, capsys):
    source = tmp_path / "my.clip.mp4"
    source.write_bytes(clip.read_bytes())
    run(capsys, "encode", source, *QUICK)
    coded = tmp_path / "my.clip.snrv"
    assert read_header(coded).video.frame_count == 6
    run(capsys, "decode", coded, "--device", "cpu")
    assert packets(tmp_path / "my.clip.decoded.mp4", "video")
    assert source.read_bytes() == clip.read_bytes()
    assert "exists already" in run(capsys, "decode", coded, code=1).err


def test_several_inputs_go_into_a_folder_and_one_that_fails_holds_up_none(clip, tmp_path, capsys):
    sources = [tmp_path / name for name in ("a.mp4", "broken.mp4", "b.mp4")]
    for source in sources:
        source.write_bytes(clip.read_bytes() if source.stem != "broken" else b"nothing")
    out = tmp_path / "coded"
    err = run(capsys, "encode", *sources, "-o", out, *QUICK, code=1).err
    assert sorted(path.name for path in out.iterdir()) == ["a.snrv", "b.snrv"]
    assert "broken.mp4: not a video" in err
    assert err.splitlines()[-1] == "snerv: error: 1 of 3 inputs failed; the warnings say why"
    files = sorted(out.iterdir())
    run(capsys, "decode", *files, "-o", tmp_path / "decoded", "--device", "cpu")
    assert sorted(path.name for path in (tmp_path / "decoded").iterdir()) == ["a.mp4", "b.mp4"]
    run(capsys, "decode", *files, "-o", f"{tmp_path / 'decoded'}/", "--device", "cpu", "-y")


def test_outputs_that_cannot_be_told_apart_are_refused(clip, tmp_path, capsys):
    for arguments, message in (
        ((clip, clip, "-o", tmp_path / "out"), "Two of the inputs would become clip.snrv"),
        (("-",), "has no name; give -o the name of a file"),
        ((clip, "-", "-o", tmp_path / "out"), "has no name"),
    ):
        assert message in run(capsys, "encode", *arguments, *QUICK, code=2).err
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").touch()
    other = write_clip(tmp_path / "other.mp4", width=32, height=32, frames=2)
    assert "file: no folder for several" in run(capsys, "encode", clip, other, "-o", tmp_path / "file", code=1).err


def test_a_folder_takes_one_file_too(clip, tmp_path, capsys):
    run(capsys, "encode", clip, "-o", tmp_path, *QUICK)
    assert (tmp_path / "clip.snrv").exists()


def test_sound_and_subtitles_can_be_left_out(clip, coded, tmp_path, capsys):
    run(capsys, "encode", clip, "-o", tmp_path / "silent.snrv", *QUICK, "--no-audio")
    assert read_header(tmp_path / "silent.snrv").tracks == ()
    run(capsys, "decode", coded, "-o", tmp_path / "silent.mp4", "--no-audio", "--device", "cpu")
    run(capsys, "decode", coded, "-o", tmp_path / "sound.mp4", "--no-subtitles", "--device", "cpu")
    kinds = []
    for name in ("silent.mp4", "sound.mp4"):
        with av.open(str(tmp_path / name)) as container:
            kinds.append([stream.type for stream in container.streams])
    assert kinds == [["video"], ["video", "audio"]]


def test_one_frame_becomes_one_picture(coded, tmp_path, capsys):
    run(capsys, "decode", coded, "-o", tmp_path / "one.png", "--frames", "4", "--device", "cpu")
    with Decoder(coded, device="cpu") as decoder:
        expected = decoder[4]
    assert np.array_equal(read_video(tmp_path / "one.png").frames, expected[None])
    err = run(capsys, "decode", coded, "-o", tmp_path / "all.png", "--device", "cpu", code=1).err
    assert "all.png: a picture is one frame, and 6 are selected" in err
    assert not (tmp_path / "all.png").exists()


@pytest.mark.parametrize(("text", "frames"), [("7", 1), ("0:4", 4), ("5:", 3), (":2", 2)])
def test_ways_to_select_frames(text, frames, tmp_path, capsys):
    write_clip(tmp_path / "in.mp4", width=32, height=32, frames=8)
    out = run(capsys, "eval", tmp_path / "in.mp4", tmp_path / "in.mp4", "--frames", text, "--json", code=1)
    assert f"has 8 frames, and {tmp_path / 'in.mp4'} {frames}" in out.err


@pytest.mark.parametrize("text", ["", "-1", "a:b", "1:2:3"])
def test_what_selects_no_frames(text, clip, capsys):
    assert "is not like 0:33" in run(capsys, "encode", clip, "--frames", text, code=2).err


def test_options_come_from_a_file_and_the_command_line_comes_first(clip, tmp_path, capsys):
    config = tmp_path / "snerv.toml"
    config.write_text(
        'size = "60k"\nepochs = 1\nprune-epochs = 0\ndevice = "cpu"\nlr = 0.01\nframes = "0:3"\nno-audio = true\n'
        "json = true\nforce = true\nstrides = [1, 1, 1, 2, 2]\n"
    )
    out = tmp_path / "out.snrv"
    events = run(capsys, "encode", clip, "-o", out, "--config", config, "--frames", "0:5").out.splitlines()
    assert [json.loads(line)["event"] for line in events] == ["plan", "epoch", "done"]
    header = read_header(out)
    assert header.video.frame_count == 5
    assert header.tracks == ()
    assert header.segments[0].config.strides == (1, 1, 1, 2, 2)


@pytest.mark.parametrize(
    ("text", "code", "message"),
    [
        ("epoch = 3", 2, "snerv.toml: there is no option --epoch"),
        ("resume = 'yes'", 2, "--resume is true or false, not 'yes'"),
        ("epochs = ", 1, "snerv.toml: is not TOML"),
        ("epochs = 'many'", 2, "'many' is not a valid integer"),
        (None, 1, "snerv.toml: No such file"),
    ],
)
def test_a_file_of_options_that_is_of_no_use(text, code, message, clip, tmp_path, capsys):
    if text is not None:
        (tmp_path / "snerv.toml").write_text(text)
    err = run(capsys, "encode", clip, "--config", tmp_path / "snerv.toml", *QUICK[:2], code=code).err
    assert message in err
    assert len(err.splitlines()) == 1


def test_a_gain_is_called_a_gain():
    assert gain("pruning", -0.02) == "pruning lost 0.020 dB"
    assert gain("pruning", 0.416) == "pruning gained 0.416 dB"
