"""`snerv report`: a page of one's own result."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from snerv_codec.cli.config import config_option
from snerv_codec.cli.help import Command
from snerv_codec.cli.progress import View, watched
from snerv_codec.cli.reference import compares, selection_of
from snerv_codec.runtime.files import check_target

if TYPE_CHECKING:
    from snerv_codec.codec import OnEvent
    from snerv_codec.settings import EncodeSettings


@click.command("report", cls=Command)
@click.argument("reference", metavar="INPUT", type=click.Path())
@click.argument("coded", metavar="FILE.snrv", type=click.Path(path_type=Path))
@click.option("-o", "--output", type=click.Path(path_type=Path), help="The page.  [default: FILE.html beside the file]")
@click.option("--rivals", is_flag=True, help="Encode the same frames with x264 and x265 too, at six qualities each.")
@compares("INPUT")
@click.option("-y", "--overwrite", is_flag=True, help="Replace the page.")
@config_option
@watched
def command(
    reference: str,
    coded: Path,
    output: Path | None,
    rivals: bool,
    device: str,
    vmaf: bool,
    overwrite: bool,
    **chosen: Any,
) -> None:
    """Make a page of what FILE.snrv became of INPUT, to open in a browser.

    Original and decoded under a slider, quality over time with the worst frames, and what the bytes went into. INPUT is
    what was encoded; a crop is seen from the file. The page is one file that needs no other and no network.
    """
    output = output or coded.with_suffix(".html")
    if reference == "-":
        raise click.UsageError("The page looks at INPUT more than once; give a file.")
    for source in (reference, coded):
        check_target(output, overwrite=overwrite, source=source)
    from snerv_codec.pages.result import write_page

    with View(as_json=False) as view:
        result = write_page(
            reference,
            coded,
            output,
            selection=selection_of(chosen),
            device=device,
            vmaf=vmaf,
            rivals=rivals,
            overwrite=overwrite,
            on_event=view,
        )
        view.done(f"{output}: open it in a browser", result.to_json())


def make_page(
    source: str | Path, coded: Path, settings: "EncodeSettings", overwrite: bool, on_event: "OnEvent"
) -> Path:
    """The page of an encode that has just ended, beside its file."""
    from snerv_codec.pages.result import write_page

    page = coded.with_suffix(".html")
    write_page(
        source,
        coded,
        page,
        selection=settings.source,
        device=settings.device,
        overwrite=overwrite,
        on_event=on_event,
    )
    return page
