"""Where the work stands, and when it will be done, from the events that it tells."""

import time
from dataclasses import dataclass
from datetime import datetime, timedelta

from snerv_codec.cli.render import size
from snerv_codec.events import EpochDone, FrameDone, SegmentBegun, SegmentDone, SegmentFailed, StepsDone
from snerv_codec.report import Plan, makespan

Advance = StepsDone | EpochDone | SegmentBegun | SegmentDone | SegmentFailed | FrameDone  # what moves a status

LABELS = {
    "read": "reading",
    "fit": "fitting",
    "prune": "fine-tuning",
    "grid": "quantising",
    "measure": "measuring",
    "interpolate": "measuring",
    "decode": "decoding",
    "verify": "verifying",
    "evaluate": "evaluating",
    "rivals": "x264, x265",
}
SMOOTHING = 0.3  # weight of the latest epoch in the mean from which the time left is told


@dataclass(frozen=True, slots=True)
class Status:
    """Where the work stands: `done` of `total` of the whole task (None: nobody knows), and a few words on it.

    Where several segments are fitted at a time, there is a line for each in `workers`, and `latest` is what has just
    come of one of them.
    """

    task: str
    done: float
    total: float | None
    note: tuple[str, ...]
    seconds_left: float | None = None
    workers: tuple[str, ...] = ()
    latest: tuple[str, ...] | None = None

    @property
    def label(self) -> str:
        """The task for people."""
        return LABELS[self.task]

    @property
    def left(self) -> str:
        """How long it takes still; empty where nobody knows."""
        return "" if self.seconds_left is None else f"{clock(self.seconds_left)} left"

    def line(self) -> str:
        """All of it in one line, without what each worker does."""
        return self._line(self.note)

    def latest_line(self) -> str:
        """The same with what came last in place of the note on the whole."""
        return self._line(self.note if self.latest is None else self.latest)

    def _line(self, note: tuple[str, ...]) -> str:
        left = (self.left,) if self.left else ()
        share = () if not self.total else (f"{self.done / self.total:.0%}",)
        return f"{self.label}: {', '.join((*share, *note, *left))}"


@dataclass(frozen=True, slots=True)
class _Fit:
    """Where the fit of a segment stands; `epochs` are done of all its phases."""

    epochs: float = 0.0
    last: StepsDone | EpochDone | None = None


class Tracker:
    """Turns events into `Status`: the phases of a fit, of all segments, are one task, counted in epochs of the video.

    Its speed is a mean of the latest epochs of each phase, in seconds a frame. What is left takes until the last chain
    of segments is done, where each that ends makes room for the longest one that waits.
    """

    def __init__(self) -> None:
        self._plan: Plan | None = None
        self._pace: dict[str, float] = {}  # seconds a frame, by phase
        self._first_pace: dict[str, float] = {}  # the same of the steps before the first epoch is done
        self._at_work: dict[int, _Fit] = {}  # segments that are being fitted
        self._ended: dict[int, bool] = {}  # and those that are not any more, with whether they are done
        self._phase, self._several = "fit", False
        self._frame, self._started, self._first = FrameDone("", 0, 0), 0.0, 0
        self._saved = ""

    def saved(self) -> None:
        """The state is on disk now."""
        self._saved = f"saved {datetime.now():%H:%M:%S}"

    def plan(self, plan: Plan) -> Status:
        """What is going to be fitted, and the status before anything is."""
        self._plan = plan
        self._phase, epochs = plan.phases[0]
        return Status(self._phase, 0, plan.epochs, (f"epoch 1/{epochs}", f"about {size(plan.predicted_bytes)}"))

    def __call__(self, event: Advance) -> Status:
        """The status after `event`."""
        if isinstance(event, FrameDone):
            return self._frames(event)
        if isinstance(event, SegmentBegun):
            self._at_work[event.segment] = _Fit()
            self._ended.pop(event.segment, None)
            latest = [self._named(event.segment), "begun"]
        elif isinstance(event, SegmentDone | SegmentFailed):
            self._at_work.pop(event.segment, None)
            self._ended[event.segment] = isinstance(event, SegmentDone)
            latest = [f"{self._named(event.segment)} {'done' if self._ended[event.segment] else 'failed'}"]
        else:
            latest = self._fitting(event)
        self._several = self._several or len(self._at_work) > 1
        return self._status(tuple(latest))

    def _fitting(self, event: StepsDone | EpochDone) -> list[str]:
        """Take in how far a segment is. Returns what there is to say of it."""
        plan, frames, phase = self._plan, self._frames_of(event.segment), event.phase
        if isinstance(event, EpochDone):
            done, now = float(event.epoch), event.seconds / frames
            before = self._pace.get(phase, now)
            self._pace[phase] = before + SMOOTHING * (now - before)
        else:
            done = event.epoch - 1 + event.step / event.steps
            self._first_pace[phase] = event.seconds * event.steps / event.step / frames
        phases = self._phases(event)
        names = list(phases)
        done += sum(phases[name] for name in names[: names.index(phase)])
        self._at_work[event.segment], self._phase = _Fit(done, event), phase
        note = [self._named(event.segment)] if plan and len(plan.segments) > 1 else []
        note.append(f"epoch {event.epoch}/{event.epochs}")
        if plan:
            rate = self._rate(phase)
            note += [f"{rate / plan.batch:.3g} steps/s", f"{rate:.3g} frames/s"]
        return [*note, f"loss {event.loss:.4f}", f"PSNR {event.psnr:.2f} dB", *self._file()]

    def _status(self, latest: tuple[str, ...]) -> Status:
        """Of all epochs of all frames what is done; what is left of those that have not failed takes how long."""
        plan, last = self._plan, next((fit.last for fit in self._at_work.values() if fit.last), None)
        epochs = sum(self._phases(last).values())
        segments = range(len(plan.segments)) if plan else range(1)
        done = sum(self._frames_of(number) * self._done(number, epochs) for number in segments)
        about = "fit" if self._several else self._phase, done / self._frames_of(None), epochs
        left = self._seconds_left(epochs)
        if not self._several:
            return Status(*about, latest, left)
        note = [f"{sum(self._ended.values())} of {len(segments)} segments done", f"{len(self._at_work)} at work"]
        if rate := sum(self._rate(fit.last.phase) for fit in self._at_work.values() if fit.last):
            note.append(f"{rate:.3g} frames/s")
        workers = tuple(self._worker(number, fit, epochs) for number, fit in sorted(self._at_work.items()))
        return Status(*about, (*note, *self._file()), left, workers, latest)

    def _worker(self, number: int, fit: _Fit, epochs: int) -> str:
        """What the one that fits a segment does, in a line."""
        last = fit.last
        if last is None:
            return f"{self._named(number)} · starting"
        doing = "packing" if fit.epochs >= epochs else f"{LABELS[last.phase]} {last.epoch}/{last.epochs}"
        return f"{self._named(number)} · {doing} · PSNR {last.psnr:.2f} dB"

    def _seconds_left(self, epochs: int) -> float | None:
        """Until the last chain is done; None before anything is known."""
        plan = self._plan
        if self._pace_of(self._phase) is None:
            return None
        pace = 1 / self._rate(self._phase)
        busy, waiting, first = list[float](), list[float](), 0
        for length in plan.chains if plan else (1,):
            numbers, first = range(first, first + length), first + length
            left = [pace * self._frames_of(n) * (epochs - self._done(n, epochs)) for n in numbers if self._goes_on(n)]
            (busy if self._at_work.keys() & set(numbers) else waiting).append(sum(left))
        return makespan(sorted(waiting, reverse=True), busy or [0.0])

    def _pace_of(self, phase: str) -> float | None:
        return self._pace.get(phase, self._first_pace.get(phase))

    def _rate(self, phase: str) -> float:
        """Frames a second in a phase of which something is known."""
        return 1 / max(self._pace_of(phase) or 0.0, 1e-9)

    def _goes_on(self, number: int) -> bool:
        """Whether a segment will be fitted to its end, or is."""
        return self._ended.get(number, True)

    def _done(self, number: int, epochs: int) -> float:
        """How many epochs of a segment are done."""
        if number in self._ended:
            return epochs if self._ended[number] else 0.0
        return self._at_work[number].epochs if number in self._at_work else 0.0

    def _phases(self, event: StepsDone | EpochDone | None) -> dict[str, int]:
        """The epochs of each phase, by its name; without a plan those of the phase that is told of."""
        if self._plan:
            return dict(self._plan.phases)
        return {event.phase: event.epochs} if event else {self._phase: 1}

    def _named(self, segment: int) -> str:
        total = f"/{len(self._plan.segments)}" if self._plan else ""
        return f"segment {segment + 1}{total}"

    def _file(self) -> list[str]:
        """What there is to say of the file, whatever the segment."""
        about = [f"about {size(self._plan.predicted_bytes)}"] if self._plan else []
        return [*about, self._saved] if self._saved else about

    def _frames_of(self, segment: int | None) -> int:
        """The frames of a segment, or of all."""
        if self._plan is None:
            return 1
        return self._plan.frames if segment is None else self._plan.segments[segment][1]

    def _frames(self, event: FrameDone) -> Status:
        now, before = time.perf_counter(), self._frame
        if event.task != before.task or event.done < before.done:
            self._started, self._first = now, event.done
        self._frame = event
        total = event.total if event.total >= event.done else 0  # what a container claims may be too little
        unit, note = ("file", []) if event.task == "rivals" else ("frame", [])
        note.append(f"{unit} {event.done}/{total or '?'}")
        pace = (now - self._started) / (event.done - self._first) if event.done > self._first else None
        if pace:
            note.append(f"{1 / pace:.3g} {unit}s/s")
        left = pace * (total - event.done) if pace and total else None
        return Status(event.task, event.done, total or None, tuple(note), left)


def clock(seconds: float) -> str:
    """A duration as 0:04:10, or 3 days, 4:05:06."""
    return str(timedelta(seconds=round(seconds)))
