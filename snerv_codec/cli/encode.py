"""`snerv encode`."""

import json
import sys
from fractions import Fraction
from pathlib import Path
from typing import Literal, get_args

import click

from bitstream import nnc
from bitstream.types import Model
from snerv_codec.cli import options
from snerv_codec.cli.progress import View, watched
from snerv_codec.cli.render import plan_rows, report_rows, table
from snerv_codec.cli.report import make_page
from snerv_codec.media.reader import Selection
from snerv_codec.media.sources import RAW
from snerv_codec.rate_control.targets import Target, TargetKind
from snerv_codec.runtime.files import check_target
from snerv_codec.runtime.precision import Precision
from snerv_codec.settings import EncodeSettings
from snerv_codec.training.settings import (
    PRESETS,
    Compile,
    FitSettings,
    OptimizerName,
    PresetName,
    RecipeName,
    ScheduleName,
)

FIT = FitSettings()


@click.command("encode")
@click.argument("source", metavar="INPUT")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="The .snrv file to write.")
@click.option("--size", help="Parameters, embeddings included: 350k, 0.35M.  [default: what the bytes take, or 3M]")
@click.option("--target-size", type=options.BYTES, help="Bytes of the file, sound included, at most: 1.2MB.")
@click.option("--target-bpp", type=float, help="The same in bits a pixel: 0.05.")
@click.option("--target-bitrate", type=options.BITRATE, help="The same in bits a second: 800k.")
@click.option("--target-psnr", type=float, help="Mean RGB PSNR of the frames in dB, at least: 34.")
@click.option("--target-vmaf", type=float, help="Mean VMAF of the frames, at least: 90. Needs the extra bench.")
@click.option(
    "--model",
    type=click.Choice(get_args(Model)),
    default="b",
    show_default=True,
    help="Backbone, or its temporal extension with 3D or 2D convolutions.",
)
@click.option(
    "--preset",
    type=click.Choice(list(PRESETS)),
    default="default",
    show_default=True,
    help="Optimiser and epochs: " + "; ".join(f"{name}, {preset.about}" for name, preset in PRESETS.items()) + ".",
)
@click.option("--epochs", type=int, help="Passes over the video.  [default: the preset's]")
@click.option("--optimizer", type=click.Choice(get_args(OptimizerName)), help="What learns.  [default: the preset's]")
@click.option("--batch", default=FIT.batch, show_default=True, help="Frames a step.")
@click.option("--lr", default=FIT.learning_rate, show_default=True, help="Peak learning rate.")
@click.option(
    "--schedule",
    type=click.Choice(get_args(ScheduleName)),
    help="How the learning rate falls.  [default: the preset's]",
)
@click.option("--alpha", default=FIT.alpha, show_default=True, help="Weight of L1 against SSIM in the loss.")
@click.option("--seed", default=FIT.seed, show_default=True, help="Seed of the fit.")
@click.option(
    "--recipe",
    type=click.Choice(get_args(RecipeName)),
    help="What follows the fit: paper prunes and rounds, hinerv trains with rounding, rd for the fewest bits."
    "  [default: rd with a target, else paper]",
)
@click.option("--prune", type=float, help="Share of the decoder's weights to drop.  [default: the recipe's]")
@click.option("--prune-epochs", type=int, help="Epochs of fine-tuning after pruning.  [default: the recipe's]")
@click.option("--grid-epochs", type=int, help="Epochs on the file's grids (hinerv, rd).  [default: the recipe's]")
@click.option("--rate-weight", default=FIT.rate_weight, show_default=True, help="Loss a bit a value costs (rd).")
@click.option("--weight-bits", type=int, help="Bits of a weight before entropy coding.  [default: the recipe's]")
@click.option("--embed-bits", type=int, help="Bits of an embedding value.  [default: the recipe's]")
@click.option(
    "--entropy",
    type=click.Choice(["range", "nnc"]),
    default="range",
    show_default=True,
    help="Coder of the weights; nnc is ISO/IEC 15938-17 and needs the extra of that name, to decode too.",
)
@click.option("--qp", default=nnc.DEFAULT_QP, show_default=True, help="Step of the weights with --entropy nnc.")
@click.option(
    "--rounding",
    type=click.Choice(["plain", "rdo"]),
    default="plain",
    show_default=True,
    help="How --recipe paper rounds; rdo takes fewer bits where frames do not feel it.",
)
@click.option("--channels", type=int, help="Width C0 of the decoder, instead of the one --size gives.")
@click.option("--blocks", type=int, help="Residual blocks N_RB, instead of those --size gives.")
@click.option("--strides", type=options.STRIDES, help="Up-sampling strides, instead of the best for the frame.")
@click.option(
    "--temporal-size",
    type=options.TEMPORAL_SIZE,
    help="Height x width of temporal embeddings (t, t2d), instead of those --size gives.",
)
@click.option("--crop", type=options.CROP, help="Centre crop, height x width: 640x1280.")
@click.option("--frames", type=options.FRAMES, help="Frames A to B - 1: 0:33, 10:, :100.")
@click.option(
    "--holdout", type=click.Choice(["even"]), help="Leave out every second frame; decode --rate 2x inserts it."
)
@click.option(
    "--mask", type=click.Path(path_type=Path), help="PNG, folder of PNGs or video: what is white gets filled in."
)
@click.option("--stream", type=int, help="Which of several video streams, from 0.")
@click.option("--fps", type=options.RATE, help="Rate of a folder of images or of raw video.")
@click.option("--video-size", type=options.VIDEO_SIZE, help="Width x height of raw .yuv.")
@click.option("--pix-fmt", help="Pixel format of raw .yuv.  [default: yuv420p]")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")
@click.option(
    "--precision",
    type=click.Choice([name for name in get_args(Precision) if name != "float16"]),
    default=FIT.precision,
    show_default=True,
    help="auto: TF32 on a GPU, else float32.",
)
@click.option(
    "--compile",
    "compilation",
    type=click.Choice(get_args(Compile)),
    default=FIT.compile,
    show_default=True,
    help="A training step as a CUDA graph (auto, graph), by torch.compile too (full), or neither.",
)
@click.option("--resume", is_flag=True, help="Go on with an interrupted run with the same settings.")
@click.option("--overwrite", is_flag=True, help="Replace the output, and drop an interrupted run.")
@click.option("--dry-run", is_flag=True, help="Show the plan and stop.")
@click.option("--report", "page", is_flag=True, help="Make a page of the result too, as `snerv report` does.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line instead of text.")
@watched
def command(
    source: str,
    output: Path | None,
    size: str | None,
    target_size: float | None,
    target_bpp: float | None,
    target_bitrate: float | None,
    target_psnr: float | None,
    target_vmaf: float | None,
    model: Model,
    preset: PresetName,
    epochs: int | None,
    optimizer: OptimizerName | None,
    batch: int,
    lr: float,
    schedule: ScheduleName | None,
    alpha: float,
    seed: int,
    recipe: RecipeName | None,
    prune: float | None,
    prune_epochs: int | None,
    grid_epochs: int | None,
    rate_weight: float,
    weight_bits: int | None,
    embed_bits: int | None,
    entropy: Literal["range", "nnc"],
    qp: int,
    rounding: Literal["plain", "rdo"],
    channels: int | None,
    blocks: int | None,
    strides: tuple[int, ...] | None,
    temporal_size: tuple[int, int] | None,
    crop: tuple[int, int] | None,
    frames: tuple[int, int | None] | None,
    holdout: Literal["even"] | None,
    mask: Path | None,
    stream: int | None,
    fps: Fraction | None,
    video_size: tuple[int, int] | None,
    pix_fmt: str | None,
    device: str,
    precision: Precision,
    compilation: Compile,
    resume: bool,
    overwrite: bool,
    dry_run: bool,
    page: bool,
    as_json: bool,
) -> None:
    """Fit a model to INPUT and write it as a .snrv file.

    INPUT is a video, "-" for y4m on standard input, a folder of PNG or JPEG frames, or raw .yuv.
    """
    wishes: dict[TargetKind, float | None] = {
        "size": target_size,
        "bpp": target_bpp,
        "bitrate": target_bitrate,
        "psnr": target_psnr,
        "vmaf": target_vmaf,
    }
    targets = [Target(kind, value) for kind, value in wishes.items() if value is not None]
    if len(targets) > 1:
        raise click.UsageError(f"Only one of {', '.join(f'--target-{kind}' for kind in wishes)} can be met.")
    if (video_size or pix_fmt) and Path(source).suffix.lower() not in RAW:
        raise click.UsageError(f"--video-size and --pix-fmt are for raw samples ({', '.join(RAW)}).")
    settings = EncodeSettings(
        target=targets[0] if targets else None,
        size=size,
        model=model,
        channels=channels,
        blocks=blocks,
        strides=strides,
        temporal_size=temporal_size,
        entropy=entropy,
        qp=qp,
        rounding=rounding,
        device=device,
        holdout=holdout,
        mask=mask,
        fit=FitSettings.preset(
            preset,
            epochs=epochs,
            optimizer=optimizer,
            batch=batch,
            learning_rate=lr,
            schedule=schedule,
            alpha=alpha,
            seed=seed,
            recipe=recipe or ("rd" if targets else FIT.recipe),
            prune=prune,
            prune_epochs=prune_epochs,
            grid_epochs=grid_epochs,
            rate_weight=rate_weight,
            weight_bits=weight_bits,
            embed_bits=embed_bits,
            precision=precision,
            compile=compilation,
        ),
        source=Selection(stream=stream, crop=crop, frames=frames, rate=fps, video_size=video_size, pix_fmt=pix_fmt),
    )
    if dry_run:
        from snerv_codec.encoding import planning

        plan = planning.plan(source, settings)
        click.echo(json.dumps(plan.to_json()) if as_json else table(plan_rows(plan), sys.stdout))
        return
    if output is None:
        raise click.UsageError("Missing option '-o' / '--output'.")
    if str(output) == "-":
        raise click.UsageError("A .snrv file does not go to standard output; give -o the name of a file.")
    if page and (source == "-" or holdout or mask):
        raise click.UsageError(
            "--report looks at the whole input again: give a file, and neither --holdout nor --mask."
        )
    if page:
        check_target(output.with_suffix(".html"), overwrite=overwrite, source=source)
    from snerv_codec import codec

    with View(as_json=as_json) as view:
        report = codec.encode(source, output, settings, overwrite=overwrite, resume=resume, on_event=view)
        if page:
            make_page(source, output, settings, overwrite, view)
        view.done(report_rows(report), report.to_json())
