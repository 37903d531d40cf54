"""Where commands write to: devices and pipes are refused in one line, whatever the command."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from snerv_codec.cli.main import main
from snerv_codec.media.reader import read_video

LINE = "{}: is not a file but a pipe or a device; choose another output"
COMMANDS = {
    "encode": ("encode", "CLIP", "-o", "OUT", "--size", "40k"),
    "decode": ("decode", "CODED", "-o", "OUT"),
    "eval": ("eval", "CLIP", "CLIP", "--no-vmaf", "--csv", "OUT"),
    "report": ("report", "CLIP", "CODED", "-o", "OUT"),
}


@pytest.fixture
def arguments(clip, coded):
    """A function that fills in the names of a command's files."""

    def fill(command, output):
        names = {"CLIP": str(clip), "CODED": str(coded), "OUT": str(output)}
        return [names.get(argument, argument) for argument in COMMANDS[command]]

    return fill


@pytest.mark.skipif(os.name != "posix", reason="needs devices that are files")
@pytest.mark.parametrize("overwrite", [(), ("-y",)])
@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("output", ["/dev/null", "/dev/stdout", "/dev/fd/1", "fifo"])
def test_devices_and_pipes_are_refused_by_all_commands_alike(tmp_path, capfd, arguments, command, output, overwrite):
    if output == "fifo":
        os.mkfifo(tmp_path / output)
        output = tmp_path / output
    assert main([*arguments(command, output), *overwrite]) == 1
    out, err = capfd.readouterr()
    assert (out, err) == ("", f"snerv: error: {LINE.format(output)}\n")


@pytest.mark.skipif(os.name != "posix", reason="needs devices that are files")
def test_standard_output_by_its_name_is_refused_where_it_is_a_file_too(tmp_path, coded):
    command = [sys.executable, "-m", "snerv_codec", "decode", str(coded), "-o", "/dev/stdout", "-y"]
    with (tmp_path / "out.y4m").open("wb") as file:
        done = subprocess.run(command, stdout=file, stderr=subprocess.PIPE, text=True)
    assert (done.returncode, done.stderr.strip()) == (1, f"snerv: error: {LINE.format('/dev/stdout')}")
    assert (tmp_path / "out.y4m").read_bytes() == b""


@pytest.mark.parametrize("command", ["encode", "decode"])
def test_an_output_without_a_name_is_a_wrong_command_line(capsys, arguments, command):
    assert main(arguments(command, "")) == 2
    assert "The output given with -o has no name" in capsys.readouterr().err


@pytest.mark.parametrize("size", ["", " ", "k", "-1", "0", "1e3x", "nan"])
def test_a_size_that_is_no_number_is_an_error(clip, capsys, size):
    assert main(["encode", str(clip), f"--size={size}", "--dry-run"]) == 1
    assert "is not a number of parameters such as 3M, 350k or 0.35M" in capsys.readouterr().err


def test_a_link_is_written_through_by_decode(tmp_path, coded):
    (tmp_path / "real.mkv").touch()
    (tmp_path / "link.mkv").symlink_to(tmp_path / "real.mkv")
    assert main(["decode", str(coded), "-o", str(tmp_path / "link.mkv")]) == 1
    assert main(["decode", str(coded), "-o", str(tmp_path / "link.mkv"), "-y"]) == 0
    assert (tmp_path / "link.mkv").is_symlink()
    assert len(read_video(tmp_path / "real.mkv").frames) == 6


def test_a_dry_run_tells_what_the_input_lacks_on_standard_error(tmp_path, capsys):
    (tmp_path / "a.y4m").write_bytes(b"YUV4MPEG2 W32 H32 C444\n" + 3 * (b"FRAME\n" + bytes(32 * 32 * 3)))
    assert main(["encode", str(tmp_path / "a.y4m"), "--size", "40k", "--dry-run", "--json", "--device", "cpu"]) == 0
    out, err = capsys.readouterr()
    assert "warning: the rate is not told: 25 frames/s assumed" in err
    assert len(out.splitlines()) == 1


@pytest.mark.parametrize("command", ["encode", "decode"])
def test_several_inputs_do_not_go_to_what_reads_as_a_file(command, tmp_path, capsys, clip, coded):
    source, output = (str(clip), "all.snrv") if command == "encode" else (str(coded), "all.mp4")
    wanted, other = tmp_path / output, tmp_path / f"other{Path(source).suffix}"
    shutil.copy(source, other)
    assert main([command, source, str(other), "-o", str(wanted)]) == 2
    assert f"Several inputs take a folder: {wanted} reads as a file" in capsys.readouterr().err
    assert not wanted.exists()
