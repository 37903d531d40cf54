"""`snerv verify`."""

from pathlib import Path

import click

from snerv_codec.bitstream.container import StreamFile
from snerv_codec.cli.help import Command
from snerv_codec.cli.progress import View, watched
from snerv_codec.cli.terminal import echo, echo_json, printable
from snerv_codec.errors import UserError


@click.command("verify", cls=Command)
@click.argument("source", metavar="FILE.snrv", type=click.Path(path_type=Path))
@click.option("--decode", "decode_too", is_flag=True, help="Decode every frame and compare its checksum too.")
@click.option("--device", default="auto", show_default=True, help="For --decode: auto, cpu, cuda or cuda:N.")
@click.option("--json", "as_json", is_flag=True, help="A JSON object instead of text.")
@watched
def command(source: Path, decode_too: bool, device: str, as_json: bool) -> None:
    """Check every checksum of FILE.snrv; with --decode, those of the decoded frames too."""
    with StreamFile(source) as file:
        file.verify()
        frames = file.header.video.frame_count
    result = {"file": str(source), "frames": frames, "sections": "intact", "frame_checksums": "not checked"}
    differing: list[int] = []
    if decode_too:
        from snerv_codec import codec

        with View(as_json=as_json) as view:
            differing = codec.differing_frames(source, device=device, on_event=view)
        result["frame_checksums"] = f"{len(differing)} differ" if differing else "equal"
    if as_json:
        echo_json({**result, "differing_frames": differing})
    else:
        checked = f"sections {result['sections']}; frame checksums {result['frame_checksums']}"
        echo(printable(f"{source}: {checked}"))
    if differing:
        raise UserError(
            f"{source}: {len(differing)} of {frames} frames differ from those its encoder saw, the first is "
            f"{differing[0]}; the file is intact: another device rounds differently, by 1 code value at most"
        )
