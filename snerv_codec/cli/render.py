"""How progress and results look: bars and tables for people, one JSON object a line for programs."""

import itertools
import json
import sys
from collections.abc import Mapping
from types import TracebackType
from typing import Any

import click

from snerv_codec.events import EpochDone, Event, FrameDone, Planned, Warned
from snerv_codec.report import EncodeReport, Plan, Quality

LABELS = {
    "fit": "fitting",
    "prune": "fine-tuning",
    "grid": "quantising",
    "measure": "measuring",
    "interpolate": "measuring",
    "decode": "decoding",
    "verify": "verifying",
    "evaluate": "evaluating",
    "rivals": "x264, x265",
}


class View:
    """Renders events; use it as a context manager and give it as `on_event`.

    Bars appear on a terminal only, on standard error. With `as_json`, every event but single frames is a
    line on standard output.
    """

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json
        self._bars = not as_json and sys.stderr is not None and sys.stderr.isatty()
        self._bar: Any = None
        self._task, self._done = "", 0

    def __call__(self, event: Event) -> None:
        if self._as_json:
            if not isinstance(event, FrameDone):
                click.echo(json.dumps(event.to_json()))
        elif isinstance(event, Planned):
            click.echo(show_plan(event.plan), err=True)
        elif isinstance(event, Warned):
            click.echo(f"snerv: warning: {event.message}", err=True)
        elif self._bars:
            self._advance(event)

    def __enter__(self) -> "View":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._finish()

    def _advance(self, event: EpochDone | FrameDone) -> None:
        if isinstance(event, EpochDone):
            task, done, total = event.phase, event.epoch, event.epochs
            note = f"epoch {done}/{total}  loss {event.loss:.4f}  PSNR {event.psnr:.2f} dB"
        else:
            task, done, total = event.task, event.done, event.total
            note = f"frame {done}/{total or '?'}"
        if task != self._task:
            self._finish()
            label = f"{LABELS[task]:>11}"
            steps = range(total) if total else itertools.count()  # without an end, the bar moves to and fro
            self._bar = click.progressbar(steps, label=label, item_show_func=_note, file=sys.stderr)
            self._bar.__enter__()
            self._task, self._done = task, 0
        self._bar.update(done - self._done, note)
        self._done = done

    def _finish(self) -> None:
        if self._bar is not None:
            self._bar.__exit__(None, None, None)
        self._bar, self._task = None, ""


def _note(text: str | None) -> str:
    return text or ""


def show_plan(plan: Plan) -> str:
    """The plan as a table."""
    rows = {
        "input": f"{plan.source}: {plan.frames} frames of {plan.width}x{plan.height}, {plan.rate} fps",
        "decoder": f"{show_decoder(plan.to_json())}, padding {plan.padding:.1%}",
        "parameters": f"{plan.total_parameters:,} = {plan.decoder_parameters:,} decoder + "
        f"{plan.embedding_parameters:,} embeddings (encoder, not stored: {plan.encoder_parameters:,})",
        "arithmetic": f"{plan.decoder_macs / 1e9:.2f} GMAC a frame to decode, "
        f"{(plan.decoder_macs + plan.encoder_macs) * 6 / 1e9:.1f} GFLOP a frame and epoch to fit",
        "memory": f"{size(plan.video_memory)} video + {size(plan.fitting_memory)} fitting on {plan.device}; "
        f"{size(plan.decoding_memory)} to decode",
        "predicted": f"about {size(plan.predicted_bytes)} on disk",
    }
    if plan.predicted_seconds is not None:
        rows["predicted"] += f", after about {duration(plan.predicted_seconds)} of fitting on {plan.device}"
    return table(rows)


def show_report(report: EncodeReport) -> str:
    """The result as a table."""
    quality, between = report.quality, report.interpolated
    where = "" if report.known == 1 else f", over the {report.known:.1%} of pixels that are known"
    to_pruning, to_rounding = report.fitted_psnr - report.pruned_psnr, report.pruned_psnr - quality.psnr
    lost = f"{to_pruning:+.3f} dB to pruning, {to_rounding:+.3f} dB to quantisation"
    rows = {
        "file": f"{report.output}: {report.bytes_total:,} bytes, {report.bpp:.4f} bpp, "
        f"{report.bitrate / 1e3:.0f} kbit/s",
        "of which": f"{report.bytes_tracks:,} bytes of sound and subtitles",
        "quality": f"{show_quality(quality)} (RGB, decoded from the file{where})",
        **({"between": f"{show_quality(between)} (frames left out, interpolated)"} if between else {}),
        **({} if report.believed_bytes is not None else {"lost": lost}),
        "time": f"{report.seconds_total:.1f} s, of which fitting {report.seconds_fitting:.1f} s; "
        f"decoding {report.frames / max(report.seconds_decoding, 1e-9):.1f} frames/s",
    }
    if report.target is not None and report.reached is not None:
        rows["target"] = f"{report.target}; reached {report.reached:.2f}"
    if report.believed_bytes is not None:
        gap = report.bytes_symbols / report.believed_bytes - 1
        rows["rate"] = f"{report.bytes_symbols:,} bytes of symbols, {gap:+.2%} of what training took them for"
    return table(rows)


def show_quality(quality: Quality) -> str:
    """Means over frames in one line."""
    similarity = "" if quality.ms_ssim is None else f", MS-SSIM {quality.ms_ssim:.4f}"
    return f"PSNR {quality.psnr:.2f} dB{similarity}"


def show_decoder(config: Mapping[str, Any]) -> str:
    """The fields of a `DecoderConfig`, by name, in one line."""
    shapes = [config["embedding_shape"], *([config["temporal_shape"]] * 2 if config["temporal_shape"] else [])]
    return (
        f"model {config['model']}, C0 {config['channels']}, N_RB {config['blocks']}, "
        f"strides {','.join(map(str, config['strides']))}, "
        f"embedding {' + '.join('x'.join(map(str, shape)) for shape in shapes)}"
    )


def table(rows: dict[str, str]) -> str:
    """Lines of "name  value", values aligned."""
    width = max(map(len, rows))
    return "\n".join(f"{name:>{width}}  {value}" for name, value in rows.items())


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
