"""How far the work is: bars on a terminal, a line a minute elsewhere, JSON for programs, and a log if one is asked for.

All of it goes to standard error, but the JSON.
"""

import json
import re
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any

import click

from snerv_codec.cli.help import option, section
from snerv_codec.cli.render import Rows, plan_rows, table
from snerv_codec.cli.status import Advance, Status, Tracker, clock
from snerv_codec.cli.terminal import echo, printable, with_flags
from snerv_codec.errors import OutputError
from snerv_codec.events import (
    EpochDone,
    Event,
    FrameDone,
    Planned,
    SegmentBegun,
    SegmentDone,
    SegmentFailed,
    StateSaved,
    StepsDone,
    Warned,
)

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.progress import Progress

WIDTH = 60  # columns of a bar and its note at most
MOST_WORKERS, ROWS_BESIDE = 16, 8  # lines of what workers do, and of what else is to stay in sight
EVERY = 60.0  # seconds between two lines where there is no bar
TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d ")


@dataclass(slots=True)
class Watching:
    """How much the user wants to see: -q is -1, -v is 1; a log gets everything, whatever is shown."""

    level: int = 0
    log_file: Path | None = None


class View:
    """Renders events; use it as a context manager and give it as `on_event`.

    With `as_json`, every event but frames, steps, beginnings and saving is a line on standard output. `watching` is
    what the command line says of it where nothing else is given.
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
        if self._as_json and not isinstance(event, FrameDone | StepsDone | SegmentBegun | StateSaved):
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
            if isinstance(event, SegmentFailed):
                self._show(f"snerv: warning: segment {event.segment + 1}: {with_flags(event.message)}", least=-1)
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

    def _advance(self, status: Status, event: Advance) -> None:
        an_epoch = isinstance(event, EpochDone | SegmentDone)
        if self._log and an_epoch:
            _write(self._log, status.latest_line())
        if self._as_json or self._level < 0:
            return
        if self._bars:
            self._bars.update(status)
        due = time.monotonic() - self._told >= EVERY
        if (an_epoch and self._level > 0) or (due and not self._bars):
            self._told = time.monotonic()
            line = status.latest_line() if an_epoch and self._level > 0 else status.line()
            self._echo(f"{_now()} {line}")

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
    """A bar on a terminal with a note and a line for each worker below it, at the bottom, while lines go by above."""

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
            "workers": status.workers,
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
    """A bar, and below it the task's note and its workers' lines, at most `WIDTH` wide.

    So a window that gets narrower has nothing to wrap.
    """
    from rich.constrain import Constrain
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn
    from rich.text import Text

    class Noted(Progress):
        def get_renderables(self) -> "Iterable[RenderableType]":
            yield Constrain(self.make_tasks_table(self.tasks), WIDTH)
            for task in self.tasks:
                yield Constrain(Text(task.fields["note"]), WIDTH)
                for line in _shown(task.fields["workers"], self.console.height):
                    yield Constrain(Text(line, no_wrap=True, overflow="ellipsis"), WIDTH)

    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=None),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[left]}"),
    )
    return Noted(*columns, console=console, expand=True, transient=True, refresh_per_second=4)


def _shown(workers: Sequence[str], height: int) -> Sequence[str]:
    """The lines of as many workers as a window has room for."""
    room = max(1, min(MOST_WORKERS, height - ROWS_BESIDE))
    return workers if len(workers) <= room else (*workers[: room - 1], f"and {len(workers) - room + 1} more")


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
