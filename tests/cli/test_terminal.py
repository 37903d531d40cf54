"""What a stranger's text does to a terminal, and how the command ends when it is asked to, or when nobody listens."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from clips import packets

from snerv_codec.bitstream.container import read_stream, write_stream
from snerv_codec.cli.main import main
from snerv_codec.cli.terminal import AT_ONCE, echo, echo_json, printable, with_flags

HOSTILE = "\x1b]0;owned\x07\x1b[2J\rsegment 9  forged\nfile  forged\x9b31m\u202eback\u2028\x00\udce9"
SNERV = [sys.executable, "-m", "snerv_codec.cli.main"]
ENVIRONMENT = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals and pipes")


def test_only_what_is_shown_as_itself_is_shown(capsys):
    assert printable("a b é 日本 \\x") == "a b é 日本 \\x"
    assert printable("\x1b[31m\n\x9b\u202e\u2028\udce9") == r"\x1b[31m\n\x9b\u202e\u2028\udce9"
    echo(f"one\ntwo {HOSTILE.splitlines()[0]}")
    assert capsys.readouterr().out.splitlines()[0] == "one"


def test_a_long_object_is_one_line_of_json(capsys):
    values = {HOSTILE: [number / 7 for number in range(3 * AT_ONCE)], "none": None}
    echo_json(values)
    line = capsys.readouterr().out
    assert line.count("\n") == 1
    assert line.removesuffix("\n").isprintable()
    assert json.loads(line) == values


@pytest.fixture
def hostile(coded, tmp_path):
    """A file whose summary, codec and language would move the terminal, by a name that would."""
    stream = read_stream(coded.read_bytes())
    text = HOSTILE.replace("\udce9", "")
    track = replace(stream.tracks[0], codec=text, language=text)
    path = tmp_path / f"{text.replace(chr(0), '')}.snrv"
    path.write_bytes(write_stream(replace(stream, tracks=(track,), summary=text)))
    return path


def test_a_strangers_text_moves_no_terminal(hostile, tmp_path, capsys):
    commands = (
        ("info", hostile),
        ("verify", hostile),
        ("decode", hostile, "-o", tmp_path / "out.mkv"),
        ("decode", hostile, "-o", hostile.with_suffix(".mkv"), "--log-file", tmp_path / "log"),
        ("decode", hostile, "-o", tmp_path / "out.avi"),
        ("verify", hostile.with_suffix(".none")),
        ("info", hostile, f"--{HOSTILE}"),
    )
    for command in commands:
        main([str(argument) for argument in command])
        shown = "".join(capsys.readouterr())
        assert shown
        assert all(character.isprintable() or character == "\n" for character in shown)
        assert not any(line.lstrip().startswith(("forged", "segment 9", "file  forged")) for line in shown.splitlines())
    assert "\x1b" not in (tmp_path / "log").read_text()
    main(["info", str(hostile), "--json"])
    assert json.loads(capsys.readouterr().out)["summary"] == HOSTILE.replace("\udce9", "")


def _heed_signals():
    """A shell's background job ignores Ctrl-C, nohup the end of its terminal, and so may whoever runs these tests."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


def start(clip, folder, *options):
    """An encode that would take hours, in its first epochs."""
    command = [*SNERV, "encode", str(clip), "-o", "out.snrv", "--json", "--size", "40k", "--epochs", "100000"]
    process = subprocess.Popen(
        [*command, "--device", "cpu", *options],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=ENVIRONMENT,
        preexec_fn=_heed_signals,
    )
    while json.loads(process.stdout.readline())["event"] != "epoch":
        pass
    return process


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", pytest.param("SIGHUP", marks=pytest.mark.slow)])
def test_being_asked_to_end_leaves_what_resuming_needs(name, clip, tmp_path):
    number = getattr(signal, name)
    with start(clip, tmp_path) as process:
        process.send_signal(number)
        _, err = process.communicate()
    assert process.returncode == -number  # which shells tell as 128 + number
    advice = "out.snrv.work holds what was fitted: use --resume to go on with it"
    assert err.splitlines()[-1] == f"snerv: error: interrupted; {advice}"
    assert "Traceback" not in err
    assert [path.name for path in tmp_path.iterdir()] == ["out.snrv.work"]
    assert (tmp_path / "out.snrv.work" / "segment-0.npz").exists()


def test_ctrl_c_again_and_again_shows_no_traceback(clip, tmp_path):
    with start(clip, tmp_path) as process:
        while process.poll() is None:
            process.send_signal(signal.SIGINT)
            time.sleep(0.002)
        err = process.stderr.read()
    assert process.returncode == -signal.SIGINT
    assert "Traceback" not in err


def test_ctrl_c_at_the_very_start_shows_no_traceback():
    """It comes when a module is first looked for."""
    code = (
        "import os, signal, sys\nsignal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from snerv_codec.cli.main import run\n"
        "class Press:\n    def find_spec(self, name, path=None, target=None):\n"
        "        if name == sys.argv[1]:\n"
        "            sys.meta_path.remove(self)\n            os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.meta_path.insert(0, Press())\nrun()\n"
    )
    for name in ("click", "snerv_codec.cli.group"):
        done = subprocess.run([sys.executable, "-c", code, name], capture_output=True, text=True, env=ENVIRONMENT)
        assert done.returncode == -signal.SIGINT, name
        assert done.stderr == "snerv: error: interrupted\n"


def test_what_the_caller_ignores_stays_ignored():
    code = (
        "import atexit, signal, sys\nfrom snerv_codec.cli.main import run\n"
        "signal.signal(signal.SIGHUP, signal.SIG_IGN)\n"
        "atexit.register(lambda: print([signal.getsignal(each) for each in (signal.SIGHUP, signal.SIGTERM)]))\n"
        "sys.argv[1:] = ['--help']\nrun()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=ENVIRONMENT, check=True)
    hangup, end = done.stdout.splitlines()[-1].split(", ", 1)
    assert "SIG_IGN" in hangup
    assert "_stop" in end


def test_work_that_nobody_listens_to_is_done_all_the_same(coded, tmp_path):
    for options in ((), ("--json",)):
        command = " ".join([*SNERV, "decode", str(coded), "-o", f"{tmp_path}/out{len(options)}.mp4", *options])
        shell = f"set -o pipefail; {command} | true"
        done = subprocess.run(["bash", "-c", shell], capture_output=True, text=True, env=ENVIRONMENT)
        assert done.returncode == 0, done.stderr
        assert "rror" not in done.stderr
        assert len(packets(tmp_path / f"out{len(options)}.mp4", "video")) == 6


def test_settings_in_a_message_are_told_as_options():
    assert (
        with_flags("give `video_size` (and `rate`), or `vmaf`=False") == "give --video-size (and --fps), or --no-vmaf"
    )
    assert with_flags("`Not one`: a`b") == "`Not one`: a`b"


@pytest.mark.parametrize("where", [">&-", "| true", ">&- 2>&-"])
def test_an_output_is_whole_though_nobody_listens(where, coded, tmp_path):
    """Standard output is closed, or its reader gone: the video is what was asked for, and it is there."""
    command = f'set -o pipefail; "$@" {where}'
    arguments = [*SNERV, "decode", str(coded), "-o", "out.mkv", "--device", "cpu"]
    done = subprocess.run(["bash", "-c", command, "bash", *arguments], cwd=tmp_path, env=ENVIRONMENT, check=False)
    assert done.returncode == 0
    assert len(packets(tmp_path / "out.mkv", "video")) == 6


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_standard_output_is_told_by_its_name(coded, tmp_path):
    arguments = [*SNERV, "decode", str(coded), "-o", "out.mkv", "--device", "cpu"]
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            arguments, cwd=tmp_path, env=ENVIRONMENT, stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert done.returncode == 1
    message = "snerv: error: standard output: cannot be written: No space left on device; free some space"
    assert done.stderr.splitlines()[-1] == message
    assert len(packets(tmp_path / "out.mkv", "video")) == 6


def test_what_is_advised_without_memory_can_be_done():
    """Who verifies or evaluates has no option for a size or a batch; on a CPU nobody has."""
    import torch

    from snerv_codec.cli.main import _describe
    from snerv_codec.decoding import _advice

    assert _advice(torch.device("cuda"), 4) == "lower `batch`, or use a machine with more memory"
    for device, batch in (("cuda", None), ("cuda", 1), ("cpu", 4)):
        assert _advice(torch.device(device), batch) == "use a machine with more memory"
    assert "--" not in _describe(MemoryError())
