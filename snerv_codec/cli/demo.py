"""`snerv demo`: the main job on a real clip, with a picture to look at."""

import itertools
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.resources import as_file, files
from pathlib import Path

import click
import numpy as np

from snerv_codec.cli.help import Command
from snerv_codec.cli.progress import View, watched
from snerv_codec.cli.render import report_rows
from snerv_codec.cli.report import make_page
from snerv_codec.runtime.files import check_target

CLIP_SIZE, CLIP_EPOCHS = "300k", 40
AMPLIFY = 4
FOLDER = "demo-out"


@click.command("demo", cls=Command)
@click.argument("source", metavar="[INPUT]", required=False, type=click.Path())
@click.option("--size", help=f"Parameters.  [default: {CLIP_SIZE} for the clip of the package, else 1M]")
@click.option("--epochs", type=int, help=f"Passes over the video.  [default: {CLIP_EPOCHS} for the clip, else 100]")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    help=f"A folder.  [default: a new one, {FOLDER}, {FOLDER}-2 ...]",
)
@click.option("-y", "--overwrite", is_flag=True, help="Replace what an earlier demo left in --output.")
@watched
def command(source: str | None, size: str | None, epochs: int | None, output: Path | None, overwrite: bool) -> None:
    """Encode INPUT (or a clip of Big Buck Bunny), decode it, and show what became of it."""
    if source == "-":
        raise click.UsageError("The demo looks at its input twice; give it a file.")
    folder = output or _new_folder()
    if source is not None:
        _run(Path(source), folder, size or "1M", epochs or 100, overwrite)
        return
    with as_file(files("snerv_codec") / "demo" / "bunny.mp4") as clip:
        _run(clip, folder, size or CLIP_SIZE, epochs or CLIP_EPOCHS, overwrite)


def _new_folder() -> Path:
    """The first of demo-out, demo-out-2, ... that is not there yet: a demo may be run as often as one likes."""
    names = itertools.chain([FOLDER], (f"{FOLDER}-{number}" for number in itertools.count(2)))
    return next(path for name in names if not (path := Path(name)).exists())


def _run(source: Path, folder: Path, size: str, epochs: int, overwrite: bool) -> None:
    from snerv_codec import codec
    from snerv_codec.settings import EncodeSettings

    coded, decoded, picture = (folder / f"{source.stem}{suffix}" for suffix in (".snrv", ".decoded.mp4", ".png"))
    page = coded.with_suffix(".html")
    if folder.exists():
        for each in (coded, decoded, picture, page):  # all of them before the work starts
            check_target(each, overwrite=overwrite, source=source)
    folder.mkdir(parents=True, exist_ok=True)
    settings = EncodeSettings.of(size=size, epochs=epochs)
    with _kept_if_used(folder), View(as_json=False) as view:
        report = codec.encode(source, coded, settings, overwrite=overwrite, on_event=view)
        codec.decode(coded, decoded, overwrite=overwrite, on_event=view)
        make_page(source, coded, settings, overwrite, view)
        _compare(source, coded, picture, overwrite)
        made = {
            "video": str(decoded),
            "picture": f"{picture} (original, decoded, difference x{AMPLIFY})",
            "page": f"{page} (open it in a browser)",
        }
        view.done({**report_rows(report), **made}, report.to_json())


@contextmanager
def _kept_if_used(folder: Path) -> Iterator[None]:
    """Remove the folder where an error leaves nothing in it."""
    try:
        yield
    except BaseException:
        with suppress(OSError):
            folder.rmdir()
        raise


def _compare(source: Path, coded: Path, picture: Path, overwrite: bool) -> None:
    """Write the middle frame as it was, as it is decoded, and their difference around grey, side by side."""
    from snerv_codec.decoding import Decoder
    from snerv_codec.media.reader import read_video
    from snerv_codec.media.source import Selection
    from snerv_codec.media.writer import write_image

    with Decoder(coded) as decoder:
        middle = len(decoder) // 2
        after = decoder[middle]
    before = read_video(source, Selection(frames=(middle, middle + 1))).frames[0]
    difference = AMPLIFY * (after.astype(np.int32) - before) + 128
    parts = (before, after, difference.clip(0, 255).astype(np.uint8))
    write_image(picture, np.concatenate(parts, axis=1), overwrite=overwrite)
