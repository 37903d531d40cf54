"""Outputs that appear whole or not at all."""

import errno
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from snerv_codec.errors import OutputError


def check_target(target: Path, *, overwrite: bool, source: str | Path | None = None) -> None:
    """Raise `OutputError` where `target` cannot or must not be written; `source` must be another file."""
    both_exist = source is not None and str(source) != "-" and target.exists() and Path(source).exists()
    if both_exist and os.path.samefile(target, str(source)):
        raise OutputError(f"{target}: is the input; choose another output")
    if target.exists() and not overwrite:
        raise OutputError(f"{target}: exists already; use --overwrite to replace it")
    parent = target.parent
    if not parent.is_dir():
        raise OutputError(f"{target}: there is no folder {parent}; create it first")
    if not os.access(parent, os.W_OK | os.X_OK):
        raise OutputError(f"{target}: no permission to write in {parent}")


@contextmanager
def atomic_path(target: Path, *, overwrite: bool) -> Iterator[Path]:
    """A path beside `target` to write a file or a folder to, renamed to `target` at the end.

    On any error or interruption it is removed and `target` stays as it was. Raises `OutputError` where
    the target exists and `overwrite` is false, or where the disk refuses.
    """
    check_target(target, overwrite=overwrite)
    beside = target.with_name(f".{target.stem[:100]}.{secrets.token_hex(4)}{target.suffix}")
    try:
        yield beside
        _flush(beside)
        if target.is_dir() and overwrite:
            shutil.rmtree(target)
        os.replace(beside, target)
    except OSError as error:
        raise describe_os_error(target, error) from error
    finally:
        if beside.is_dir():
            shutil.rmtree(beside, ignore_errors=True)
        else:
            beside.unlink(missing_ok=True)


def describe_os_error(target: str | Path, error: Exception) -> OutputError:
    """What the system (an `OSError`, or PyAV's error of the same shape) says of writing `target`, in one line."""
    reason = getattr(error, "strerror", None) or str(error)
    advice = "; free some space" if getattr(error, "errno", None) == errno.ENOSPC else ""
    return OutputError(f"{target}: cannot be written: {reason}{advice}")


def _flush(path: Path) -> None:
    """Bring a file, or the files of a folder, to the disk."""
    for each in [path] if path.is_file() else path.iterdir():
        with each.open("rb") as file:
            os.fsync(file.fileno())
