"""Outputs that appear whole or not at all."""

import errno
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from snerv_codec.errors import OutputError

FRAME_NAME = re.compile(r"frame_\d+\.png")  # of the files in a folder of frames


def check_target(
    target: Path, *, overwrite: bool, folder: bool = False, source: str | os.PathLike[str] | None = None
) -> None:
    """Raise `OutputError` where `target`, a file or a `folder`, cannot or must not be written.

    `source` must be another file. Only a file replaces a file, and only a folder of frames a folder of frames.
    """
    both_exist = source is not None and str(source) != "-" and target.exists() and Path(source).exists()
    if both_exist and os.path.samefile(target, str(source)):
        raise OutputError(f"{target}: is the input; choose another output")
    taken = os.path.lexists(target)  # a link that leads nowhere is somebody's too
    if taken and not overwrite:
        raise OutputError(f"{target}: exists already; use --overwrite to replace it")
    if taken and not folder and not target.is_file():
        raise OutputError(f"{target}: is not a file; choose another output")
    if taken and folder and not _holds_frames(target):
        raise OutputError(f"{target}: is not a folder of frames alone, so it is not replaced; choose another output")
    parent = target.parent
    if not parent.is_dir():
        raise OutputError(f"{target}: there is no folder {parent}; create it first")
    if not os.access(parent, os.W_OK | os.X_OK):
        raise OutputError(f"{target}: no permission to write in {parent}")


@contextmanager
def atomic_path(target: Path, *, overwrite: bool, folder: bool = False) -> Iterator[Path]:
    """A path beside `target` to write a file to, or a new `folder` there; renamed to `target` at the end.

    On any error or interruption it is removed and `target` stays as it was. Raises `OutputError` where
    `check_target` does, or where the disk refuses.
    """
    check_target(target, overwrite=overwrite, folder=folder)
    place = Path(os.path.abspath(target))
    beside = place.with_name(f".{place.stem[:40]}.{secrets.token_hex(4)}{place.suffix}")
    try:
        if folder:
            beside.mkdir()
        yield beside
        _flush(beside)
        if place.is_dir():
            _replace_folder(place, beside)
        else:
            os.replace(beside, place)
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


def _holds_frames(folder: Path) -> bool:
    return folder.is_dir() and all(FRAME_NAME.fullmatch(path.name) for path in folder.iterdir())


def _replace_folder(old: Path, new: Path) -> None:
    aside = new.with_name(new.name + ".old")
    os.replace(old, aside)
    try:
        os.replace(new, old)
    except BaseException:
        os.replace(aside, old)
        raise
    shutil.rmtree(aside, ignore_errors=True)
