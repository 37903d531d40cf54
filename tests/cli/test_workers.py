"""What several workers do, as people see it: one bar for the file, a line for each of them."""

import io
import re
from dataclasses import replace

import pytest
from rich.console import Console
from test_progress import PLAN

from snerv_codec.cli.bars import Bars, _progress
from snerv_codec.cli.progress import View, Watching
from snerv_codec.cli.status import Advance, Tracker
from snerv_codec.events import (
    EpochDone,
    FrameDone,
    Planned,
    SegmentBegun,
    SegmentDone,
    SegmentFailed,
    StateSaved,
    StepsDone,
)

LENGTHS = (30, 30, 40, 20)
LONG = replace(
    PLAN,
    frames=120,
    segments=tuple((sum(LENGTHS[:number]), length) for number, length in enumerate(LENGTHS)),
    chains=(1,) * 4,
)


def epoch(segment, phase, number, of, psnr=30.25):
    """Told once an epoch of so many frames is done, a tenth of a second each."""
    return EpochDone(phase, number, of, 0.5, psnr, 0.1 * LENGTHS[segment], segment=segment)


def begun(*segments):
    return [SegmentBegun(number, len(LENGTHS)) for number in segments]


def after(events, plan=LONG):
    """The status once these were told."""
    track = Tracker()
    status = track.plan(plan)
    for event in events:
        status = track(event)
    return status


def test_each_of_several_workers_has_a_line():
    told = [
        *begun(2, 0),
        epoch(2, "fit", 5, 10),
        StepsDone("fit", 3, 10, 1, 4, 0.5, 28.5, 1.0, segment=0),
        SegmentDone(2, 4),
        *begun(1),
    ]
    assert after(told[:2]).workers == ("segment 1/4 · starting", "segment 3/4 · starting")
    status = after(told[:4])
    assert status.workers == (
        "segment 1/4 · fitting 3/10 · PSNR 28.50 dB",
        "segment 3/4 · fitting 5/10 · PSNR 30.25 dB",
    )
    assert status.done == pytest.approx((40 * 5 + 30 * 2.25) / 120)  # epochs of the film
    assert status.note[:2] == ("0 of 4 segments done", "2 at work")
    assert "20 frames/s" in status.note  # of both together
    status = after(told)
    assert status.workers == ("segment 1/4 · fitting 3/10 · PSNR 28.50 dB", "segment 2/4 · starting")
    assert status.note[:2] == ("1 of 4 segments done", "2 at work")


def test_the_last_epochs_are_told_as_what_they_are():
    told = [*begun(0, 1), epoch(0, "prune", 1, 1), epoch(1, "grid", 3, 3)]
    assert after(told).workers == (
        "segment 1/4 · fine-tuning 1/1 · PSNR 30.25 dB",
        "segment 2/4 · packing · PSNR 30.25 dB",
    )


def test_a_segment_at_a_time_has_no_lines_of_workers():
    status = after([*begun(0), epoch(0, "grid", 3, 3), SegmentDone(0, 4), *begun(1), epoch(1, "fit", 1, 10)])
    assert status.workers == ()
    assert status.note[:2] == ("segment 2/4", "epoch 1/10")
    assert status.done == pytest.approx((30 * 14 + 30) / 120)


def test_the_time_left_is_that_of_the_slowest_chain():
    two = [*begun(2, 0), epoch(2, "fit", 4, 10), epoch(0, "fit", 4, 10)]
    # Ten epochs are left of 40 and of 30 frames, at 0.1 s each; the longer one that waits follows the shorter of these.
    assert after(two).seconds_left == pytest.approx(max(40 + 20 * 1.4, 30 + 30 * 1.4))
    chained = replace(LONG, chains=(2, 2))
    assert after(two, chained).seconds_left == pytest.approx(max(40 + 20 * 1.4, 30 + 30 * 1.4))
    alone = replace(LONG, chains=(4,))
    assert after([*begun(0), epoch(0, "fit", 4, 10)], alone).seconds_left == pytest.approx(30 + 90 * 1.4)


def test_what_failed_is_not_waited_for():
    told = [*begun(0, 1, 2, 3), *(epoch(number, "fit", 4, 10) for number in range(4)), SegmentFailed(2, 4, "no luck")]
    status = after(told)
    assert len(status.workers) == 3
    assert status.seconds_left == pytest.approx(30)
    assert status.note[0] == "0 of 4 segments done"


def screen(status, *, width=60, height=40):
    """What a window shows of a status."""
    outputs = io.StringIO(), io.StringIO()
    console, shown = (Console(file=each, width=width, height=height, force_terminal=True) for each in outputs)
    bars = Bars(_progress(console))
    bars.update(status)
    bars.stop()
    shown.print(bars._progress.get_renderable())
    return re.sub(r"\x1b\[[0-9;]*m", "", outputs[1].getvalue()).splitlines()


def test_a_window_of_60_columns_has_a_line_for_each_worker():
    many = tuple((10 * number, 10) for number in range(1000))
    plan = replace(PLAN, frames=10000, segments=many, chains=(1,) * 1000, phases=(("fit", 300), ("prune", 150)))
    told: list[Advance] = [SegmentBegun(number, 1000) for number in (998, 999)]
    told += [EpochDone("prune", 149, 150, 0.5, 30.25, 1.0, segment=number) for number in (998, 999)]
    lines = screen(after(told, plan))
    assert max(map(len, lines)) <= 60
    assert lines[-2:] == [f"segment {number}/1000 · fine-tuning 149/150 · PSNR 30.25 dB" for number in (999, 1000)]
    assert sum("━" in line for line in lines) == 1
    assert "0 of 1000 segments done · 2 at work" in lines[1]
    assert max(map(len, screen(after(told, plan), width=40))) <= 40


def test_a_low_window_shows_as_many_workers_as_it_has_room_for():
    plan = replace(PLAN, frames=400, segments=tuple((number, 1) for number in range(400)), chains=(1,) * 400)
    status = after([SegmentBegun(number, 400) for number in range(256)], plan)
    assert len(status.workers) == 256
    assert screen(status, height=14)[-1] == "and 251 more"
    assert len(screen(status, height=14)) <= 10
    assert screen(status, height=100)[-1] == "and 241 more"


def test_without_a_terminal_all_workers_share_a_line_a_minute(capsys, monkeypatch):
    now = [1000.0]
    monkeypatch.setattr("snerv_codec.cli.progress.time.monotonic", lambda: now[0])
    with View(as_json=False) as view:
        view(Planned(LONG))
        for event in begun(0, 1, 2):
            view(event)
        for number in range(1, 11):
            for segment in range(3):
                now[0] += 7
                view(epoch(segment, "fit", number, 10))
                view(StateSaved("fit", number, 0, segment))
    seen = [line for line in capsys.readouterr().err.splitlines() if "fitting: " in line]
    assert len(seen) == 30 * 7 // 60
    assert re.search(r"fitting: \d+%, 0 of 4 segments done, 3 at work, 30 frames/s, .*left", seen[-1])


def test_a_log_tells_of_each_epoch_whose_it_is_and_of_a_failure_at_once(tmp_path, capsys):
    log = tmp_path / "log.txt"
    with View(as_json=False, watching=Watching(-1, log)) as view:
        view(Planned(LONG))
        for event in (
            *begun(0, 1),
            epoch(0, "fit", 1, 10),
            epoch(1, "fit", 2, 10),
            SegmentFailed(1, 4, "lower `size`"),
        ):
            view(event)
    text = log.read_text()
    assert "segment 1/4, epoch 1/10" in text
    assert "segment 2/4, epoch 2/10" in text
    assert "segment 2: lower --size" in text
    assert capsys.readouterr().err == "snerv: warning: segment 2: lower --size\n"


def test_an_input_is_read_before_the_plan_and_may_be_longer_than_it_claims():
    track = Tracker()
    status = track(FrameDone("read", 1, 100))
    assert (status.label, status.done, status.total) == ("reading", 1, 100)
    assert "frame 1/100" in status.note
    assert track(FrameDone("read", 101, 100)).total is None
    again = track(FrameDone("read", 1, 100))  # looked through, as it is too much to be held
    assert (again.done, again.seconds_left) == (1, None)
