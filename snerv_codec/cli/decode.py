"""`snerv decode`."""

from pathlib import Path
from typing import Literal, get_args

import click

from snerv_codec.cli import options
from snerv_codec.cli.config import config_option
from snerv_codec.cli.help import Command, option, section
from snerv_codec.cli.jobs import for_each, pair_up, require_name
from snerv_codec.cli.progress import View, watched
from snerv_codec.runtime.precision import Precision

EXAMPLES = (
    ("snerv decode out.snrv", "to out.decoded.mp4, H.264, visually lossless"),
    ("snerv decode out.snrv -o again.mkv", "FFV1: exactly the decoded RGB"),
    ("snerv decode out.snrv -o frames", "a folder of PNGs"),
    ("snerv decode out.snrv -o one.png --frames 7", "one picture"),
    ("snerv decode out.snrv -o - | mpv -", "y4m on standard output"),
    ("snerv decode *.snrv -o decoded/", "each to an .mp4 of its own"),
)

OUTPUT = section(
    "Output",
    option(
        "-o",
        "--output",
        help=".mp4, .mov, .mkv, .y4m, .png, a folder for PNGs, or - for y4m; for several files a folder."
        "  [default: FILE.decoded.mp4]",
    ),
    option("-y", "--overwrite", is_flag=True, help="Replace the output."),
    option("--frames", type=options.FRAMES, help="Frames A to B - 1 only: 0:33, 10:, :100; or one: 7."),
    option("--rate", type=options.MULTIPLE, default=1, help="2x, 3x ...: interpolate that many frames for one."),
    option("--no-audio", "audio", flag_value=False, default=True, help="Leave the sound out."),
    option("--no-subtitles", "subtitles", flag_value=False, default=True, help="Leave subtitles out."),
    option("--crf", type=int, help="H.264 quality of .mp4 and .mov, lower is better.  [default: visually lossless]"),
    option("--preset", help="H.264 preset of .mp4 and .mov: ultrafast ... veryslow."),
    option("--json", "as_json", is_flag=True, help="One JSON object a line instead of text."),
    config_option,
)
MACHINE = section(
    "Machine",
    option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N."),
    option(
        "--workers",
        type=options.WORKERS,
        default=1,
        show_default=True,
        help="How many compute frames side by side; auto: one a GPU, or a core.",
    ),
    option("--batch", type=int, help="Frames computed at once on a GPU."),
    option(
        "--precision",
        type=click.Choice(get_args(Precision)),
        default="auto",
        show_default=True,
        help="auto: 16 bits on a GPU where no pixel changes by more than 1, else float32.",
    ),
)


@click.command("decode", cls=Command, examples=EXAMPLES)
@click.argument("sources", metavar="FILE.snrv...", nargs=-1, required=True, type=click.Path())
@OUTPUT
@MACHINE
@watched
def command(
    sources: tuple[str, ...],
    output: str | None,
    overwrite: bool,
    frames: tuple[int, int | None] | None,
    rate: int,
    audio: bool,
    subtitles: bool,
    crf: int | None,
    preset: str | None,
    as_json: bool,
    device: str,
    workers: int | Literal["auto"],
    batch: int | None,
    precision: Precision,
) -> None:
    """Turn FILE.snrv back into a video, with its sound and subtitles where the output can hold them.

    .mp4 and .mov are H.264, .mkv is FFV1 (lossless); .y4m, PNGs and "-" have no sound.
    """
    from snerv_codec import codec

    require_name(output)
    if output is not None and len(sources) == 1:
        jobs = [(sources[0], Path(output))]  # a folder is one of PNGs
    else:
        jobs = pair_up(sources, output, ".mp4" if output else ".decoded.mp4")
    to_stdout = output == "-"
    with View(as_json=as_json and not to_stdout) as view:

        def work(source: str, target: Path) -> None:
            report = codec.decode(
                source,
                target,
                frames=frames,
                rate=rate,
                audio=audio,
                subtitles=subtitles,
                crf=crf,
                preset=preset,
                device=device,
                workers=workers,
                batch=batch,
                precision=precision,
                overwrite=overwrite,
                on_event=view,
            )
            if not to_stdout:
                speed = report.frames / max(report.seconds, 1e-9)
                text = f"{report.output}: {report.frames} frames in {report.seconds:.1f} s ({speed:.1f} frames/s)"
                view.done(text, report.to_json())

        for_each(jobs, work, view)
