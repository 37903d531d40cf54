"""Several inputs in one command: where each one's output goes, and what happens when one fails."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import click

from snerv_codec.bitstream.errors import BitstreamError
from snerv_codec.errors import OutputError, UserError
from snerv_codec.events import Event, Warned

Job = tuple[str, Path]


def pair_up(sources: Sequence[str], output: str | None, suffix: str) -> list[Job]:
    """Each input with its output: `output` itself, a file in it where it is a folder, or one beside the input.

    Several inputs need a folder, which is made where there is none. Raises `click.UsageError` where an output has no
    name, two have the same, or all would go to what is named as a file.
    """
    if output == "-" and suffix == ".snrv":
        raise click.UsageError("A .snrv file does not go to standard output; give -o the name of a file.")
    require_name(output)
    if len(sources) == 1 and output is not None and not _names_folder(output):
        return [(sources[0], Path(output))]
    if "-" in sources:
        raise click.UsageError("What comes from standard input has no name; give -o the name of a file.")
    names = [_name(source) + suffix for source in sources]
    twice = next((name for name in names if names.count(name) > 1), None) if output is not None else None
    if twice is not None:
        raise click.UsageError(f"Two of the inputs would become {twice}; encode them one by one.")
    if output is None:
        return [(source, Path(source).parent / name) for source, name in zip(sources, names, strict=True)]
    folder = Path(output)
    if folder.suffix and not _names_folder(output):
        raise click.UsageError(f"Several inputs take a folder: {output} reads as a file; {output}/ is a folder.")
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder}: no folder for several outputs can be made: {error.strerror}") from error
    return [(source, folder / name) for source, name in zip(sources, names, strict=True)]


def require_name(output: str | None) -> None:
    """Raise `click.UsageError` for an output without a name, as of an empty variable in a script."""
    if output == "":
        raise click.UsageError("The output given with -o has no name.")


def for_each(jobs: Sequence[Job], work: Callable[[str, Path], None], on_event: Callable[[Event], None]) -> None:
    """Do the work for each job; where one of several fails, the others are done all the same.

    Raises the error of the only job, or at the end a `UserError` that counts those that failed.
    """
    failed = 0
    for job in jobs:
        try:
            work(*job)
        except (UserError, BitstreamError, OSError) as error:
            if len(jobs) == 1:
                raise
            failed += 1
            on_event(Warned(f"{error}; this one is left out"))
    if failed:
        raise UserError(f"{failed} of {len(jobs)} inputs failed; the warnings say why")


def _names_folder(output: str) -> bool:
    return output.endswith(("/", os.sep)) or os.path.isdir(output)


def _name(source: str) -> str:
    """The name of an input without its suffix; a folder's may hold dots."""
    path = Path(source)
    return path.resolve().name if path.is_dir() else path.stem
