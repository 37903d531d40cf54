"""The manual page, made of what the commands' help says: `python -m snerv_codec.cli.manual > docs/snerv.1`."""

import inspect
from collections.abc import Iterator

import click

from snerv_codec.cli.group import COMMANDS, cli
from snerv_codec.cli.help import ALL, Command, Option

EXIT_CODES = {"0": "all went well", "1": "something failed", "2": "the command line is wrong", "130": "interrupted"}


def manual() -> str:
    """The whole page in roff, as `man` reads it."""
    context = click.Context(cli, info_name="snerv", **cli.context_settings)
    lines = ['.TH SNERV 1 "" "snerv-codec" "User Commands"', ".SH NAME", _text(f"snerv - {cli.help}")]
    lines += [".SH SYNOPSIS", r".B snerv", r"[\-\-debug] \fICOMMAND\fR [\fIOPTION\fR]... [\fIARGUMENT\fR]..."]
    lines += [".SH COMMANDS", *(line for name in COMMANDS for line in _command(context, name))]
    lines += [".SH EXIT STATUS", *(line for code, words in EXIT_CODES.items() for line in _entry(code, words))]
    return "\n".join(lines) + "\n"


def _command(parent: click.Context, name: str) -> Iterator[str]:
    command = cli.get_command(parent, name)
    assert command is not None
    context = click.Context(command, info_name=name, parent=parent)
    context.meta[ALL] = True
    usage = " ".join(command.collect_usage_pieces(context))
    yield f".SS {_text(f'snerv {name} {usage}')}"
    for paragraph in inspect.cleandoc(command.help or "").split("\n\n"):
        yield from (_text(" ".join(paragraph.split())), ".PP")
    heading = ""
    for option in command.get_params(context):
        record = option.get_help_record(context) if isinstance(option, click.Option) else None
        if record is None:
            continue
        if isinstance(option, Option) and option.heading != heading:
            heading = option.heading
            yield from (".PP", rf"\fB{_text(heading)}\fR")
        yield from _entry(*record)
    if isinstance(command, Command) and command.examples:
        yield from (".PP", r"\fBExamples\fR", *(line for example in command.examples for line in _entry(*example)))


def _entry(term: str, words: str) -> Iterator[str]:
    yield from (".TP", rf"\fB{_text(term)}\fR", _text(words))


def _text(words: str) -> str:
    """Plain words in roff: hyphens that stay hyphens, backslashes and leading dots that mean nothing."""
    escaped = " ".join(words.split()).replace("\\", r"\e").replace("-", r"\-").replace("'", r"\(aq")
    return rf"\&{escaped}" if escaped.startswith(".") else escaped


if __name__ == "__main__":
    click.echo(manual(), nl=False)
