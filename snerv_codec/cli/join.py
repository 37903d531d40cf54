"""`snerv join`."""

from pathlib import Path

import click

from snerv_codec.cli.help import Command
from snerv_codec.cli.progress import View, watched
from snerv_codec.cli.terminal import echo, printable


@click.command("join", cls=Command)
@click.argument("sources", metavar="FILE.snrv...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="The .snrv file to write.")
@click.option("-y", "--overwrite", is_flag=True, help="Replace the output.")
@watched
def command(sources: tuple[Path, ...], output: Path, overwrite: bool) -> None:
    """Join FILE.snrv... to one file that shows one after the other; nothing is fitted again."""
    from snerv_codec.splicing import join

    with View(as_json=False) as view:
        join(sources, output, overwrite=overwrite, on_event=view)
    echo(printable(f"{output}: {len(sources)} files, {output.stat().st_size:,} bytes"))
