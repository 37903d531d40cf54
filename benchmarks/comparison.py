"""Tables that put the curves on record side by side."""

from collections.abc import Sequence
from statistics import median
from typing import Any

from benchmarks.bdrate import MIN_OVERLAP, Delta, compare, quality_at, rate_at
from benchmarks.curves import METRICS, MIN_POINTS, Curve, Metric
from benchmarks.record import Record
from snerv_codec.bitstream.models import DecoderConfig
from snerv_codec.model.architectures import paper_config
from snerv_codec.model.sizing import model_cost
from snerv_codec.pages.document import Table

PSNR, YUV = METRICS[:2]
NEAREST = ("x264-medium", "x265-medium", "svtav1-6", "vvenc-medium-psnr")
NONE = "–"


def comparable(curve: Curve) -> bool:
    """Whether it is one of ours with enough points for a BD-rate."""
    return curve.ours and len(curve.points) >= MIN_POINTS


def distance_table(curves: Sequence[Curve], ours: str) -> Table:
    """BD-rates by every metric, and BD-PSNR, of one of our codecs on one clip against every anchor."""
    refused = Refusals()
    rows = []
    for anchor in (curve.name for curve in curves if not curve.ours):
        pairs = {metric.name: next(iter(compare(curves, anchor, ours, metric).values())) for metric in METRICS}
        cells = [refused.cell(rate, "%", anchor, name) for name, (rate, _) in pairs.items()]
        rows.append((anchor, *cells, refused.cell(pairs[PSNR.name][1], "dB", anchor, "BD-PSNR")))
    header = ("anchor", *(f"BD-rate, {metric.name}" for metric in METRICS), "BD-PSNR")
    first = (
        "BD-rate: how much more rate for the same quality; below 0 is better. In brackets, how much of the narrower "
        f"curve's range both share; {MIN_POINTS} points and {MIN_OVERLAP:.0%} are the least."
    )
    return Table(header, rows, (first, *refused.notes()))


def among_table(curves: Sequence[Curve], ours: Sequence[str], metric: Metric) -> Table:
    """BD-rates of our codecs on one clip against each other."""
    refused = Refusals()
    rows = []
    for name in ours:
        found = {anchor: next(iter(compare(curves, anchor, name, metric).values()))[0] for anchor in ours}
        cells = [NONE if anchor == name else refused.cell(found[anchor], "%", name, anchor) for anchor in ours]
        rows.append((name, *cells))
    return Table((f"BD-rate by {metric.name} against", *ours), rows, refused.notes())


def nearness_table(curves: Sequence[Curve], ours: str, metric: Metric) -> Table:
    """Each point of ours: how many times an anchor's rate it takes at its quality, and how far that is at its rate."""
    values = {curve.name: curve.values(metric) for curve in curves}
    anchors = [anchor for anchor in NEAREST if anchor in values]
    mine = next(curve for curve in curves if curve.name == ours)
    rows = []
    measured = [point for point in mine.points if point["quality"].get(metric.key) is not None]
    for point, (bpp, quality) in zip(measured, mine.values(metric), strict=True):
        cells = []
        for anchor in anchors:
            same_quality, same_rate = rate_at(values[anchor], quality), quality_at(values[anchor], bpp)
            ratio = f"{bpp / same_quality:.2f}×" if same_quality else NONE
            cells.append(f"{ratio}, {quality - same_rate:+.2f} {metric.unit}" if same_rate is not None else ratio)
        rows.append((point["point"], f"{point['rate']['bytes']:,}", f"{quality:.2f}", *cells))
    note = (
        f"Times the anchor's rate at the same {metric.name}, and {metric.name} against the anchor's at the same rate."
    )
    return Table(("point", "bytes", metric.name, *anchors), rows, (note,))


def speed_table(curves: Sequence[Curve]) -> Table:
    """Medians over a curve's points: frames a second, and processor seconds a frame, both ways."""
    rows, loads = [], []
    for curve in (curve for curve in curves if curve.points):
        frames = curve.points[0]["dataset"]["frames"]
        times = [point["time"] for point in curve.points]
        loads += [time["load_before"] for time in times]
        cells = []
        for way in ("encode", "decode"):
            known = [time[way] for time in times if time[way]]
            seconds, cpu = ([each[key] / frames for each in known] for key in ("seconds", "cpu_seconds"))
            cells += [_short(1 / median(seconds)), _short(median(cpu))] if known else [NONE, NONE]
        gpus = {point["environment"]["gpu"] for point in curve.points}
        threads = f"{times[0]['threads']} thread{'s' if times[0]['threads'] > 1 else ''}"
        where = ", ".join(sorted(gpu or threads for gpu in gpus))
        rows.append((curve.name, *cells, where))
    header = ("codec", "encoding, fps", "CPU s a frame", "decoding, fps", "CPU s a frame", "on")
    note = (
        "Medians over the points. Anchors: a process each, its start included, writing nothing when decoding; "
        f"snerv: in Python, decoded to RGB in memory. The load before a point was {min(loads):.1f} to {max(loads):.1f}."
    )
    return Table(header, rows, (note,))


def points_table(curves: Sequence[Curve]) -> Table:
    """Every record of a clip."""
    header = (
        "point",
        "bytes",
        "bpp",
        "stream bytes",
        "PSNR",
        "PSNR of mean MSE",
        "YUV 6:1:1",
        "SSIM",
        "MS-SSIM",
        "VMAF",
    )
    keys = ("psnr", "psnr_of_mean_mse", "psnr_yuv", "ssim", "ms_ssim", "vmaf", "vmaf_harmonic", "vmaf_low")
    rows, notes = [], []
    for curve in curves:
        for point in curve.points:
            rate, quality = point["rate"], point["quality"]
            cells = (_figure(quality.get(key), 4 if "ssim" in key else 2) for key in keys)
            sizes = (f"{rate['bytes']:,}", f"{rate['bpp']:.4f}", f"{rate['stream_bytes']:,}")
            rows.append((f"{curve.name} {point['point']}", *sizes, *cells, arithmetic(point)))
        notes += [f"{curve.name} {point['point']} failed: {point['reason']}" for point in curve.failed]
    where = f"Each line is one of results/rd/{curves[0].dataset}/CODEC.jsonl."
    return Table((*header, "harmonic", "1 % low", "kMAC a pixel"), rows, (where, *notes))


def arithmetic(point: Record) -> str:
    """Thousands of multiply-accumulates a pixel that decoding takes, of a point of ours; a dash for others."""
    found = point.get("details", {}).get("config")
    if found is None:
        return NONE
    known: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in found.items()}
    if known.get("canvas"):
        known["canvas"] = (*known["canvas"], 0)[:3]  # without its levels, in older records
    config = DecoderConfig(**known) if "widths" in known else paper_config(**known)  # by its parts, in older records
    clip = point["dataset"]
    return _short(model_cost(config, clip["frames"]).decoder_macs / (clip["width"] * clip["height"]) / 1000)


def summary_table(curves: Sequence[Curve], best: Sequence[Curve], metric: Metric) -> Table:
    """BD-rate of the best curve of ours on each clip against the nearest rivals."""
    refused = Refusals()
    anchors = [anchor for anchor in NEAREST if anchor in {curve.name for curve in curves}]
    rows = []
    for ours in best:
        here = [curve for curve in curves if curve.dataset == ours.dataset]
        name = f"{ours.dataset}: {ours.name}"
        found = {anchor: compare(here, anchor, ours.name, metric).get(ours.dataset) for anchor in anchors}
        cells = [refused.cell(pair[0], "%", name, anchor) if pair else NONE for anchor, pair in found.items()]
        rows.append((name, *cells))
    return Table((f"BD-rate by {metric.name} against", *anchors), rows, refused.notes())


def settings_table(curves: Sequence[Curve]) -> Table:
    """What our curves of a clip were made with; what is the same for all stands below."""
    settings = {curve.name: dict(curve.settings or {}) for curve in curves if curve.ours}
    for each in settings.values():
        each["phases"] = " + ".join(f"{phase['epochs']} {phase['name']}" for phase in each.get("phases", ()))
    keys = list(dict.fromkeys(key for each in settings.values() for key in each))
    texts = {name: {key: str(each.get(key, NONE)) for key in keys} for name, each in settings.items()}
    differing = [key for key in keys if len({each[key] for each in texts.values()}) > 1]
    first: dict[str, str] = next(iter(texts.values()), {})
    common = ", ".join(f"{key} {first[key]}" for key in keys if key not in differing and first[key] != "None")
    rows = [(name, *(each[key] for key in differing)) for name, each in texts.items()]
    return Table(("curve", *differing), rows, (f"All: {common}.",) if common else ())


class Refusals:
    """Cells of deltas, and why some of them are empty."""

    def __init__(self) -> None:
        self._about: dict[str, dict[str, list[str]]] = {}
        self._cells = 0

    def cell(self, delta: Delta, unit: str, row: str, column: str) -> str:
        """The delta with its overlap; a dash where it was refused."""
        self._cells += 1
        if delta.value is None:
            self._about.setdefault(delta.reason, {}).setdefault(row, []).append(column)
            return NONE
        digits = 2 if unit == "dB" else 1 if abs(delta.value) < 100 else 0
        return f"{delta.value:+.{digits}f} {unit} ({delta.overlap:.0%})"

    def notes(self) -> tuple[str, ...]:
        """A sentence a reason, with what it concerns."""
        notes = []
        for reason, rows in self._about.items():
            whole = sum(map(len, rows.values())) == self._cells
            names = "; ".join(f"{row} ({', '.join(columns)})" for row, columns in rows.items())
            notes.append(f"Refused, as {reason}: {'all' if whole else names}.")
        return tuple(notes)


def _figure(value: float | None, digits: int) -> str:
    return NONE if value is None else f"{value:.{digits}f}"


def _short(value: float) -> str:
    """Three digits that count."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
