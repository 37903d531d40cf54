"""`snerv eval`."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from snerv_codec.cli import options
from snerv_codec.cli.config import config_option
from snerv_codec.cli.help import Command
from snerv_codec.cli.progress import View, watched
from snerv_codec.cli.reference import compares, selection_of
from snerv_codec.cli.render import table
from snerv_codec.cli.terminal import echo, echo_json
from snerv_codec.runtime.files import check_target

if TYPE_CHECKING:
    from snerv_codec.evaluation.evaluate import Evaluation


@click.command("eval", cls=Command)
@click.argument("reference", metavar="REFERENCE", type=click.Path())
@click.argument("distorted", metavar="DISTORTED", type=click.Path())
@click.option("--crop", type=options.CROP, help="Centre crop of REFERENCE, height x width: 640x1280.")
@compares("REFERENCE")
@click.option("--csv", "csv_file", type=click.Path(path_type=Path), help="Write a line a frame to this file.")
@click.option("-y", "--overwrite", is_flag=True, help="Replace the file of --csv.")
@click.option("--json", "as_json", is_flag=True, help="A JSON object, frames included, instead of text.")
@config_option
@watched
def command(
    reference: str,
    distorted: str,
    device: str,
    vmaf: bool,
    csv_file: Path | None,
    overwrite: bool,
    as_json: bool,
    **chosen: Any,
) -> None:
    """Measure DISTORTED against REFERENCE, frame by frame.

    Each is a video, a .snrv file, a folder of PNG or JPEG frames, raw .yuv, or "-" for y4m on standard input.
    --crop and --frames select from REFERENCE alone, as in `snerv encode`; the crop of a .snrv file is seen from it.
    """
    if csv_file is not None:
        for source in (reference, distorted):
            check_target(csv_file, overwrite=overwrite, source=source)
    from snerv_codec.evaluation.evaluate import evaluate

    with View(as_json=False) as view:
        result = evaluate(reference, distorted, selection=selection_of(chosen), device=device, vmaf=vmaf, on_event=view)
    if csv_file is not None:
        result.write_csv(csv_file, overwrite=overwrite)
    if as_json:
        echo_json(result.to_json())
    else:
        echo(_render(result))


def _render(result: "Evaluation") -> str:
    mean = result.summary
    height, width = result.source_size
    centre = "" if (width, height) == (result.width, result.height) else f", the centre of {width}x{height}"
    rows = {"video": f"{result.distorted}: {result.frames} frames of {result.width}x{result.height}{centre}"}
    if result.bytes is not None and result.bpp is not None:
        rows["rate"] = f"{result.bytes:,} bytes, {result.bpp:.4f} bpp"
    if result.video_bytes is not None and result.video_bpp is not None:
        rows["of which"] = f"{result.video_bytes:,} bytes, {result.video_bpp:.4f} bpp for the video without sound"
    rows["PSNR"] = f"{mean['psnr']:.3f} dB RGB, mean of frames; {mean['psnr_of_mean_mse']:.3f} dB of the mean error"
    planes = ", ".join(f"{name.upper()} {mean[f'psnr_{name}']:.3f}" for name in "yuv")
    rows["PSNR YUV"] = f"{mean['psnr_yuv']:.3f} dB (6Y+U+V)/8; {planes} ({result.matrix}, 4:2:0)"
    rows["SSIM"] = f"{mean['ssim']:.5f} (RGB)"
    if "ms_ssim" in mean:
        rows["MS-SSIM"] = f"{mean['ms_ssim']:.5f} (RGB)"
    if "vmaf" in mean:
        rows["VMAF"] = (
            f"{mean['vmaf']:.3f} mean, {mean['vmaf_harmonic']:.3f} harmonic, {mean['vmaf_low']:.3f} 1 % low "
            f"({result.vmaf_model}, libvmaf {result.vmaf_version})"
        )
    return table(rows, sys.stdout)
