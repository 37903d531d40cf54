"""The group of commands, each in a module of its own."""

import importlib

import click

from snerv_codec.cli.help import SETTINGS
from snerv_codec.cli.terminal import echo

COMMANDS = {
    "encode": "Fit a model to a video and write it as a .snrv file.",
    "decode": "Turn a .snrv file back into a video.",
    "info": "Tell what a .snrv file holds.",
    "eval": "Measure a distorted video against its reference: PSNR, SSIM, MS-SSIM, VMAF.",
    "report": "Make a page of a result: pictures under a slider, quality over time, bytes.",
    "join": "Show several .snrv files one after the other, as one file.",
    "split": "Write each segment of a .snrv file as a file of its own.",
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


@click.group(cls=LazyGroup, context_settings=SETTINGS)
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
    echo(f"snerv {__version__}")
    echo(f"Python {platform.python_version()}, torch {torch.__version__}, PyAV {av.__version__}, {device}{name}")
    context.exit()
