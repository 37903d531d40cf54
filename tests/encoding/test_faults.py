"""Workers and whole encodes that are killed again and again: nothing that was finished is fitted twice."""

import json
import multiprocessing
import os
import subprocess
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field

import pytest
from segment_jobs import Toy

from snerv_codec import Decoder, encode
from snerv_codec.errors import UserError
from snerv_codec.events import EpochDone, SegmentDone

KILLS = 20
SEGMENTS, FRAMES = 8, 2  # and so many of each
EPOCHS = 12
TOY = Toy(SEGMENTS, FRAMES, EPOCHS)
SETTINGS = TOY.settings

pytestmark = pytest.mark.slow


@dataclass
class Tally:
    """Which epochs were fitted how often, and which segments were told to be done."""

    epochs: Counter[tuple[int, int]] = field(default_factory=Counter)  # by segment and epoch
    done: set[int] = field(default_factory=set)

    def epoch(self, segment, epoch):
        assert segment not in self.done, f"segment {segment} was done, and is fitted again"
        self.epochs[segment, epoch] += 1

    @property
    def again(self):
        """Epochs that were fitted more than once, counted as often."""
        return sum(count - 1 for count in self.epochs.values())

    def check(self, record, killed, all_told=True):
        """All was fitted, and each kill cost at most what two workers had at hand.

        What a worker does while its driver is killed it tells nobody.
        """
        record(f"epochs of {SEGMENTS * EPOCHS} fitted again where {KILLS} {killed} were killed", self.again)
        assert len(self.epochs) == SEGMENTS * EPOCHS or not all_told
        assert self.again <= 2 * KILLS * EPOCHS


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return TOY.clip(tmp_path_factory.mktemp("source"))


@pytest.fixture(scope="module")
def undisturbed(source):
    return TOY.undisturbed(source)


def on_few_cores():
    """Two at most, so that each of two workers has a thread, as `undisturbed` had."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:2])


def test_workers_that_are_killed(source, undisturbed, tmp_path, monkeypatch, record_testsuite_property):
    monkeypatch.setattr("snerv_codec.runtime.machine.available_cores", lambda: 2)
    tally, killed = Tally(), 0

    def watch(event):
        nonlocal killed
        if isinstance(event, SegmentDone):
            tally.done.add(event.segment)
        if isinstance(event, EpochDone):
            tally.epoch(event.segment, event.epoch)
            if killed < KILLS and sum(tally.epochs.values()) % 3 == 0:
                for child in multiprocessing.active_children():
                    child.kill()
                    killed += 1

    ended = False
    while not ended:
        with suppress(UserError):  # of a job whose worker is lost twice
            encode(source, tmp_path / "out.snrv", SETTINGS, workers=2, resume=True, on_event=watch)
            ended = True
    assert killed >= KILLS
    assert (tmp_path / "out.snrv").read_bytes() == undisturbed
    tally.check(record_testsuite_property, "workers")


@pytest.mark.parametrize("workers", [1, 2])
def test_an_encode_that_is_killed(source, undisturbed, tmp_path, record_testsuite_property, workers):
    """Its workers end by themselves, or are still at it when the next ones begin."""
    output, tally = tmp_path / "out.snrv", Tally()
    command = TOY.command(source, output, "--resume", "--workers", workers)
    for attempt in range(KILLS + 1):
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, preexec_fn=on_few_cores)
        seen = 0
        for line in process.stdout:
            event = json.loads(line)
            if event.get("event") == "segment":
                tally.done.add(event["segment"])
            if event.get("event") == "epoch":
                tally.epoch(event["segment"], event["epoch"])
                seen += 1
            if attempt < KILLS and seen == 1 + attempt % 5:
                process.kill()
                break
        process.stdout.close()
        process.wait()
        if output.exists():
            break
    assert process.returncode == 0
    assert not (tmp_path / "out.snrv.work").exists()
    with Decoder(output, device="cpu") as decoder:
        assert len(list(decoder)) == SEGMENTS * FRAMES
    assert output.read_bytes() == undisturbed
    tally.check(record_testsuite_property, f"encodes with {workers} workers", all_told=workers == 1)
