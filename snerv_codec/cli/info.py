"""`snerv info`: without torch, so that it answers at once."""

import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from snerv_codec.bitstream.container import StreamHeader, read_header
from snerv_codec.bitstream.models import DecoderConfig, UnknownModel
from snerv_codec.cli.help import Command
from snerv_codec.cli.render import show_decoder, table
from snerv_codec.cli.terminal import echo, echo_json
from snerv_codec.evaluation.metrics import bits_per_pixel, bits_per_second

MANY, LONG = 12, 80  # tags or chapters, and characters of one, that people want to see


@click.command("info", cls=Command)
@click.argument("source", metavar="FILE.snrv", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="A JSON object instead of text.")
def command(source: Path, as_json: bool) -> None:
    """Tell what FILE.snrv holds.

    Frames and tracks are counted from 0, as ffmpeg counts them; segments from 1, as progress does.
    """
    values = _describe(source, read_header(source))
    if as_json:
        echo_json(values)
    else:
        echo(_render(values))


def _describe(source: Path, header: StreamHeader) -> dict[str, Any]:
    video = header.video
    return {
        "file": str(source),
        "bytes": header.file_size,
        "version": "{}.{}".format(*header.version),
        "width": video.width,
        "height": video.height,
        "frames": video.frame_count,
        "rate": str(video.rate),
        "duration": float(video.duration),
        "pixel_aspect": str(video.pixel_aspect),
        "scan": video.scan,
        "source_bit_depth": video.bit_depth,
        "source_chroma": video.chroma,
        "color": asdict(video.color),
        "bpp": bits_per_pixel(header.file_size, video.width, video.height, video.frame_count),
        "bitrate": bits_per_second(header.file_size, video.duration),
        "summary": header.summary,
        "segments": [
            {
                "first_frame": entry.first_frame,
                "frames": entry.frame_count,
                "bytes": entry.length,
                "tensors": entry.tensor_count,
                "values": entry.value_count,
                **_describe_decoder(entry.config),
            }
            for entry in header.segments
        ],
        "tracks": [
            asdict(track)
            | {"time_base": str(track.time_base), "duration": float(track.duration), "tags": dict(track.tags)}
            for track in header.tracks
        ],
        "tags": dict(header.extras.tags),
        "chapters": [
            {"start": chapter.start / 1e9, "end": chapter.end / 1e9, "title": chapter.title}
            for chapter in header.extras.chapters
        ],
        "mastering": None if header.extras.mastering is None else asdict(header.extras.mastering),
        "light": None if header.extras.light is None else asdict(header.extras.light),
        "damage": list(header.damage),
        "sections": [{"type": section.name, "bytes": section.end - section.offset} for section in header.sections],
    }


def _describe_decoder(config: DecoderConfig | UnknownModel) -> dict[str, Any]:
    if isinstance(config, UnknownModel):
        return {"model": None, "model_number": config.number}
    return asdict(config)


def _render(values: dict[str, Any]) -> str:
    rows = {
        "file": f"{values['file']}: {values['bytes']:,} bytes, version {values['version']}",
        "video": f"{values['width']}x{values['height']}, {values['frames']} frames at {values['rate']} fps, "
        f"{values['duration']:.3f} s"
        + (f", interlaced, {values['scan']} field first" if values["scan"] != "progressive" else ""),
        "rate": f"{values['bpp']:.4f} bpp, {values['bitrate'] / 1e3:.0f} kbit/s",
        "source": f"{values['source_bit_depth']}-bit {values['source_chroma']}, colour "
        + "/".join(str(values["color"][key]) for key in ("primaries", "transfer", "matrix")),
    }
    for number, segment in enumerate(values["segments"], start=1):
        rows[f"segment {number}"] = (
            f"frames {segment['first_frame']}..{segment['first_frame'] + segment['frames'] - 1}, "
            f"{segment['bytes']:,} bytes, {segment['values']:,} values; {show_decoder(segment)}"
        )
    for number, track in enumerate(values["tracks"]):
        language = f" ({track['language']})" if track["language"] else ""
        title = f", {_short(track['tags']['title'])}" if "title" in track["tags"] else ""
        roles = "".join(f", {role.replace('_', ' ')}" for role in track["roles"])
        rows[f"track {number}"] = f"{track['kind']}, {track['codec']}{language}{title}{roles}"
    rows |= _render_extras(values)
    if values["damage"]:
        rows["damaged"] = "; ".join(values["damage"])
    if values["summary"]:
        rows["made by"] = values["summary"]
    return table(rows, sys.stdout)


def _render_extras(values: dict[str, Any]) -> dict[str, str]:
    """Rows of what goes with the video beside its tracks."""
    rows = {}
    if values["tags"]:
        rows["tags"] = _some([f"{name}: {_short(value)}" for name, value in values["tags"].items()])
    if values["chapters"]:
        rows["chapters"] = _some([f"{each['start']:.3f} s {_short(each['title'])}" for each in values["chapters"]])
    if values["mastering"] or values["light"]:
        rows["HDR"] = " and ".join(
            text for key, text in (("mastering", "mastering display"), ("light", "light levels")) if values[key]
        )
    attached = [section["bytes"] for section in values["sections"] if section["type"] == "atch"]
    if attached:
        rows["attachments"] = f"{len(attached)}, {sum(attached):,} bytes"
    return rows


def _some(texts: list[str]) -> str:
    return ", ".join(texts[:MANY]) + (f" and {len(texts) - MANY} more (--json)" if len(texts) > MANY else "")


def _short(text: str) -> str:
    return text if len(text) <= LONG else text[:LONG] + " ..."
