"""A bar on a terminal with a note and a line for each worker below it, at the bottom, while lines go by above."""

import os
import sys
from collections.abc import Mapping, Sequence
from math import ceil
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
    from rich.progress import Progress

    from snerv_codec.cli.status import Status

WIDTH = 60  # columns of a bar and its note at most: a window that gets narrower has nothing to wrap
MOST_WORKERS, ROWS_BESIDE = 16, 8  # lines of what workers do, and of what else is to stay in sight
FITTING = {"fit", "prune", "grid"}  # phases that share a bar


class Bars:
    """The bar of the task at hand."""

    def __init__(self, progress: "Progress") -> None:
        self._progress = progress
        self._task: Any = None
        self._shown = ""

    @classmethod
    def on_terminal(cls) -> "Bars | None":
        """Bars on standard error; None where that is no terminal."""
        if sys.stderr is None or not sys.stderr.isatty():
            return None
        from rich.console import Console

        return cls(_progress(Console(file=sys.stderr, highlight=False, markup=False)))

    def update(self, status: "Status") -> None:
        """Show where the work stands."""
        same = status.task == self._shown or {status.task, self._shown} <= FITTING
        if self._task is not None and not same:
            self._progress.remove_task(self._task)
            self._task = None
        state: dict[str, Any] = {
            "completed": status.done,
            "total": status.total,
            "note": " · ".join(status.note),
            "workers": status.workers,
            "left": status.left,
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


def _progress(console: "Console") -> "Progress":
    """A bar, and below it the task's note and its workers' lines."""
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn
    from rich.text import Text

    block = _Block()

    class Noted(Progress):
        def get_renderable(self) -> "RenderableType":
            block.climb(console)
            block.parts = [self.make_tasks_table(self.tasks)]
            for task in self.tasks:
                workers = _shown(task.fields["workers"], console.height)
                lines = (Text(line, no_wrap=True, overflow="ellipsis") for line in workers)
                block.parts += (Text(task.fields["note"]), *lines)
            return block

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


class _Block:
    """What stays at the bottom, and how many columns each of its lines took when it was last shown."""

    def __init__(self) -> None:
        self.parts: list[RenderableType] = []
        self._columns: list[int] = []

    def __rich_console__(self, console: "Console", options: "ConsoleOptions") -> "RenderResult":
        from rich.console import Group
        from rich.segment import Segment

        narrow = options.update(width=min(WIDTH, options.max_width))
        lines = console.render_lines(Group(*self.parts), narrow, pad=False)
        self._columns = [Segment.get_line_length(line) for line in lines]
        for line in lines:
            yield from line
            yield Segment.line()

    def climb(self, console: "Console") -> None:
        """Erase the lines that a window made narrower has made of those shown; rich erases as many as it wrote."""
        from rich.control import Control
        from rich.segment import ControlType

        if wraps_again(os.environ):
            more = sum(max(0, ceil(columns / console.width) - 1) for columns in self._columns)
            console.control(*[Control((ControlType.ERASE_IN_LINE, 2), (ControlType.CURSOR_UP, 1))] * more)


def wraps_again(environment: Mapping[str, str]) -> bool:
    """Whether a terminal that gets narrower wraps what it shows, as nearly all do; a few cut it off."""
    terminal = environment.get("TERM", "")
    screen = terminal.startswith("screen") and "TMUX" not in environment
    return not ("XTERM_VERSION" in environment or terminal == "linux" or screen)
