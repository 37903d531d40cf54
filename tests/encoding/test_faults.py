"""Workers and whole encodes that are killed again and again: nothing that was finished is fitted twice."""

import os
import signal
from collections import Counter
from multiprocessing import active_children

import pytest
from killing import kill_drivers
from segment_jobs import Toy
from watched import at_work, fitted, log_of, watched_jobs

from snerv_codec import encode
from snerv_codec.encoding import segment_job
from snerv_codec.errors import UserError
from snerv_codec.events import EpochDone, SegmentBegun

KILLS = 20
FRAMES, EPOCHS = 2, 12  # of each segment

pytestmark = pytest.mark.slow


def on_few_cores():
    """Two at most, so that each of two workers has a thread, as where nobody is killed."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:2])


def test_workers_that_are_killed(tmp_path, monkeypatch, record_testsuite_property):
    """One of two, once in each segment: the encode goes on. Twice in the last one, which fails; the others are kept."""
    monkeypatch.setattr("snerv_codec.runtime.machine.available_cores", lambda: 2)
    monkeypatch.setattr(segment_job, "make_jobs", watched_jobs)
    toy, output, work, killed = Toy(KILLS, FRAMES, EPOCHS), tmp_path / "out.snrv", tmp_path / "out.snrv.work", Counter()
    log = log_of(work)
    source = toy.clip(tmp_path)
    whole = toy.undisturbed(source)

    def watch(event):
        if isinstance(event, SegmentBegun) and event.segment == KILLS - 1:
            max(active_children(), key=lambda child: int(child.name.rpartition("-")[2])).kill()
            killed[event.segment] += 1
        if isinstance(event, EpochDone) and event.epoch > event.segment % EPOCHS and not killed[event.segment]:
            os.kill(at_work(log, event.segment), signal.SIGKILL)
            killed[event.segment] += 1

    with pytest.raises(UserError, match=f"segment {KILLS}: its process was killed twice.*the other segments are kept"):
        encode(source, output, toy.settings, workers=2, on_event=watch)
    assert killed == Counter(range(KILLS)) + Counter([KILLS - 1])
    assert KILLS - 1 not in {segment for segment, _ in fitted(log)}
    encode(source, output, toy.settings, workers=2, resume=True)
    assert output.read_bytes() == whole
    assert not work.exists()
    epochs = fitted(log)
    told = f"epochs of {KILLS * EPOCHS} fitted again where {KILLS + 1} workers were killed"
    record_testsuite_property(told, epochs.total() - len(epochs))


@pytest.mark.parametrize("workers", [1, 2])
def test_an_encode_that_is_killed(tmp_path, record_testsuite_property, workers):
    """Its workers end by themselves, or are still at it when the next ones begin."""
    toy = Toy(8, FRAMES, EPOCHS)
    told = kill_drivers(toy, tmp_path, KILLS, "--workers", workers, preexec_fn=on_few_cores)
    record_testsuite_property(f"{KILLS} drivers of {workers} workers killed", told)
