"""Outputs that appear whole or not at all."""

import errno
import os
import re
import shutil
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from snerv_codec.errors import OutputError

FRAME_NAME = re.compile(r"frame_\d+\.png")  # of the files in a folder of frames
ATTEMPTS = 10
NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS, errno.EBADF)
NO_LINKS = (errno.EPERM, errno.EACCES, errno.EMLINK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)
TAKEN = "exists already; use `overwrite` to replace it"


def check_target(
    target: Path, *, overwrite: bool, folder: bool = False, source: str | os.PathLike[str] | None = None
) -> None:
    """Raise `OutputError` where `target`, a file or a `folder`, cannot or must not be written.

    `source` must be another file. Only a file replaces a file, and only a folder of frames a folder of frames. Of a
    link it is what it leads to that counts.
    """
    both_exist = source is not None and str(source) != "-" and target.exists() and Path(source).exists()
    if both_exist and os.path.samefile(target, str(source)):
        raise OutputError(f"{target}: is the input; choose another output")
    special = target.absolute().parent.as_posix() in ("/dev", "/dev/fd")  # where redirected output looks like a file
    if special or (target.exists() and not target.is_file() and not target.is_dir()):
        raise OutputError(f"{target}: is not a file but a pipe or a device; choose another output")
    taken = os.path.lexists(target)  # a link that leads nowhere is somebody's too
    if taken and not overwrite:
        raise OutputError(f"{target}: {TAKEN}")
    if target.is_dir() and not folder:
        raise OutputError(f"{target}: is not a file; choose another output")
    if target.exists() and folder and not (target.is_dir() and _holds_frames(target)):
        raise OutputError(f"{target}: is not a folder of frames alone, so it is not replaced; choose another output")
    parent = Path(os.path.realpath(target)).parent if target.is_symlink() else target.parent
    if not parent.is_dir():
        raise OutputError(f"{target}: there is no folder {parent}; create it first")
    if not os.access(parent, os.W_OK | os.X_OK):
        raise OutputError(f"{target}: no permission to write in {parent}")


@contextmanager
def atomic_path(target: Path, *, overwrite: bool, folder: bool = False) -> Iterator[Path]:
    """A path beside `target` to write a file to, or a new `folder` there, which gets its name at the end.

    On any error or interruption it is removed and `target` stays as it was; what a killed process left of it, the next
    one to write the same target removes. A link is written through. Raises `OutputError` where `check_target` does,
    where another process is writing the same target, or where the disk refuses.
    """
    check_target(target, overwrite=overwrite, folder=folder)
    place = Path(os.path.realpath(target))
    beside = place.with_name(f".{place.stem[:40]}.{zlib.crc32(os.fsencode(place.name)):08x}{place.suffix}")
    held: int | None = None
    try:
        held = _claim(target, beside, folder)
        check_target(target, overwrite=overwrite, folder=folder)  # whoever had the claim before may have written it
        yield beside
        _flush(beside)
        _publish(target, place, beside, overwrite, folder)
    except OSError as error:
        raise describe_os_error(target, error) from error
    except KeyboardInterrupt as stop:
        if held is not None and beside.exists():
            stop.add_note(f"{target} was not written")
        raise
    finally:
        if held is not None:
            _remove(beside)
            os.close(held)


def lock(descriptor: int) -> bool:
    """Take a file, or a folder, for this process until it is closed; false where the system knows no locks.

    Raises `BlockingIOError` where somebody else has it.
    """
    try:
        import fcntl

        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except ImportError:
        return False
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
        return False
    return True


def describe_os_error(target: str | Path, error: Exception) -> OutputError:
    """What the system (an `OSError`, or PyAV's error of the same shape) says of writing `target`, in one line."""
    reason = getattr(error, "strerror", None) or str(error)
    advice = "; free some space" if getattr(error, "errno", None) == errno.ENOSPC else ""
    return OutputError(f"{target}: cannot be written: {reason}{advice}")


def _claim(target: Path, beside: Path, folder: bool) -> int:
    """Make a file or a `folder` at `beside` and lock it, so that nobody else writes `target`; its descriptor."""
    for _ in range(ATTEMPTS):
        try:
            held = _create(beside, folder)
        except FileExistsError:
            _remove_abandoned(target, beside)
            continue
        with suppress(BlockingIOError):  # of one who takes it for abandoned, as it was not locked yet
            lock(held)
            if _lies_at(held, beside):
                return held
        os.close(held)
    raise _being_written(target)


def _create(beside: Path, folder: bool) -> int:
    if not folder:
        return os.open(beside, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
    beside.mkdir()
    return os.open(beside, os.O_RDONLY)


def _remove_abandoned(target: Path, beside: Path) -> None:
    """Remove what a killed process left. Raises `OutputError` where a living one holds it, or nobody can tell."""
    try:
        held = os.open(beside, os.O_NOFOLLOW | (os.O_RDONLY if beside.is_dir() else os.O_RDWR))
    except FileNotFoundError:  # its owner has just come to its end
        return
    try:
        if not lock(held):
            raise OutputError(f"{target}: is being written, or {beside} was left by a run that was killed: delete it")
        if _lies_at(held, beside):
            _remove(beside)
    except BlockingIOError:
        raise _being_written(target) from None
    finally:
        os.close(held)


def _being_written(target: Path) -> OutputError:
    return OutputError(f"{target}: another process is writing it; let it end, or choose another output")


def _lies_at(held: int, path: Path) -> bool:
    """Whether the file that is open is the one at `path`."""
    try:
        return os.path.samestat(os.fstat(held), os.lstat(path))
    except FileNotFoundError:
        return False


def _flush(path: Path) -> None:
    """Bring a file, or the files of a folder, to the disk."""
    for each in [path] if path.is_file() else path.iterdir():
        with each.open("rb") as file:
            os.fsync(file.fileno())


def _publish(target: Path, place: Path, beside: Path, overwrite: bool, folder: bool) -> None:
    """Give what lies at `beside` its name, `place`. Raises `OutputError` where that is another's by now."""
    try:
        if folder and place.is_dir():
            check_target(target, overwrite=overwrite, folder=True)
            _replace_folder(place, beside)
        elif folder or overwrite:
            os.replace(beside, place)
        else:
            _name(beside, place)
    except OSError as error:
        if error.errno in (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR):
            raise OutputError(f"{target}: {TAKEN}") from error
        raise


def _name(beside: Path, place: Path) -> None:
    """Give a file a name that must be free; where files cannot have two names, as far as that can be seen."""
    try:
        os.link(beside, place)
    except OSError as error:
        if error.errno not in NO_LINKS:
            raise
        if os.path.lexists(place):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST)) from None
        os.replace(beside, place)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _holds_frames(folder: Path) -> bool:
    """Whether it is a folder of files alone whose names are those of frames."""
    with os.scandir(folder) as entries:
        return all(entry.is_file(follow_symlinks=False) and FRAME_NAME.fullmatch(entry.name) for entry in entries)


def _replace_folder(old: Path, new: Path) -> None:
    aside = new.with_name(new.name + ".old")
    os.replace(old, aside)
    try:
        os.replace(new, old)
    except BaseException:
        os.replace(aside, old)
        raise
    shutil.rmtree(aside, ignore_errors=True)
