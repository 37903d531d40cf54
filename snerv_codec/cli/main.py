"""`snerv` as a process: how errors and signals become one line and an exit code.

All else is imported late, so that Ctrl-C finds somebody who answers from the start.
"""

import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from types import FrameType
from typing import NoReturn

EXIT_FAILURE, EXIT_USAGE, EXIT_SIGNAL = 1, 2, 128  # the last one plus the signal's number


class Stopped(KeyboardInterrupt):
    """Somebody asked the process to end, by a signal that is handled like Ctrl-C."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


def main(argv: Sequence[str] | None = None) -> int:
    """Run `snerv` with `argv` (default: the process's) and return its exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in arguments
    try:
        return _run([argument for argument in arguments if argument != "--debug"])
    except BrokenPipeError:
        return EXIT_FAILURE  # whoever read our output is gone
    except KeyboardInterrupt as stop:
        return _interrupted(stop)
    except Exception as error:
        if debug:
            raise
        return _fail(_describe(error), EXIT_FAILURE)


def _run(arguments: list[str]) -> int:
    """The command; raises what goes wrong with it, other than the command line."""
    import click

    from snerv_codec.cli.group import cli

    try:
        result = cli.main(arguments, prog_name="snerv", standalone_mode=False)
        return result if isinstance(result, int) else 0
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return EXIT_USAGE
    except click.UsageError as error:
        command = error.ctx.command_path if error.ctx else "snerv"
        return _fail(f"{error.format_message().rstrip('.')}; see {command} --help", EXIT_USAGE)
    except click.Abort as error:  # what click makes of Ctrl-C
        raise error.__cause__ or KeyboardInterrupt from None


def _describe(error: Exception) -> str:
    """One line for the user."""
    import click

    from snerv_codec.bitstream.errors import BitstreamError
    from snerv_codec.errors import UserError
    from snerv_codec.runtime.machine import is_out_of_memory

    if isinstance(error, UserError | BitstreamError | click.ClickException):
        return str(error)
    if is_out_of_memory(error):
        return "out of memory; let other programs end, or use a machine with more"
    if isinstance(error, OSError):
        import errno

        name = f"{error.filename}: " if error.filename else ""
        advice = "; free some space" if error.errno == errno.ENOSPC else ""
        return f"{name}{error.strerror or error}{advice}"
    return f"unexpected {type(error).__name__}: {error}; --debug shows where"


def _interrupted(stop: KeyboardInterrupt) -> int:
    """Those who had work in hand left notes of what has become of it."""
    message = "; ".join(["interrupted", *getattr(stop, "__notes__", ())])
    return _fail(message, EXIT_SIGNAL + getattr(stop, "number", signal.SIGINT))


def _fail(message: str, code: int) -> int:
    from snerv_codec.cli.terminal import echo, printable, with_flags
    from snerv_codec.errors import OutputError

    with suppress(OutputError):  # the terminal may be gone
        echo(f"snerv: error: {printable(with_flags(' '.join(message.split())))}", err=True)
    return code


def run() -> NoReturn:
    """Entry point of the `snerv` command."""
    for name in ("SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is signal.SIG_DFL:  # else the caller has it ignored
            signal.signal(number, _stop)
    _fill_standard_streams()
    try:
        from snerv_codec.runtime.machine import let_waiting_threads_rest

        let_waiting_threads_rest()
        code = main()
    except KeyboardInterrupt as stop:  # while the first one was being told
        code = EXIT_SIGNAL + getattr(stop, "number", signal.SIGINT)
    if code > EXIT_SIGNAL:
        _die(code - EXIT_SIGNAL)
    sys.exit(code)


def _stop(number: int, frame: FrameType | None) -> NoReturn:
    raise Stopped(number)


def _die(number: int) -> None:
    """End by the signal, which is how a shell knows that its loop is meant too; without waiting for threads."""
    with suppress(OSError, ValueError):
        sys.stdout.flush()
        sys.stderr.flush()
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)


def _fill_standard_streams() -> None:
    """Open what the caller closed: else the first file we write gets its number, and what libraries print."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)


if __name__ == "__main__":
    run()
