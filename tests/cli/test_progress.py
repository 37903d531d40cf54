"""How far the work is, as people see it: on a terminal, in a log, and where there is neither."""

import io
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from snerv_codec.cli.main import main
from snerv_codec.cli.progress import View, Watching
from snerv_codec.cli.status import Tracker, clock
from snerv_codec.events import EpochDone, FrameDone, Planned, StepsDone, Warned
from snerv_codec.report import Plan

PLAN = Plan(
    source="in.mp4",
    width=64,
    height=48,
    frames=20,
    rate="25",
    segments=((0, 20),),
    chains=(1,),
    device="cpu",
    model="b",
    widths=(12,) * 6,
    kernels=(1, 3, 5, 5, 5),
    blocks=2,
    strides=(2, 2, 2, 2, 2),
    embedding_shape=(16, 1, 1),
    temporal_shape=None,
    canvas=None,
    scenes=(),
    decoder_parameters=1000,
    embedding_parameters=100,
    encoder_parameters=1000,
    total_parameters=1100,
    decoder_macs=1,
    encoder_macs=1,
    padding=0,
    epochs=14,
    phases=(("fit", 10), ("prune", 1), ("grid", 3)),
    batch=4,
    recipe="paper",
    size_given=True,
    target_given=False,
    input_bytes=None,
    selected_bytes=None,
    track_bytes=0,
    predicted_bytes=1234567,
    predicted_share=None,
    predicted_seconds=60.0,
    video_memory=1,
    fitting_memory=1,
    decoding_memory=1,
)
QUICK = ("--size", "40k", "--epochs", "2", "--prune-epochs", "0", "--device", "cpu")


def epoch(phase, number, of, seconds=2.0):
    return EpochDone(phase, number, of, 0.5, 30.25, seconds)


def test_all_phases_are_one_task_with_the_time_that_is_left():
    track = Tracker()
    track.plan(PLAN)
    status = track(epoch("fit", 5, 10))
    assert (status.label, status.done, status.total) == ("fitting", 5, 14)
    assert status.seconds_left == pytest.approx(9 * 2.0)
    assert "2.5 steps/s" in status.note  # of 4 frames each
    assert "10 frames/s" in status.note
    assert "PSNR 30.25 dB" in status.note
    assert "about 1.2 MB" in status.note
    assert track(epoch("prune", 1, 1)).done == 11
    assert track(epoch("grid", 3, 3)).done == 14


def test_a_run_that_is_resumed_in_a_later_phase_knows_what_lies_behind_it():
    track = Tracker()
    track.plan(PLAN)
    status = track(epoch("grid", 1, 3))
    assert (status.done, status.total) == (12, 14)
    assert status.seconds_left == pytest.approx(4.0)


def test_the_bar_moves_within_an_epoch():
    track = Tracker()
    track.plan(PLAN)
    status = track(StepsDone("fit", 1, 10, 1, 4, 0.5, 28.5, 3.0))
    assert (status.done, status.total) == (0.25, 14)
    assert status.seconds_left == pytest.approx(12 * 13.75)  # at the pace of these steps
    assert "epoch 1/10" in status.note
    assert "PSNR 28.50 dB" in status.note
    track(epoch("fit", 1, 10))
    assert track(StepsDone("fit", 2, 10, 1, 4, 0.5, 28.5, 3.0)).done == 1.25


def test_frames_without_a_known_end():
    track = Tracker()
    assert track(FrameDone("evaluate", 3, 0)).total is None
    assert track(FrameDone("evaluate", 3, 0)).seconds_left is None
    assert "frame 3/?" in track(FrameDone("evaluate", 3, 0)).note


def test_durations():
    assert clock(250.4) == "0:04:10"
    assert clock(86400 * 3 + 61) == "3 days, 0:01:01"


def test_without_a_terminal_there_is_a_line_a_minute(capsys, monkeypatch):
    now = [1000.0]
    monkeypatch.setattr("snerv_codec.cli.progress.time.monotonic", lambda: now[0])
    with View(as_json=False) as view:
        view(Planned(PLAN))
        for number in range(1, 11):
            now[0] += 25
            view(epoch("fit", number, 10))
    lines = capsys.readouterr().err.splitlines()
    seen = [line for line in lines if "fitting: " in line]
    assert [re.search(r"epoch (\d+)/10", line)[1] for line in seen] == ["3", "6", "9"]
    assert re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d fitting: 21%, epoch 3/10, .*0:00:22 left", seen[0])


def test_quiet_and_verbose(capsys):
    for level, plan, epochs in ((-1, False, 0), (0, True, 0), (1, True, 2)):
        with View(as_json=False, watching=Watching(level)) as view:
            view(Planned(PLAN))
            view(epoch("fit", 1, 10))
            view(epoch("fit", 2, 10))
            view(Warned("look out"))
        out, err = capsys.readouterr()
        assert out == ""
        assert ("N_RB 2" in err) == plan
        assert err.count("fitting: ") == epochs
        assert err.count("snerv: warning: look out") == 1


def test_options_reach_the_view(clip, tmp_path, capsys):
    log = tmp_path / "log.txt"
    command = ["encode", str(clip), "-o", str(tmp_path / "out.snrv"), *QUICK]
    assert main([*command, "-q", "--force", "--log-file", str(log)]) == 0
    assert capsys.readouterr() == ("", "")
    first = log.read_text()
    assert first.count("epoch") >= 2
    assert "6 frames of 34x18" in first
    assert "PSNR" in first.splitlines()[-2] + first
    assert all(re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d ", line) for line in first.splitlines())
    assert main([*command, "-v", "--log-file", str(log), "--overwrite"]) == 0
    assert capsys.readouterr().err.count("fitting: ") == 2
    assert log.read_text().startswith(first)  # added to, not replaced


def test_a_log_is_added_to_nothing_but_a_log(clip, tmp_path, capsys):
    precious = tmp_path / "precious.txt"
    precious.write_text("mine")
    command = ["encode", str(clip), "-o", str(tmp_path / "out.snrv"), *QUICK, "--log-file"]
    assert main([*command, str(precious)]) == 1
    assert "precious.txt: is not a log of snerv" in capsys.readouterr().err
    assert precious.read_text() == "mine"
    assert main([*command, str(tmp_path / "no" / "log.txt")]) == 1
    assert "the log cannot be written" in capsys.readouterr().err
    assert not (tmp_path / "out.snrv").exists()


SCRIPT = """
import sys, time
sys.path.insert(0, {tests!r})
from test_progress import PLAN, epoch
from snerv_codec.cli.progress import View
from snerv_codec.events import FrameDone, Planned, Warned
with View(as_json=False) as view:
    view(Planned(PLAN))
    for phase, epochs in PLAN.phases:
        for number in range(epochs):
            view(epoch(phase, number + 1, epochs))
            time.sleep(0.05)
        view(Warned("after " + phase + ": " + "a long line that does not fit " * 3))
    for number in range(20):
        view(FrameDone("measure", number + 1, 20))
        time.sleep(0.02)
    view.done({{"file": "out.snrv"}}, {{}})
"""


@pytest.mark.skipif(os.name != "posix", reason="needs a pseudo-terminal")
def test_a_terminal_of_60_columns_has_one_bar_and_keeps_no_trace_of_it():
    pyte = pytest.importorskip("pyte", reason="reading a terminal's screen needs pyte (extra `dev`)")
    import fcntl
    import pty
    import struct
    import termios

    here, there = pty.openpty()
    fcntl.ioctl(there, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 60, 0, 0))
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2]), "TERM": "xterm-256color"}
    environment = {key: value for key, value in environment.items() if key not in ("COLUMNS", "LINES", "NO_COLOR")}
    code = SCRIPT.format(tests=str(Path(__file__).parent))
    process = subprocess.Popen([sys.executable, "-c", code], stdout=there, stderr=there, stdin=there, env=environment)
    os.close(there)
    screen, bars, notes = pyte.Screen(60, 40), 0, 0
    stream = pyte.ByteStream(screen)
    try:
        while data := os.read(here, 1 << 16):
            stream.feed(data)
            now = sum("━" in line for line in screen.display)
            assert now <= 1, "\n".join(screen.display)
            bars += now
            notes += any("epoch " in line for line in screen.display)
    except OSError:  # the other end is closed
        pass
    finally:
        os.close(here)
    assert process.wait() == 0
    text = [line.rstrip() for line in screen.display if line.strip()]
    assert bars > 3
    assert notes > 3
    assert not any("━" in line or "steps/s" in line for line in text)
    assert sum("snerv: warning: after" in line for line in text) == 3
    assert text[-1] == "file  out.snrv"


def narrowed(screen, columns):
    """The screen of a terminal that wraps anew what it shows, after its window got so many columns."""
    pyte = pytest.importorskip("pyte")
    last = screen.cursor.y
    after = pyte.Screen(columns, screen.lines)
    pyte.Stream(after).feed("\r\n".join(line.rstrip() for line in screen.display[: last + 1]))
    return after


@pytest.mark.parametrize("cuts", [False, True])
def test_a_window_made_narrower_shows_one_bar_and_loses_no_line(cuts, monkeypatch):
    """Most terminals wrap what is wider than they are now; others cut it off, as pyte's own screen does."""
    pyte = pytest.importorskip("pyte", reason="reading a terminal's screen needs pyte (extra `dev`)")
    from rich.console import Console

    from snerv_codec.cli import bars

    for name in ("XTERM_VERSION", "COLUMNS", "LINES", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "linux" if cuts else "xterm-256color")
    written = io.StringIO()
    console = Console(file=written, force_terminal=True, width=80, height=30, highlight=False)
    progress = bars._progress(console)
    progress.live.auto_refresh = False  # shown when this test says so
    view, screen, track = bars.Bars(progress), pyte.Screen(80, 30), Tracker()
    track.plan(PLAN)
    view.print("a plan")
    for number, columns in enumerate((80, 60, 50, 35, 70, 45, 40, 30, 80), start=1):
        if cuts:
            screen.resize(columns=columns)
        else:
            screen = narrowed(screen, columns)
        console.width = columns
        view.update(track(epoch("fit", number, 10)))
        progress.refresh()
        pyte.Stream(screen).feed(written.getvalue().replace("\n", "\r\n"))
        written.seek(0)
        written.truncate()
        lines = [line.rstrip() for line in screen.display if line.strip()]
        assert lines[0] == "a plan"
        assert lines[1].startswith("fitting ")
        assert lines[2].startswith(f"epoch {number}/10")
        assert lines[-1].endswith("MB")
        assert sum("fitting " in line or "━" in line for line in lines) == 1, "\n".join(lines)
    progress.stop()


def test_a_tracker_without_a_plan_still_tells_of_its_phase():
    status = Tracker()(epoch("fit", 1, 4))
    assert (status.done, status.total) == (1, 4)


def test_a_fit_of_one_phase_starts_at_nothing():
    status = Tracker().plan(replace(PLAN, phases=(("fit", 3),), epochs=3))
    assert (status.done, status.total) == (0, 3)


def test_the_last_save_is_told():
    track = Tracker()
    track.plan(PLAN)
    assert not any("saved" in note for note in track(epoch("fit", 1, 10)).note)
    track.saved()
    assert re.fullmatch(r"saved \d\d:\d\d:\d\d", track(epoch("fit", 2, 10)).note[-1])
