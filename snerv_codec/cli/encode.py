"""`snerv encode`."""

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, get_args

import click

from snerv_codec.bitstream import nnc
from snerv_codec.bitstream.models import LAYOUTS
from snerv_codec.cli import options
from snerv_codec.cli.config import config_option
from snerv_codec.cli.help import Command, option, section
from snerv_codec.cli.jobs import for_each, pair_up
from snerv_codec.cli.progress import View, watched
from snerv_codec.cli.render import duration, larger, plan_rows, report_rows, table
from snerv_codec.cli.report import make_page
from snerv_codec.cli.terminal import echo, echo_json
from snerv_codec.errors import SettingsError
from snerv_codec.events import Event, Planned, Warned
from snerv_codec.media.container import RAW
from snerv_codec.report import Plan
from snerv_codec.runtime.files import check_target
from snerv_codec.runtime.precision import Precision
from snerv_codec.settings import AUTO, TARGETS, EncodeSettings
from snerv_codec.training.settings import (
    PRESETS,
    Compile,
    FitSettings,
    OptimizerName,
    RecipeName,
    ScheduleName,
    TuneName,
)

FIT = FitSettings()
HOURS = 3600.0  # seconds of a fit that nobody starts by mistake
EXAMPLES = (
    ("snerv encode in.mp4 --size 1M", "a million parameters, to in.snrv"),
    ("snerv encode in.mp4 -o out.snrv --target-psnr 34", "as few bytes as that quality takes"),
    ("snerv encode in.mp4 --target-size 1.2MB --report", "so many bytes, and a page to look at"),
    ("snerv encode in.mp4 --size 1M --dry-run", "what it will take and give"),
    ("snerv encode frames/ --fps 30 -o out.snrv", "a folder of PNG or JPEG frames"),
    ("snerv encode *.mp4 -o coded/", "each to a file of its own"),
)

OUTPUT = section(
    "Output",
    option(
        "-o",
        "--output",
        help="The .snrv file, or a folder for several inputs.  [default: beside the input]",
    ),
    option("-y", "--overwrite", is_flag=True, help="Replace the output, and drop an interrupted run."),
    option("--resume", is_flag=True, help="Go on with an interrupted run with the same settings."),
    option("--force", is_flag=True, help="Encode although the file gets larger than the input, or takes hours."),
    option("--dry-run", is_flag=True, help="Show the plan and stop."),
    option("--report", "page", is_flag=True, help="Make a page of the result too, as `snerv report` does."),
    option("--json", "as_json", is_flag=True, help="One JSON object a line instead of text."),
    config_option,
)
SIZE = section(
    "How big, or how good",
    option(
        "--size", help="Parameters, embeddings included: 350k, 0.35M.  [default: what suits the target or the video]"
    ),
    option("--target-size", type=options.BYTES, help="Bytes of the file, sound included, at most: 1.2MB."),
    option("--target-bpp", type=float, help="The same in bits a pixel: 0.05."),
    option("--target-bitrate", type=options.BITRATE, help="The same in bits a second: 800k."),
    option("--target-psnr", type=float, help="Mean RGB PSNR of the frames in dB, at least: 34."),
    option("--target-vmaf", type=float, help="Mean VMAF of the frames, at least: 90. Needs the extra vmaf."),
    option("--min-psnr", type=float, help="Beside these two, PSNR of the worst segment in dB, at least: 31."),
    option("--tune", type=click.Choice(get_args(TuneName)), help="Fit for this metric.  [default: a balance]"),
)
TIME = section(
    "How long",
    option(
        "--preset",
        type=click.Choice(list(PRESETS)),
        default="default",
        show_default=True,
        help="Optimiser and epochs: " + "; ".join(f"{name}, {preset.about}" for name, preset in PRESETS.items()) + ".",
    ),
    option("--epochs", type=int, help="Passes over the video.  [default: the preset's]"),
)
PART = section(
    "What part of the input",
    option("--crop", type=options.CROP, help="Centre crop, height x width: 640x1280."),
    option("--frames", type=options.FRAMES, help="Frames A to B - 1: 0:33, 10:, :100; or one: 7."),
    option("--stream", type=int, help="Which of several video streams, from 0 as in ffmpeg."),
    option("--deinterlace", is_flag=True, help="Make whole frames of interlaced ones, by FFmpeg's bwdif."),
    option("--no-audio", "audio", flag_value=False, default=True, help="Leave the sound out."),
    option("--no-subtitles", "subtitles", flag_value=False, default=True, help="Leave subtitles out."),
    option("--no-attachments", "attachments", flag_value=False, default=True, help="Leave fonts and covers out."),
    option(
        "--segment",
        default="auto",
        show_default=True,
        help="Which frames share a network: so many (900), some seconds (30s), all (none), or what memory allows, from "
        "scene to scene (auto).",
    ),
    option(
        "--chain",
        type=int,
        default=1,
        show_default=True,
        help="So many segments in a row start with the network of the one before: better after few epochs, but fitted "
        "one after the other. At a new scene a chain breaks.",
    ),
    option("--mask", type=click.Path(path_type=Path), help="PNG, folder of PNGs or video: white gets filled in."),
    option("--holdout", type=click.Choice(["even"]), help="Leave out every second frame; decode --rate 2x inserts it."),
)
RAW_INPUT = section(
    "Raw input and folders of images",
    option("--fps", "rate", type=options.RATE, help="Frames a second: 25, 29.97 or 30000/1001.  [default: 25]"),
    option("--video-size", type=options.VIDEO_SIZE, help="Width x height of raw .yuv."),
    option("--pix-fmt", help="Pixel format of raw .yuv.  [default: yuv420p]"),
)
MACHINE = section(
    "Machine",
    option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N."),
    option(
        "--workers",
        type=options.WORKERS,
        default=1,
        show_default=True,
        help="Processes that fit segments side by side; auto: one a GPU, or a core.",
    ),
    option(
        "--ray",
        metavar="ADDRESS",
        help="Fit segments on a Ray cluster; local: one of this machine. Extra ray. The plan's time is without it.",
    ),
    option(
        "--precision",
        type=click.Choice([name for name in get_args(Precision) if name != "float16"]),
        default=FIT.precision,
        show_default=True,
        help="auto: TF32 on a GPU, else float32.",
    ),
    option(
        "--compile",
        type=click.Choice(get_args(Compile)),
        default=FIT.compile,
        show_default=True,
        help="A training step as a CUDA graph (auto, graph), by torch.compile too (full), or neither.",
    ),
)
RESEARCH = section(
    "Research",
    option("--model", type=click.Choice([AUTO, *LAYOUTS]), default=AUTO, show_default=True, help=options.MODEL_HELP),
    option("--recipe", type=click.Choice(get_args(RecipeName)), help=options.RECIPE_HELP),
    option("--optimizer", type=click.Choice(get_args(OptimizerName)), help="What learns.  [default: the preset's]"),
    option("--batch", default=FIT.batch, show_default=True, help="Frames a step."),
    option("--lr", "learning_rate", default=FIT.learning_rate, show_default=True, help="Peak learning rate."),
    option(
        "--schedule",
        type=click.Choice(get_args(ScheduleName)),
        help="How the learning rate falls.  [default: the preset's]",
    ),
    option("--alpha", type=float, help="Weight of L1 against SSIM in the loss.  [default: 0.7, or what --tune has]"),
    option("--seed", default=FIT.seed, show_default=True, help="Seed of the fit."),
    option("--prune", type=float, help="Share of the decoder's weights to drop.  [default: the recipe's]"),
    option("--prune-epochs", type=int, help="Epochs of fine-tuning after pruning.  [default: the recipe's]"),
    option("--grid-epochs", type=int, help="Epochs on the file's grids (hinerv, rd).  [default: the recipe's]"),
    option("--rate-weight", type=float, help="Weight of bits a value in the loss (rd).  [default: the model's]"),
    option("--weight-bits", type=int, help="Bits of a weight before entropy coding.  [default: the recipe's]"),
    option("--embed-bits", type=int, help="Bits of an embedding value.  [default: the recipe's]"),
    option(
        "--entropy",
        type=click.Choice(["range", "nnc"]),
        default="range",
        show_default=True,
        help="Coder of the weights; nnc is ISO/IEC 15938-17 and needs the extra of that name, to decode too.",
    ),
    option("--qp", default=nnc.DEFAULT_QP, show_default=True, help="Step of the weights with --entropy nnc."),
    option(
        "--rounding",
        type=click.Choice(["plain", "rdo"]),
        default="plain",
        show_default=True,
        help="How --recipe paper rounds; rdo takes fewer bits where frames do not feel it.",
    ),
    option("--channels", type=int, help="Width C0 of the decoder, instead of the one --size gives."),
    option("--blocks", type=int, help="Residual blocks N_RB, instead of those --size gives."),
    option("--strides", type=options.STRIDES, help="Up-sampling strides, instead of the best for the frame."),
    option("--embedding", type=options.EMBEDDING, help="Channels x height x width of a frame's embedding: 8x4x8."),
    option("--temporal-size", type=options.TEMPORAL_SIZE, help=options.TEMPORAL_HELP),
    research=True,
)


@click.command("encode", cls=Command, examples=EXAMPLES)
@click.argument("sources", metavar="INPUT...", nargs=-1, required=True, type=click.Path())
@OUTPUT
@SIZE
@TIME
@PART
@RAW_INPUT
@MACHINE
@watched
@RESEARCH
def command(
    sources: tuple[str, ...],
    output: str | None,
    overwrite: bool,
    resume: bool,
    force: bool,
    dry_run: bool,
    page: bool,
    as_json: bool,
    workers: int | Literal["auto"],
    ray: str | None,
    **chosen: Any,
) -> None:
    """Fit a model to INPUT and write it as a .snrv file.

    INPUT is a video, "-" for y4m on standard input, a folder of PNG or JPEG frames, or raw .yuv.
    """
    if (chosen["video_size"] or chosen["pix_fmt"]) and any(Path(s).suffix.lower() not in RAW for s in sources):
        raise click.UsageError(f"--video-size and --pix-fmt are for raw samples ({', '.join(RAW)}).")
    settings = settings_of(chosen)
    if dry_run:
        _show_plans(sources, settings, workers, as_json)
        return
    if page and ("-" in sources or settings.holdout or settings.mask):
        raise click.UsageError(
            "--report looks at the whole input again: give a file, and neither --holdout nor --mask."
        )
    jobs = pair_up(sources, output, ".snrv")
    if page:
        for source, target in jobs:
            check_target(target.with_suffix(".html"), overwrite=overwrite, source=source)
    from snerv_codec import codec

    with View(as_json=as_json) as view:

        def watch(event: Event) -> None:
            view(event)
            if isinstance(event, Planned) and not force:
                think_twice(event.plan, view)

        def work(source: str, target: Path) -> None:
            places: dict[str, Any] = {"workers": workers, "ray": ray}
            report = codec.encode(
                source, target, settings, overwrite=overwrite, resume=resume, on_event=watch, **places
            )
            rows, values = report_rows(report), {**report.to_json(), "page": None}
            if page:
                made = make_page(source, target, settings, overwrite, view)
                rows, values = {**rows, "page": f"{made}: open it in a browser"}, {**values, "page": str(made)}
            view.done(rows, values)

        for_each(jobs, work, view)


def settings_of(chosen: Mapping[str, Any]) -> EncodeSettings:
    """The settings that the options, by the names of the fields they fill, stand for."""
    if sum(chosen[name] is not None for name in TARGETS) > 1:
        raise click.UsageError(f"Only one of {', '.join(f'--target-{kind}' for kind in TARGETS.values())} can be met.")
    return EncodeSettings.of(**chosen)


def think_twice(plan: Plan, on_event: Callable[[Event], None]) -> None:
    """Where a plan is hardly what was meant: raise `SettingsError` at a terminal, warn programs and scripts."""
    doubts = []
    if plan.predicted_share is not None and plan.predicted_share > 1:
        doubts.append(f"the file is predicted {larger(plan)}; lower --size")
    if not (plan.size_given or plan.target_given) and plan.predicted_seconds > HOURS:
        doubts.append(
            f"this takes about {duration(plan.predicted_seconds)}; --size, --epochs or --preset fast take less"
        )
    if not doubts:
        return
    if sys.stderr is not None and sys.stderr.isatty():
        raise SettingsError(f"{'; '.join(doubts)}, or encode it all the same with --force")
    on_event(Warned("; ".join(doubts)))


def _show_plans(
    sources: tuple[str, ...], settings: EncodeSettings, workers: int | Literal["auto"], as_json: bool
) -> None:
    from snerv_codec.encoding import planning

    for source in sources:
        with View(as_json=False) as view:  # warnings go to standard error
            plan = planning.plan(source, settings, workers=workers, on_event=view)
        if as_json:
            echo_json(plan.to_json())
        else:
            echo(table(plan_rows(plan), sys.stdout))
