"""How plans and results look to people."""

from collections.abc import Callable, Mapping
from typing import IO, Any

from snerv_codec.cli.terminal import printable
from snerv_codec.evaluation.metrics import Quality
from snerv_codec.report import EncodeReport, Plan

TWICE = 2.0  # times as large, from where on that is told in times

Rows = Mapping[str, str]  # names and values, in order


def plan_rows(plan: Plan) -> Rows:
    """The plan, to be shown as a table."""
    rows = {
        "input": f"{plan.source}: {plan.frames} frames of {plan.width}x{plan.height}, {plan.rate} fps",
        "decoder": f"{show_decoder(plan.to_json())}, padding {plan.padding:.1%}",
        "parameters": f"{plan.total_parameters:,} = {plan.decoder_parameters:,} decoder + "
        f"{plan.embedding_parameters:,} embeddings (encoder, not stored: {plan.encoder_parameters:,})",
        **({"segments": _segments(plan)} if len(plan.segments) > 1 else {}),
        "arithmetic": f"{plan.decoder_macs / 1e9:.2f} GMAC a frame to decode, "
        f"{(plan.decoder_macs + plan.encoder_macs) * 6 / 1e9:.1f} GFLOP a frame and epoch to fit",
        "memory": f"{size(plan.video_memory)} video + {size(plan.fitting_memory)} fitting on {plan.device}; "
        f"{size(plan.decoding_memory)} to decode",
        "predicted": f"about {size(plan.predicted_bytes)} on disk{_share(plan)}, after about "
        f"{duration(plan.predicted_seconds)} on {plan.device} ({plan.epochs} epochs, recipe {plan.recipe})",
    }
    if not (plan.size_given or plan.target_given):
        rows["size"] = f"{plan.total_parameters:,} parameters suit so many pixels; --size or a --target- says otherwise"
    return rows


def _segments(plan: Plan) -> str:
    """How many, and about what each gets of parameters and bytes: by its frames."""
    lengths = [frames for _, frames in plan.segments]

    def each(total: int, show: Callable[[int], str]) -> str:
        least, most = (show(total * frames // plan.frames) for frames in (min(lengths), max(lengths)))
        return least if least == most else f"{least} to {most}"

    frames, parameters = each(plan.frames, "{:,}".format), each(plan.total_parameters, "{:,}".format)
    gets = f"about {parameters} parameters and {each(plan.predicted_bytes - plan.track_bytes, size)}"
    return f"{len(lengths)} of {frames} frames, {gets} each; the decoder above is the longest one's"


def _share(plan: Plan) -> str:
    if plan.predicted_share is None:
        return ""
    if plan.predicted_share < TWICE:
        return f", {plan.predicted_share:.1%} of {_compared(plan)}"
    return f", {plan.predicted_share:.1f} times {_compared(plan)}"


def larger(plan: Plan) -> str:
    """By how much the file is to be larger than what it is made of, which it is: "3 % larger than ..."."""
    share = plan.predicted_share or 1.0
    if share < TWICE:
        return f"{max(share - 1, 0.01):.0%} larger than {_compared(plan)}"
    return f"{share:.1f} times as large as {_compared(plan)}"


def _compared(plan: Plan) -> str:
    """What a file's size is held against."""
    whole = size(plan.input_bytes or 0)
    if plan.selected_bytes == plan.input_bytes:
        return f"the input's {whole}"
    return f"the {size(plan.selected_bytes or 0)} or so that the selected part takes of the input's {whole}"


def report_rows(report: EncodeReport) -> Rows:
    """The result, to be shown as a table."""
    quality, between = report.quality, report.interpolated
    where = "" if report.known == 1 else f", over the {report.known:.1%} of pixels that are known"
    changes = {"pruning": report.pruned_psnr - report.fitted_psnr, "quantisation": quality.psnr - report.pruned_psnr}
    changed = ", ".join(f"{gain(name, change)}" for name, change in changes.items())
    rows = {
        "file": f"{report.output}: {report.bytes_total:,} bytes, {report.bpp:.4f} bpp, "
        f"{report.bitrate / 1e3:.0f} kbit/s",
        "of which": f"{report.bytes_tracks:,} bytes of sound and subtitles",
        "quality": f"{show_quality(quality)} (RGB, decoded from the file{where})",
        **({"between": f"{show_quality(between)} (frames left out, interpolated)"} if between else {}),
        **({} if report.estimated_bytes is not None else {"changed": changed}),
        "time": f"{report.seconds_total:.1f} s, of which fitting {report.seconds_fitting:.1f} s; "
        f"decoding {report.frames / max(report.seconds_decoding, 1e-9):.1f} frames/s",
    }
    if report.target is not None and report.reached is not None:
        worst = "" if report.worst_psnr is None else f", the worst segment {report.worst_psnr:.2f} dB"
        rows["target"] = f"{report.target}; reached {report.reached:.2f}{worst}"
    if report.estimated_bytes is not None:
        gap = report.bytes_symbols / report.estimated_bytes - 1
        rows["rate"] = f"{report.bytes_symbols:,} bytes of symbols, {gap:+.2%} off the estimate of the training"
    return rows


def gain(cause: str, change: float) -> str:
    """What a cause did to the PSNR, in dB, in words: "pruning lost 0.020 dB"."""
    return f"{cause} {'gained' if change > 0 else 'lost'} {abs(change):.3f} dB"


def show_quality(quality: Quality) -> str:
    """Means over frames in one line."""
    similarity = "" if quality.ms_ssim is None else f", MS-SSIM {quality.ms_ssim:.4f}"
    return f"PSNR {quality.psnr:.2f} dB{similarity}"


def show_decoder(config: Mapping[str, Any]) -> str:
    """The fields of a `DecoderConfig`, by name, in one line."""
    if config["model"] is None:
        return f"unknown model {config['model_number']}; a newer version of snerv may know it"
    shapes = [config["embedding_shape"], *([config["temporal_shape"]] * 2 if config["temporal_shape"] else [])]
    canvas = "" if not config["canvas"] else ", canvas {1} after block {0}".format(*config["canvas"])
    canvas += f", one for each of {len(config['scenes']) + 1} scenes" if config["scenes"] else ""
    return (
        f"model {config['model']}, C0 {config['widths'][0]}, N_RB {config['blocks']}, "
        f"strides {','.join(map(str, config['strides']))}, "
        f"embedding {' + '.join('x'.join(map(str, shape)) for shape in shapes)}{canvas}"
    )


def table(rows: Rows, stream: IO[str] | None = None) -> str:
    """Lines of "name  value", values aligned; wrapped to its width where they go to a terminal, else a line a row."""
    from io import StringIO

    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    grid = Table.grid(padding=(0, 2))
    grid.add_column(justify="right", no_wrap=True)
    grid.add_column(overflow="fold")
    shown = {name: printable(value) for name, value in rows.items()}
    for name, value in shown.items():
        grid.add_row(Text(name), Text(value))
    widest = max(map(len, shown)) + 2 + max(map(len, shown.values()))
    on_terminal = stream is not None and stream.isatty()
    width = min(Console(file=stream).width, widest) if on_terminal else widest
    text = StringIO()
    Console(file=text, width=width, color_system=None).print(grid)
    return "\n".join(line.rstrip() for line in text.getvalue().splitlines())


def duration(seconds: float) -> str:
    """A time in the unit that fits: "40 s", "12 min", "3.5 h"."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 100 * 60 else f"{seconds / 3600:.1f} h"


def size(count: float) -> str:
    """Bytes for people: 512 bytes, 3.1 MB."""
    for unit in ("bytes", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "bytes" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} GB"
