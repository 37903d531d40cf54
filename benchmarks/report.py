"""The report: curves, BD-rates, distances point by point and speed, from the records in results/rd alone.

    python -m benchmarks.report [--dataset NAME ...] [--codec NAME ...] [--output FOLDER]

Writes index.html (one page, nothing else needed), report.md, and every figure as SVG and PNG.
"""

import argparse
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks import record
from benchmarks.bdrate import MIN_OVERLAP, MIN_POINTS, Delta, compare, mean_delta, quality_at, rate_at
from benchmarks.curves import METRICS, Curve, load_ceiling, load_curves
from benchmarks.datasets import CACHE
from benchmarks.page import Block, Row, Section, Table, Text, html, markdown
from benchmarks.paper.reproduce import RECORDS as REPRODUCED
from benchmarks.paper.reproduce import table_sections
from benchmarks.plots import CROWDED, HALF, WIDE, draw, rank
from benchmarks.trials import rounding
from snerv_codec.errors import UserError

PSNR = METRICS[0]
# What the first figures show; the others are in a figure of their own.
MAIN = ("x264-medium", "x265-medium", "x265-veryslow", "svtav1-6", "vvenc-medium", "vvenc-medium-psnr")
NEAREST = ("x264-medium", "x265-medium", "svtav1-6", "vvenc-medium-psnr")
NONE = "–"

READING = (
    "Rate is the size of the file on disk, container included, over all pixels of all frames. Quality is that of the "
    "frames that the file decodes to, in RGB, against the very frames that were coded: PSNR is the mean of the frames' "
    "PSNRs, MS-SSIM and VMAF are means over frames. Every codec got the same frames, cropped, scaled and converted "
    "once, without loss, and one keyframe for the whole clip; only the anchors of the NeRV papers (-papers-weak) keep "
    "those papers' settings: medium, no B-frames."
)


REPRODUCTION = (
    "Of the fitted models, as in the paper: before pruning, quantisation and coding, frames rounded to 8 bits. Each "
    "line of ours is one of results/paper/reproduce.jsonl."
)
Record = dict[str, Any]
OUTPUT = CACHE / "report"  # made, not kept


def comparable(curve: Curve) -> bool:
    """Whether it is one of ours with enough points for a BD-rate."""
    return curve.ours and len(curve.points) >= MIN_POINTS


def report_blocks(curves: Sequence[Curve], results: Path, folder: Path) -> list[Block]:
    """The whole report on records in `results`; figures are drawn into `folder`."""
    clips = list(dict.fromkeys(curve.dataset for curve in curves))
    ceilings = {clip: found for clip in clips if (found := load_ceiling(clip, results))}
    blocks: list[Block] = [Text(READING)]
    if any(map(comparable, curves)):
        blocks.append(summary_table(curves))
    for clip in clips:
        here = [curve for curve in curves if curve.dataset == clip]
        blocks.append(clip_section(clip, here, ceilings.get(clip), folder))
    blocks += means(curves)
    for path in sorted((results / "trials" / "rounding").glob("*.jsonl")):
        rounded = record.read_records(f"trials/rounding/{path.stem}", folder=results)
        blocks += [rounding.section(values, folder) for values in rounded]
    if record.file_of(REPRODUCED, results).exists():
        tables = table_sections(results)
        blocks.append(Section("The paper's tables on Bunny", [Text(REPRODUCTION), *tables]))
    blocks.append(Section("What to keep in mind", [Text("", tuple(caveats(curves, ceilings)))]))
    return [*blocks, sources(curves)]


def clip_section(name: str, curves: Sequence[Curve], ceiling: Record | None, folder: Path) -> Section:
    """Everything about one clip."""
    clip = next(point["dataset"] for curve in curves for point in (*curve.points, *curve.failed))
    facts = f"{clip['width']}x{clip['height']}, {clip['frames']} frames at {clip['rate']} a second"
    main = [curve for curve in curves if curve.ours or curve.name in MAIN]
    blocks: list[Block] = [Text(f"{clip['description'][0].upper()}{clip['description'][1:]}. {facts}.")]
    blocks += _figures(main or curves, ceiling, name, folder)
    ours = [curve.name for curve in curves if comparable(curve)]
    if len(ours) > 1:
        blocks.append(Section("Ways to fit and to code, against each other", [among_table(curves, ours)]))
    for curve in (curve for curve in curves if curve.ours and curve.points):
        tables = [distance_table(curves, curve.name)] if comparable(curve) else []
        tables.append(nearness_table(curves, curve.name))
        blocks.append(Section(f"{curve.name} against the anchors", tables))
    blocks.append(Section("Speed", [speed_table(curves)]))
    if len(main) < len(curves):
        blocks.append(
            Section("Every codec in one figure", _figures(curves, ceiling, f"{name}-all", folder), folded=True)
        )
    blocks.append(Section("Every point", [points_table(curves)], folded=True))
    return Section(name, blocks)


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


def among_table(curves: Sequence[Curve], ours: Sequence[str]) -> Table:
    """BD-rates by PSNR of our codecs on one clip against each other."""
    refused = Refusals()
    rows = []
    for name in ours:
        found = {anchor: next(iter(compare(curves, anchor, name, PSNR).values()))[0] for anchor in ours}
        cells = [NONE if anchor == name else refused.cell(found[anchor], "%", name, anchor) for anchor in ours]
        rows.append((name, *cells))
    return Table(("BD-rate by PSNR against", *ours), rows, refused.notes())


def nearness_table(curves: Sequence[Curve], ours: str) -> Table:
    """Each point of ours: how many times an anchor's rate it takes at its PSNR, and how far its PSNR is at its rate."""
    values = {curve.name: curve.values(PSNR) for curve in curves}
    anchors = [anchor for anchor in NEAREST if anchor in values]
    mine = next(curve for curve in curves if curve.name == ours)
    rows = []
    for point, (bpp, quality) in zip(mine.points, mine.values(PSNR), strict=True):
        cells = []
        for anchor in anchors:
            same_quality, same_rate = rate_at(values[anchor], quality), quality_at(values[anchor], bpp)
            ratio = f"{bpp / same_quality:.2f}×" if same_quality else NONE
            cells.append(f"{ratio}, {quality - same_rate:+.2f} dB" if same_rate is not None else ratio)
        rows.append((point["point"], f"{point['rate']['bytes']:,}", f"{quality:.2f}", *cells))
    note = "Times the anchor's rate at the same PSNR, and PSNR against the anchor's at the same rate."
    return Table(("point", "bytes", "PSNR", *anchors), rows, (note,))


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
            rows.append((f"{curve.name} {point['point']}", *sizes, *cells))
        notes += [f"{curve.name} {point['point']} failed: {point['reason']}" for point in curve.failed]
    where = f"Each line is one of results/rd/{curves[0].dataset}/CODEC.jsonl."
    return Table((*header, "harmonic", "1 % low"), rows, (where, *notes))


def summary_table(curves: Sequence[Curve]) -> Table:
    """BD-rate by PSNR against the nearest rivals, of each of our codecs on each clip that has enough points there."""
    refused = Refusals()
    anchors = [anchor for anchor in NEAREST if anchor in {curve.name for curve in curves}]
    rows = []
    for clip, ours in ((curve.dataset, curve.name) for curve in curves if comparable(curve)):
        here = [curve for curve in curves if curve.dataset == clip]
        name, found = f"{ours} on {clip}", {anchor: compare(here, anchor, ours, PSNR).get(clip) for anchor in anchors}
        cells = [refused.cell(pair[0], "%", name, anchor) if pair else NONE for anchor, pair in found.items()]
        rows.append((name, *cells))
    return Table(("BD-rate by PSNR against", *anchors), rows, refused.notes())


def means(curves: Sequence[Curve]) -> Iterator[Section]:
    """Mean BD-rates over the sequences of a family such as UVG, taken for every sequence first."""
    for name in ("uvg", "davis"):
        members = [curve for curve in curves if curve.dataset.startswith(f"{name}-")]
        refused = Refusals()
        rows = []
        for ours in sorted({curve.name for curve in members if curve.ours}):
            for anchor in sorted({curve.name for curve in members if not curve.ours}):
                found = {metric.name: compare(members, anchor, ours, metric).values() for metric in METRICS}
                deltas = {key: mean_delta([rate for rate, _ in pairs]) for key, pairs in found.items() if pairs}
                cells = [refused.cell(delta, "%", f"{ours}, {anchor}", key) for key, delta in deltas.items()]
                rows.append((f"{ours} against {anchor}", *cells))
        if rows:
            table = Table(("mean of BD-rates", *(metric.name for metric in METRICS)), rows, refused.notes())
            yield Section(f"{name}: all sequences", [table])


def caveats(curves: Sequence[Curve], ceilings: dict[str, Record]) -> Iterator[str]:
    """What stands between these figures and a conclusion."""
    for name, ceiling in ceilings.items():
        yield (
            f"{name}: from RGB to 4:2:0 and back, with nothing coded, leaves {ceiling['quality']['psnr']:.2f} dB: the "
            "ceiling of all anchors, which code 4:2:0. snerv codes RGB."
        )
    if any(curve.dataset.startswith("bunny") for curve in curves):
        yield (
            "Bunny is decoded H.264: its details are those that a transform codec kept, which flatters transform "
            "codecs. Its absolute rates say little about camera footage."
        )
    if any(curve.dataset == "bunny-small" for curve in curves):
        yield (
            "bunny-small is tiny: at 33 frames a network's weights are spread over few pixels, and containers "
            "and headers weigh. It serves to compare versions of this codec, not to rank codecs."
        )
    models = {point["quality"].get("vmaf_model") for curve in curves for point in curve.points} - {None}
    versions = {point["quality"].get("vmaf_version") for curve in curves for point in curve.points} - {None}
    if models:
        yield f"VMAF is model {', '.join(sorted(models))} of libvmaf {', '.join(sorted(versions))}, made for 1080p."
    yield "Without -psnr, x264 and x265 tune for the eye at PSNR's expense; with it, they are its fair rivals in PSNR."


def sources(curves: Sequence[Curve]) -> Section:
    """What the records say of where they were made."""
    made: Counter[str] = Counter()
    for point in (point for curve in curves for point in (*curve.points, *curve.failed)):
        seen = point["environment"]
        versions = ", ".join(f"{name} {version}" for name, version in seen["versions"].items() if version)
        commit = seen["commit"] + (" with changes" if seen["changed"] else "")
        machine = f"{seen['cpu']}, {seen['cores']} cores" + (f", {seen['gpu']}" if seen["gpu"] else "")
        encoder = point.get("library") or ""
        program = f"{point['version']} ({encoder})" if encoder else point["version"]
        made[f"{program}; commit {commit}; {machine}; Python {seen['python']}, {versions}"] += 1
    items = tuple(f"{count} points: {text}" for text, count in sorted(made.items()))
    return Section("Where the figures come from", [Text("Every figure is computed from records of these runs:", items)])


def _figures(curves: Sequence[Curve], ceiling: Record | None, stem: str, folder: Path) -> list[Block]:
    drawn = []
    for metric in METRICS:
        value = ceiling["quality"].get(metric.key) if ceiling else None
        limit = None if value is None else metric.scaled(value)
        size = WIDE if metric is PSNR or len(curves) > CROWDED else HALF
        drawn.append(draw(curves, metric, limit, f"{stem}-{metric.key.replace('_', '-')}", folder, size))
    figures: list[Block] = [figure for figure in drawn if figure]
    return figures if len(curves) > CROWDED else [*figures[:1], Row(figures[1:])]


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


def main(argv: list[str] | None = None) -> None:
    """Write the report and say where."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", nargs="+", help="these clips only")
    parser.add_argument("--codec", nargs="+", help="these codecs only")
    parser.add_argument("--results", type=Path, default=record.RESULTS, help="folder of the records [%(default)s]")
    parser.add_argument("--output", type=Path, default=OUTPUT, help="folder of the report [%(default)s]")
    options = parser.parse_args(argv)
    output = options.output
    curves = [
        curve
        for curve in load_curves(options.results)
        if curve.dataset in (options.dataset or [curve.dataset]) and curve.name in (options.codec or [curve.name])
    ]
    curves.sort(key=lambda curve: (curve.dataset, rank(curve.name), curve.name))
    if not curves:
        sys.exit(f"no such records in {options.results}/rd; python -m benchmarks.rate_distortion makes them")
    output.mkdir(parents=True, exist_ok=True)
    title = "snerv and its rivals: rate and distortion"
    try:
        blocks = report_blocks(curves, options.results, output)
    except UserError as error:
        sys.exit(str(error))
    (output / "index.html").write_text(html(title, blocks))
    (output / "report.md").write_text(markdown(title, blocks))
    print(output / "index.html")


if __name__ == "__main__":
    main()
