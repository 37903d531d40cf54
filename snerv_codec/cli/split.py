"""`snerv split`."""

from pathlib import Path

import click

from snerv_codec.cli.help import Command
from snerv_codec.cli.terminal import echo, printable


@click.command("split", cls=Command)
@click.argument("source", metavar="FILE.snrv", type=click.Path(path_type=Path))
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="Folder for the files.")
@click.option("-y", "--overwrite", is_flag=True, help="Replace files of the same names.")
def command(source: Path, output: Path, overwrite: bool) -> None:
    """Write each segment of FILE.snrv as a file of its own; nothing is fitted again."""
    from snerv_codec.splicing import split

    for path in split(source, output, overwrite=overwrite):
        echo(printable(f"{path}: {path.stat().st_size:,} bytes"))
