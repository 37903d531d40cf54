"""Jobs that write down what they do, wherever they run, so that one can count what was fitted twice."""

import json
import os
import secrets
from collections import Counter
from dataclasses import dataclass, fields
from pathlib import Path

from snerv_codec.cli.main import run
from snerv_codec.cli.progress import View
from snerv_codec.encoding import segment_job
from snerv_codec.encoding.segment_job import FittedSegment, SegmentJob
from snerv_codec.events import EpochDone, FrameDone, SegmentBegun

make_jobs = segment_job.make_jobs


@dataclass(frozen=True, slots=True)
class Watched(SegmentJob):
    """A job with a log beside the directory of its states: lines that tell when it begins, each epoch, and its end.

    A process that is killed leaves all that it has written.
    """

    def run(self, on_event=lambda event: None) -> FittedSegment:
        log, attempt = log_of(self.checkpoint.directory), f"{os.getpid()}.{secrets.token_hex(4)}"

        def note(what):
            with log.open("a") as file:
                file.write(f"{self.number} {attempt} {what}\n")

        def tell(event):
            if isinstance(event, EpochDone):
                note(event.epoch)
            on_event(event)

        note("begun")
        fitted = SegmentJob.run(self, on_event=tell)
        note("ended")
        return fitted


def as_watched(jobs, kind=Watched):
    """The same jobs, watched."""
    return [kind(**{field.name: getattr(job, field.name) for field in fields(job)}) for job in jobs]


def watched_jobs(*about):
    """What `make_jobs` gives, watched."""
    return as_watched(make_jobs(*about))


def log_of(directory: Path) -> Path:
    """The log of the jobs with states in `directory`."""
    return directory.with_suffix(".log")


def at_work(log: Path, segment: int) -> int:
    """The process that was the last one to begin with the segment."""
    lines = [line.split() for line in log.read_text().splitlines()]
    begun = [attempt for number, attempt, what in lines if (int(number), what) == (segment, "begun")]
    return int(begun[-1].split(".")[0])


def note_ended(jobs) -> set[int]:
    """Write down which jobs have ended by the states on disk: they may have been killed before they could."""
    ended = {job.number for job in jobs if job.ended() is not None}
    with log_of(jobs[0].checkpoint.directory).open("a") as file:
        file.writelines(f"{number} - ended\n" for number in ended)
    return ended


def fitted(log: Path) -> Counter[tuple[int, int]]:
    """How often each epoch of each segment was fitted: none by a job that began once the segment had ended.

    Those that a job saves, and is killed before it writes that down, are not among them; nobody fits them again.
    """
    epochs: Counter[tuple[int, int]] = Counter()
    ended, late = set(), set()
    for segment, attempt, what in map(str.split, log.read_text().splitlines()):
        if what == "ended":
            ended.add(segment)
        elif what == "begun":
            late |= {attempt} if segment in ended else set()
        else:
            assert attempt not in late, f"segment {segment} had ended, and was fitted again"
            epochs[int(segment), int(what)] += 1
    return epochs


def main() -> None:
    """The command line, with jobs that are watched; its JSON tells of beginnings and of frames too."""
    show = View.__call__

    def tell(view, event):
        if isinstance(event, SegmentBegun | FrameDone):
            print(json.dumps(event.to_json()), flush=True)  # noqa: T201
        show(view, event)

    View.__call__, segment_job.make_jobs = tell, watched_jobs  # type: ignore[method-assign]
    run()
