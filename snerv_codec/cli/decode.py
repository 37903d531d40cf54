"""`snerv decode`."""

from pathlib import Path
from typing import get_args

import click

from snerv_codec.cli import options
from snerv_codec.cli.progress import View, watched
from snerv_codec.runtime.precision import Precision


@click.command("decode")
@click.argument("source", metavar="FILE.snrv", type=click.Path(path_type=Path))
@click.option("-o", "--output", required=True, help=".mp4, .mov, .mkv, .y4m, a folder for PNGs, or - for y4m.")
@click.option("--frames", type=options.FRAMES, help="Frames A to B - 1 only: 0:33, 10:, :100.")
@click.option("--rate", type=options.MULTIPLE, default=1, help="2x, 3x ...: interpolate that many frames for one.")
@click.option("--crf", type=int, help="H.264 quality of .mp4 and .mov, lower is better.  [default: visually lossless]")
@click.option("--preset", help="H.264 preset of .mp4 and .mov: ultrafast ... veryslow.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")
@click.option("--batch", type=int, help="Frames computed at once on a GPU.")
@click.option(
    "--precision",
    type=click.Choice(get_args(Precision)),
    default="auto",
    show_default=True,
    help="auto: 16 bits on a GPU where no pixel changes by more than 1, else float32.",
)
@click.option("--overwrite", is_flag=True, help="Replace the output.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line instead of text.")
@watched
def command(
    source: Path,
    output: str,
    frames: tuple[int, int | None] | None,
    rate: int,
    crf: int | None,
    preset: str | None,
    device: str,
    batch: int | None,
    precision: Precision,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Turn FILE.snrv back into a video, with its sound and subtitles where the output can hold them.

    .mp4 and .mov are H.264, .mkv is FFV1 (lossless); .y4m, folders of PNGs and "-" have no sound.
    """
    from snerv_codec import codec

    to_stdout = output == "-"
    with View(as_json=as_json and not to_stdout) as view:
        report = codec.decode(
            source,
            output,
            frames=frames,
            rate=rate,
            crf=crf,
            preset=preset,
            device=device,
            batch=batch,
            precision=precision,
            overwrite=overwrite,
            on_event=view,
        )
        if not to_stdout:
            speed = report.frames / max(report.seconds, 1e-9)
            text = f"{report.output}: {report.frames} frames in {report.seconds:.1f} s ({speed:.1f} frames/s)"
            view.done(text, report.to_json())
