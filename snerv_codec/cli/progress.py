"""How far the work is: bars on a terminal, a line a minute elsewhere, JSON for programs, and a log if one is asked for.

All of it goes to standard error, but the JSON.
"""

import json
import re
import sys
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any

import click

from snerv_codec.cli.help import option, section
from snerv_codec.cli.render import Rows, plan_rows, size, table
from snerv_codec.cli.terminal import echo, printable, with_flags
from snerv_codec.errors import OutputError
from snerv_codec.events import EpochDone, Event, FrameDone, Planned, SegmentDone, StateSaved, StepsDone, Warned
from snerv_codec.report import Plan

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.progress import Progress

LABELS = {
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
WIDTH = 60  # columns of a bar and its note at most
EVERY = 60.0  # seconds between two lines where there is no bar
SMOOTHING = 0.3  # weight of the latest epoch in the mean from which the time left is told
TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d ")


@dataclass(frozen=True, slots=True)
class Status:
    """Where the work stands: `done` of `total` of the whole task (None: nobody knows), and a few words on it."""

    task: str
    done: float
    total: float | None
    note: tuple[str, ...]
    seconds_left: float | None = None

    @property
    def label(self) -> str:
        """The task for people."""
        return LABELS[self.task]

    def line(self) -> str:
        """All of it in one line."""
        left = () if self.seconds_left is None else (f"{clock(self.seconds_left)} left",)
        share = () if not self.total else (f"{self.done / self.total:.0%}",)
        return f"{self.label}: {', '.join((*share, *self.note, *left))}"


class Tracker:
    """Turns events into `Status`: the phases of a fit, of all segments, are one task, counted in epochs of the video.

    Its speed is a mean of the latest epochs of each phase, in seconds a frame; segments that are fitted at the same
    time share the work that is left.
    """

    def __init__(self) -> None:
        self._plan: Plan | None = None
        self._pace: dict[str, float] = {}  # seconds a frame, by phase
        self._done: dict[int, float] = {}  # epochs of each segment that is being fitted, or was
        self._task, self._started, self._first = "", 0.0, 0
        self._saved = ""

    def saved(self) -> None:
        """The state is on disk now."""
        self._saved = f"saved {datetime.now():%H:%M:%S}"

    def plan(self, plan: Plan) -> Status:
        """What is going to be fitted, and the status before anything is."""
        self._plan = plan
        name, epochs = plan.phases[0]
        return Status(name, 0, plan.epochs, (f"epoch 1/{epochs}", f"about {size(plan.predicted_bytes)}"))

    def __call__(self, event: StepsDone | EpochDone | SegmentDone | FrameDone) -> Status:
        """The status after `event`."""
        if isinstance(event, FrameDone):
            return self._frames(event)
        if isinstance(event, SegmentDone):
            return self._segment(event)
        return self._fitting(event)

    def _fitting(self, event: StepsDone | EpochDone) -> Status:
        plan, frames = self._plan, self._frames_of(event.segment)
        if isinstance(event, EpochDone):
            done, now = float(event.epoch), event.seconds / frames
            pace = self._pace.get(event.phase, now)
            pace = self._pace[event.phase] = pace + SMOOTHING * (now - pace)
        else:
            done = event.epoch - 1 + event.step / event.steps
            pace = self._pace.get(event.phase, event.seconds * event.steps / event.step / frames)
        phases = dict(plan.phases) if plan else {event.phase: event.epochs}
        names = list(phases)
        self._done[event.segment] = done + sum(phases[name] for name in names[: names.index(event.phase)])
        note = [f"epoch {event.epoch}/{event.epochs}"]
        if plan and len(plan.segments) > 1:
            note.insert(0, f"segment {event.segment + 1}/{len(plan.segments)}")
        if plan:
            rate = 1 / max(pace, 1e-9)
            note += [f"{rate / plan.batch:.3g} steps/s", f"{rate:.3g} frames/s"]
        note += [f"loss {event.loss:.4f}", f"PSNR {event.psnr:.2f} dB"]
        if plan:
            note.append(f"about {size(plan.predicted_bytes)}")
        note += [self._saved] if self._saved else []
        return self._fitted(event.phase, sum(phases.values()), note, pace)

    def _segment(self, event: SegmentDone) -> Status:
        plan = self._plan
        phases = dict(plan.phases) if plan else {"fit": 1}
        self._done[event.segment] = sum(phases.values())
        note = [f"segment {event.segment + 1}/{event.total} done"]
        pace = next(reversed(self._pace.values()), None)
        return self._fitted(list(phases)[-1], sum(phases.values()), note, pace)

    def _fitted(self, task: str, epochs: int, note: list[str], pace: float | None) -> Status:
        """Of `epochs` of all frames what is done; with a `pace` in seconds a frame, what is left takes how long."""
        plan, total = self._plan, self._frames_of(None)
        done = sum(self._frames_of(segment) * epochs for segment, epochs in self._done.items()) / total
        busy = sum(each < epochs for each in self._done.values()) if plan else 1
        left = None if pace is None else pace * total * (epochs - done) / max(1, busy)
        return Status(task, done, epochs, tuple(note), left)

    def _frames_of(self, segment: int | None) -> int:
        """The frames of a segment, or of all."""
        if self._plan is None:
            return 1
        return self._plan.frames if segment is None else self._plan.segments[segment][1]

    def _frames(self, event: FrameDone) -> Status:
        now = time.perf_counter()
        if event.task != self._task:
            self._task, self._started, self._first = event.task, now, event.done
        unit, note = ("file", []) if event.task == "rivals" else ("frame", [])
        note.append(f"{unit} {event.done}/{event.total or '?'}")
        pace = (now - self._started) / (event.done - self._first) if event.done > self._first else None
        if pace:
            note.append(f"{1 / pace:.3g} {unit}s/s")
        left = pace * (event.total - event.done) if pace and event.total else None
        return Status(event.task, event.done, event.total or None, tuple(note), left)


@dataclass(slots=True)
class Watching:
    """How much the user wants to see: -q is -1, -v is 1; a log gets everything, whatever is shown."""

    level: int = 0
    log_file: Path | None = None


class View:
    """Renders events; use it as a context manager and give it as `on_event`.

    With `as_json`, every event but frames, steps and saving is a line on standard output. `watching` is what the
    command line says of it where nothing else is given.
    """

    def __init__(self, *, as_json: bool, watching: Watching | None = None) -> None:
        context = click.get_current_context(silent=True)
        chosen = watching or (context.find_object(Watching) if context else None) or Watching()
        self._as_json, self._level = as_json, chosen.level
        self._log = _open_log(chosen.log_file) if chosen.log_file else None
        self._tracker, self._bars = Tracker(), None if as_json or self._level < 0 else _Bars.on_terminal()
        self._told = time.monotonic()

    def __call__(self, event: Event) -> None:
        if isinstance(event, Warned):
            event = Warned(with_flags(event.message))
        if self._as_json and not isinstance(event, FrameDone | StepsDone | StateSaved):
            echo(json.dumps(event.to_json()))
        if isinstance(event, Planned):
            self._show(plan_rows(event.plan), least=0)
            status = self._tracker.plan(event.plan)
            if self._bars:
                self._bars.update(status)
        elif isinstance(event, Warned):
            self._show(f"snerv: warning: {event.message}", least=-1)
        elif isinstance(event, StateSaved):
            self._tracker.saved()
        else:
            self._advance(self._tracker(event), event)

    def __enter__(self) -> "View":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bars:
            self._bars.stop()
        if self._log:
            if error is not None:
                _write(self._log, printable(with_flags(f"ended by {type(error).__name__}: {error}")))
            self._log.close()

    def done(self, result: Rows | str, values: Mapping[str, Any]) -> None:
        """The outcome on standard output: rows or a line for people who want to see it, `values` for programs."""
        if self._bars:
            self._bars.stop()
        if self._log:
            _write(self._log, _lines(result))
        if self._as_json:
            echo(json.dumps({"event": "done", **values}))
        elif self._level >= 0:
            echo(_lines(result, sys.stdout))

    def _advance(self, status: Status, event: StepsDone | EpochDone | SegmentDone | FrameDone) -> None:
        an_epoch = isinstance(event, EpochDone | SegmentDone)
        if self._log and an_epoch:
            _write(self._log, status.line())
        if self._as_json or self._level < 0:
            return
        if self._bars:
            self._bars.update(status)
        due = time.monotonic() - self._told >= EVERY
        if (an_epoch and self._level > 0) or (due and not self._bars):
            self._told = time.monotonic()
            self._echo(f"{_now()} {status.line()}")

    def _show(self, text: Rows | str, *, least: int) -> None:
        if self._log:
            _write(self._log, _lines(text))
        if not self._as_json and self._level >= least:
            self._echo(_lines(text, sys.stderr))

    def _echo(self, text: str) -> None:
        if self._bars:
            self._bars.print(text)
        else:
            echo(text, err=True)


def _lines(text: Rows | str, stream: IO[str] | None = None) -> str:
    """A table, or a text as one line, as `stream` shows it."""
    return printable(text) if isinstance(text, str) else table(text, stream)


class _Bars:
    """A bar on a terminal with a note below it, which stay at the bottom while lines go by above."""

    def __init__(self, progress: "Progress") -> None:
        self._progress = progress
        self._task: Any = None
        self._shown = ""

    @classmethod
    def on_terminal(cls) -> "_Bars | None":
        """Bars on standard error; None where that is no terminal."""
        if sys.stderr is None or not sys.stderr.isatty():
            return None
        from rich.console import Console

        return cls(_progress(Console(file=sys.stderr, highlight=False, markup=False)))

    def update(self, status: Status) -> None:
        """Show where the work stands."""
        if self._task is not None and not _same_bar(status.task, self._shown):
            self._progress.remove_task(self._task)
            self._task = None
        left = "" if status.seconds_left is None else f"{clock(status.seconds_left)} left"
        state: dict[str, Any] = {
            "completed": status.done,
            "total": status.total,
            "note": " · ".join(status.note),
            "left": left,
        }
        if self._task is None:
            self._task = self._progress.add_task(status.label, **state)
            self._progress.start()
        self._progress.update(self._task, description=status.label, **state)
        self._shown = status.task

    def print(self, text: str) -> None:
        """A line above the bar."""
        self._progress.console.print(text, soft_wrap=True)

    def stop(self) -> None:
        """Take the bar away."""
        self._progress.stop()


def _same_bar(task: str, shown: str) -> bool:
    """A fit's phases share their bar."""
    fitting = ("fit", "prune", "grid")
    return task == shown or (task in fitting and shown in fitting)


def _progress(console: Any) -> "Progress":
    """A bar, and below it the task's note, at most `WIDTH` wide: a window that gets narrower has nothing to wrap."""
    from rich.constrain import Constrain
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn
    from rich.text import Text

    class Noted(Progress):
        def get_renderables(self) -> "Iterable[RenderableType]":
            yield Constrain(self.make_tasks_table(self.tasks), WIDTH)
            for task in self.tasks:
                yield Constrain(Text(task.fields["note"]), WIDTH)

    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=None),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[left]}"),
    )
    return Noted(*columns, console=console, expand=True, transient=True, refresh_per_second=4)


def clock(seconds: float) -> str:
    """A duration as 0:04:10, or 3 days, 4:05:06."""
    return str(timedelta(seconds=round(seconds)))


def _now() -> str:
    return datetime.now().strftime("%Y-%m-%d %H:%M:%S")


def _open_log(path: Path) -> IO[str]:
    """The log, to add to. Raises `OutputError` where the file is another's or cannot be written."""
    try:
        if path.exists() and path.stat().st_size:
            with path.open("rb") as file:
                if not TIMESTAMP.match(file.read(32).decode("latin-1")):
                    raise OutputError(f"{path}: is not a log of snerv, so nothing is added to it; choose another name")
        return path.open("a", encoding="utf-8")
    except OSError as error:
        raise OutputError(f"{path}: the log cannot be written: {error.strerror}; choose another name") from error


def _write(log: IO[str], text: str) -> None:
    log.writelines(f"{_now()} {line}\n" for line in text.splitlines())
    log.flush()


def _keep(context: click.Context, parameter: click.Parameter, value: Any) -> None:
    watching = context.ensure_object(Watching)
    if parameter.name == "log_file":
        watching.log_file = value
    elif value:
        watching.level = -1 if parameter.name == "quiet" else 1


# Gives a command options that its `View` finds by itself.
watched = section(
    "What is shown",
    option("-q", "--quiet", is_flag=True, expose_value=False, callback=_keep, help="Show warnings and errors only."),
    option("-v", "--verbose", is_flag=True, expose_value=False, callback=_keep, help="Show every epoch in a line."),
    option(
        "--log-file",
        type=click.Path(path_type=Path),
        expose_value=False,
        callback=_keep,
        help="Add to this file what happens and when.",
    ),
)
