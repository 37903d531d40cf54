"""The directory beside an output that keeps what an encode has done so far, for itself alone."""

import os
from contextlib import suppress
from pathlib import Path
from typing import IO

from snerv_codec.errors import OutputError
from snerv_codec.runtime.files import lock

ATTEMPTS = 10
SEGMENT = "segment-"  # what names of states begin with; the number of the segment follows


class WorkDirectory:
    """The states of the segments of one encode, from the start of a `with` block until it ends in success.

    The block's end removes a directory without a state, and an interruption or an `OutputError` that ends it tells of
    one with states.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._guard = directory / "lock"
        self._held: IO[bytes] | None = None
        self._finished = False

    def __enter__(self) -> "WorkDirectory":
        """Raises `OutputError` where another encode is at work here, or nothing can be written."""
        try:
            self._hold()
        except BlockingIOError as error:
            self._release()
            raise OutputError(
                f"{self.directory}: another encode to the same output is at work; let it end, or choose another output"
            ) from error
        except OSError as error:
            self._release()
            with suppress(OSError):
                self.directory.rmdir()
            raise OutputError(
                f"{self.directory}: the state of the fit cannot be saved there: {error.strerror}; choose another output"
            ) from error
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if self._finished or not self.holds_states():
            self._remove()
        self._release()
        if self.holds_states():
            kept = f"{self.directory} holds what was fitted: use `resume` to go on with it"
            if isinstance(error, KeyboardInterrupt):
                error.add_note(kept)
            elif isinstance(error, OutputError):  # whose advice may be to overwrite, which alone would drop that
                raise OutputError(f"{error}; {kept}") from error

    def holds_states(self) -> bool:
        """Whether there is anything to go on with."""
        return any(self.directory.glob(f"{SEGMENT}*.npz"))

    def drop_states(self) -> None:
        """Forget what an earlier run has left."""
        for path in (*self.directory.glob(f"{SEGMENT}*.npz"), *self.directory.glob(f"{SEGMENT}*.tmp")):
            path.unlink(missing_ok=True)

    def finish(self) -> None:
        """Let the block's end remove the states too, which nobody will need."""
        self._finished = True

    def _hold(self) -> None:
        """Lock the directory, anew where its last owner removes it at the same moment."""
        for _ in range(ATTEMPTS):
            self.directory.mkdir(exist_ok=True)
            self._held = self._guard.open("ab")
            lock(self._held.fileno())
            with suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(self._held.fileno()), self._guard.stat()):
                    return
            self._release()
        raise BlockingIOError

    def _release(self) -> None:
        if self._held is not None:
            self._held.close()  # which gives the lock back, as the end of the process does

    def _remove(self) -> None:
        """Delete what is ours, and the directory where nothing else is in it."""
        with suppress(OSError):
            self.drop_states()
            self._guard.unlink(missing_ok=True)
            self.directory.rmdir()


def open_work(output: Path, *, resume: bool, overwrite: bool) -> WorkDirectory:
    """The work directory of an encode to `output`. Raises `OutputError` where an interrupted run would be lost."""
    work = WorkDirectory(output.with_name(output.name + ".work"))
    if work.holds_states() and not (resume or overwrite):
        raise OutputError(
            f"{work.directory}: an interrupted run; use `resume` to go on with it, `overwrite` to drop it"
        )
    return work
