"""What commands that hold a result against its original ask of that: which part of it, and how it is read."""

from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any

from snerv_codec.cli import options
from snerv_codec.cli.help import option, section
from snerv_codec.media.source import Selection

NAMES = {field.name for field in fields(Selection)}


def compares(name: str) -> Callable[[Any], Any]:
    """Give a command the options, in which the original is called `name`; it takes them as keywords (`selection_of`).

    `device` and `vmaf` are among them.
    """
    return section(
        "",
        option("--frames", type=options.FRAMES, help=f"Frames A to B - 1 of {name} alone: 0:33, 10:, :100."),
        option("--stream", type=int, help=f"Which of several video streams of {name}, from 0 as in ffmpeg."),
        option("--deinterlace", is_flag=True, help=f"Make whole frames of {name} that is interlaced, as encode does."),
        option("--fps", "rate", type=options.RATE, help="Rate of images or raw video; changes no figure."),
        option("--video-size", type=options.VIDEO_SIZE, help=f"Width x height of {name} if it is raw .yuv."),
        option("--pix-fmt", help="Pixel format of raw .yuv.  [default: yuv420p]"),
        option("--device", default="auto", show_default=True, help="For .snrv files: auto, cpu, cuda or cuda:N."),
        option("--no-vmaf", "vmaf", flag_value=False, default=True, help="Leave VMAF out."),
    )


def selection_of(chosen: Mapping[str, Any]) -> Selection:
    """What the options, by their names, select of the original; those of others are passed over."""
    return Selection(**{name: value for name, value in chosen.items() if name in NAMES})
