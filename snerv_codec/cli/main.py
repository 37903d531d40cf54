"""`snerv`: the group of commands, and how errors become one line and an exit code."""

import errno
import importlib
import os
import signal
import sys
from collections.abc import Sequence

import click

from snerv_codec.bitstream.errors import BitstreamError
from snerv_codec.errors import UserError
from snerv_codec.runtime.machine import let_waiting_threads_rest

EXIT_FAILURE, EXIT_USAGE, EXIT_INTERRUPTED = 1, 2, 130

COMMANDS = {
    "encode": "Fit a model to a video and write it as a .snrv file.",
    "decode": "Turn a .snrv file back into a video.",
    "info": "Tell what a .snrv file holds.",
    "eval": "Measure a distorted video against its reference: PSNR, SSIM, MS-SSIM, VMAF.",
    "report": "Make a page of a result: pictures under a slider, quality over time, bytes.",
    "verify": "Check a .snrv file for damage.",
    "demo": "Encode and decode a clip and show the result.",
    "completion": "Print what a shell needs to complete commands, options and files.",
}


class LazyGroup(click.Group):
    """Commands are imported when used, so that help and `info` do not wait for torch."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(f"snerv_codec.cli.{name}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=lambda context, _, wanted: _show_version(context) if wanted else None,
    help="Show the versions of snerv and of what it runs on.",
)
@click.option("--debug", is_flag=True, help="Show a traceback when something goes wrong.")
def cli(debug: bool) -> None:
    """SNeRV: a neural video codec that fits a small network to one video and stores it as the file."""


def _show_version(context: click.Context) -> None:
    import platform

    import av
    import torch

    from snerv_codec import __version__
    from snerv_codec.runtime.machine import choose_device

    device = choose_device("auto")
    name = f" ({torch.cuda.get_device_name(device)})" if device.type == "cuda" else ""
    click.echo(f"snerv {__version__}")
    click.echo(f"Python {platform.python_version()}, torch {torch.__version__}, PyAV {av.__version__}, {device}{name}")
    context.exit()


def main(argv: Sequence[str] | None = None) -> int:
    """Run `snerv` with `argv` (default: the process's) and return its exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in arguments
    try:
        result = cli.main([a for a in arguments if a != "--debug"], prog_name="snerv", standalone_mode=False)
        return result if isinstance(result, int) else 0
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return EXIT_USAGE
    except click.UsageError as error:
        command = error.ctx.command_path if error.ctx else "snerv"
        return _fail(f"{error.format_message().rstrip('.')}; see {command} --help", EXIT_USAGE)
    except (KeyboardInterrupt, click.Abort):
        advice = "; --resume goes on from the last epoch" if "encode" in arguments else ""
        return _fail(f"interrupted: no output was written{advice}", EXIT_INTERRUPTED)
    except BrokenPipeError:
        return EXIT_FAILURE  # whoever read our output is gone
    except Exception as error:
        if debug:
            raise
        return _fail(_describe(error), EXIT_FAILURE)


def _describe(error: Exception) -> str:
    """One line for the user."""
    if isinstance(error, UserError | BitstreamError | click.ClickException):
        return str(error)
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return "out of memory; lower --size or --batch, or crop the video (--crop, --frames)"
    if isinstance(error, OSError):
        name = f"{error.filename}: " if error.filename else ""
        advice = "; free some space" if error.errno == errno.ENOSPC else ""
        return f"{name}{error.strerror or error}{advice}"
    return f"unexpected {type(error).__name__}: {error}; --debug shows where"


def _fail(message: str, code: int) -> int:
    click.echo(f"snerv: error: {' '.join(message.split())}", err=True)
    return code


def run() -> None:
    """Entry point of the `snerv` command. Being asked to end is like Ctrl-C: nothing half-written stays."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    let_waiting_threads_rest()
    _fill_standard_streams()
    sys.exit(main())


def _fill_standard_streams() -> None:
    """Open what the caller closed: else the first file we write gets its number, and what libraries print."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)


if __name__ == "__main__":
    run()
