"""How far the work is: bars on a terminal, a line a minute elsewhere, JSON for programs, and a log if one is asked for.

All of it goes to standard error, but the JSON.
"""

import re
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import click

from snerv_codec.cli.bars import Bars
from snerv_codec.cli.help import option, section
from snerv_codec.cli.render import Rows, plan_rows, table
from snerv_codec.cli.status import Advance, Status, Tracker
from snerv_codec.cli.terminal import echo, echo_json, printable, with_flags
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
        self._tracker, self._bars = Tracker(), None if as_json or self._level < 0 else Bars.on_terminal()
        self._told = time.monotonic()

    def __call__(self, event: Event) -> None:
        if isinstance(event, Warned):
            event = Warned(with_flags(event.message))
        if self._as_json and not isinstance(event, FrameDone | StepsDone | SegmentBegun | StateSaved):
            echo_json(event.to_json())
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
            echo_json({"event": "done", **values})
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
