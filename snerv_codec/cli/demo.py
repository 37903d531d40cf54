"""`snerv demo`: the main job on a real clip, with a picture to look at."""

from importlib.resources import as_file, files
from pathlib import Path

import click
import numpy as np

from snerv_codec.cli.render import View, show_report

CLIP_SIZE, CLIP_EPOCHS = "300k", 40
AMPLIFY = 4


@click.command("demo")
@click.argument("source", metavar="[INPUT]", required=False)
@click.option("--size", help=f"Parameters.  [default: {CLIP_SIZE} for the clip of the package, else 1M]")
@click.option("--epochs", type=int, help=f"Passes over the video.  [default: {CLIP_EPOCHS} for the clip, else 100]")
@click.option("--output", default="demo-out", show_default=True, type=click.Path(path_type=Path), help="A folder.")
def command(source: str | None, size: str | None, epochs: int | None, output: Path) -> None:
    """Encode INPUT (or a clip of Big Buck Bunny), decode it, and show what became of it."""
    if source is not None:
        _run(Path(source), output, size or "1M", epochs or 100)
        return
    with as_file(files("snerv_codec") / "demo" / "bunny.mp4") as clip:
        _run(clip, output, size or CLIP_SIZE, epochs or CLIP_EPOCHS)


def _run(source: Path, folder: Path, size: str, epochs: int) -> None:
    from snerv_codec import codec
    from snerv_codec.settings import EncodeSettings
    from snerv_codec.training.settings import FitSettings

    folder.mkdir(parents=True, exist_ok=True)
    coded, decoded, picture = (folder / f"{source.stem}{suffix}" for suffix in (".snrv", ".decoded.mp4", ".png"))
    settings = EncodeSettings(size=size, fit=FitSettings.preset("default", epochs=epochs))
    with View(as_json=False) as view:
        report = codec.encode(source, coded, settings, overwrite=True, on_event=view)
        codec.decode(coded, decoded, overwrite=True, on_event=view)
    _compare(source, coded, picture)
    click.echo(show_report(report))
    click.echo(f"  video  {decoded}\npicture  {picture} (original, decoded, difference x{AMPLIFY})")


def _compare(source: Path, coded: Path, picture: Path) -> None:
    """Write the middle frame as it was, as it is decoded, and their difference around grey, side by side."""
    from snerv_codec.decoding import Decoder
    from snerv_codec.media.reader import Selection, read_video
    from snerv_codec.media.writer import write_image

    with Decoder(coded) as decoder:
        middle = len(decoder) // 2
        after = decoder[middle]
    before = read_video(source, Selection(frames=(middle, middle + 1))).frames[0]
    difference = AMPLIFY * (after.astype(np.int32) - before) + 128
    parts = (before, after, difference.clip(0, 255).astype(np.uint8))
    write_image(picture, np.concatenate(parts, axis=1))
