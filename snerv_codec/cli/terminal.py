"""Text on its way to a terminal: nothing in it moves the terminal, and nobody needs to be there to read it."""

import json
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import chain, islice
from typing import Any

import click

from snerv_codec.runtime.files import describe_os_error

AT_ONCE = 10_000  # pieces of JSON that are written together
OTHER_NAMES = {"rate": "fps"}  # of settings whose options are called otherwise


def with_flags(message: str) -> str:
    """A message of the library, with the options of the command line in place of its settings: `pix_fmt`, `vmaf`=False.

    These become --pix-fmt and --no-vmaf.
    """

    def flag(found: re.Match[str]) -> str:
        name = OTHER_NAMES.get(found[1], found[1]).replace("_", "-")
        return f"--no-{name}" if found[2] else f"--{name}"

    return re.sub(r"`([a-z_]+)`(=False)?", flag, message)


def printable(text: str) -> str:
    """`text` in one line, with escapes such as \\x1b in place of all that is not shown as itself.

    Names of files, summaries and languages are a stranger's: sequences in them could clear the screen, set its title,
    or forge a line.
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def echo(text: str, *, err: bool = False) -> None:
    """Print lines on standard output, or on standard error; none where its reader is gone.

    Raises `OutputError` where they cannot be written for another reason.
    """
    with _maybe_unread(err=err):
        click.echo("\n".join(map(printable, text.split("\n"))), err=err)


def echo_json(values: dict[str, Any]) -> None:
    """Print a JSON object in one line, piece by piece: the text of a long film is large. Raises as `echo` does."""
    # It is ASCII, with escapes for all that is not shown as itself.
    pieces = chain(json.JSONEncoder().iterencode(values), "\n")
    with _maybe_unread(err=False):
        while some := "".join(islice(pieces, AT_ONCE)):
            click.echo(some, nl=False)


@contextmanager
def _maybe_unread(*, err: bool) -> Iterator[None]:
    """Write to a reader who may be gone, which is no error; another one is raised as `OutputError`."""
    try:
        yield
    except OSError as error:
        with suppress(OSError, ValueError):  # the rest goes nowhere, Python's own flush at the end too
            os.dup2(os.open(os.devnull, os.O_WRONLY), (sys.stderr if err else sys.stdout).fileno())
        if not isinstance(error, BrokenPipeError):
            raise describe_os_error("standard error" if err else "standard output", error) from error
