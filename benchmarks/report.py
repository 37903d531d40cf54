"""The report: what the records come to, as one page with curves, BD-rates, distances point by point and speed.

    python -m benchmarks.report [--dataset NAME ...] [--codec NAME ...] [--output FOLDER] [--figures FOLDER]

Writes index.html, which needs nothing else; with --figures also the first figure of each clip as an SVG file.
"""

import argparse
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks import record
from benchmarks.bdrate import compare, mean_delta
from benchmarks.comparison import (
    NONE,
    PSNR,
    YUV,
    Refusals,
    among_table,
    comparable,
    distance_table,
    nearness_table,
    points_table,
    settings_table,
    speed_table,
    summary_table,
)
from benchmarks.curves import METRICS, Curve, load_ceiling, load_curves
from benchmarks.datasets import CACHE
from benchmarks.figures import figure, picture, rank
from benchmarks.paper.reproduce import RECORDS as REPRODUCED
from benchmarks.paper.reproduce import table_sections
from benchmarks.record import Record
from benchmarks.trials import rounding
from snerv_codec.errors import UserError
from snerv_codec.pages.document import Block, Row, Section, Table, Text, Verdict, html

OUTPUT = CACHE / "report"  # made, not kept
YARDSTICK = "x264-medium"  # which the verdict is against
# What the first figure of a clip shows beside the best of ours; the others are in figures of their own.
MAIN = ("x264-medium", "x265-medium", "svtav1-6", "vvenc-medium-psnr")
TRIAL_CLIPS = "-tiny"  # how their names end
LARGEST_FIRST = ("-long", "-small")

READING = (
    "Rate is the size of the file on disk, container included, over all pixels of all frames. Quality is that of the "
    "frames that the file decodes to, in RGB, against the very frames that were coded: PSNR is the mean of the frames' "
    "PSNRs, MS-SSIM and VMAF are means over frames. YUV 6:1:1 is (6·Y + U + V) / 8 of the PSNRs of Y, U and V in 4:2:0 "
    "by BT.709, as codecs are compared elsewhere. Every codec got the same frames, cropped, scaled and converted once, "
    "without loss, and one keyframe for the whole clip; only the anchors of the NeRV papers (-papers-weak) keep those "
    "papers' settings: medium, no B-frames."
)
NAMES = (
    "A curve of snerv is named by its recipe and its epochs in all: snerv rd 60 is trained for rate, 60 epochs. What "
    "else it was made with stands below each clip. Anchors are named by encoder and preset; -psnr is tuned for PSNR."
)
REPRODUCTION = (
    "Of the fitted models, as in the paper: before pruning, quantisation and coding, frames rounded to 8 bits. Each "
    "line of ours is one of results/paper/reproduce.jsonl."
)


def report_blocks(curves: Sequence[Curve], results: Path) -> list[Block]:
    """The whole report on records in `results`."""
    clips = sorted({curve.dataset for curve in curves}, key=_place)
    ceilings = {clip: found for clip in clips if (found := load_ceiling(clip, results))}
    by_clip = {clip: [curve for curve in curves if curve.dataset == clip] for clip in clips}
    best = {clip: curve for clip, here in by_clip.items() if (curve := best_of(here))}
    shown = [curve for clip, curve in best.items() if not clip.endswith(TRIAL_CLIPS)] or list(best.values())
    blocks: list[Block] = [verdict(by_clip, shown)]
    if shown:
        tables = [summary_table(curves, shown, metric) for metric in (PSNR, YUV)]
        tables = [table for table in tables if any(cell != NONE for row in table.rows for cell in row[1:])]
        blocks.append(Section("The best of snerv on each clip", [*tables, Text(READING), Text(NAMES)]))
    for clip, here in by_clip.items():
        section = clip_section(clip, here, best.get(clip), ceilings.get(clip))
        blocks.append(Section(f"{clip}, for trials", section.blocks, True) if clip.endswith(TRIAL_CLIPS) else section)
    blocks += means(curves)
    blocks += _roundings(results)
    if record.file_of(REPRODUCED, results).exists():
        blocks.append(Section("The paper's tables on Bunny", [Text(REPRODUCTION), *table_sections(results)]))
    blocks.append(Section("What to keep in mind", [Text("", tuple(caveats(curves, ceilings)))]))
    return [*blocks, sources(curves)]


def best_of(curves: Sequence[Curve]) -> Curve | None:
    """The curve of ours on one clip with the lowest BD-rate by PSNR against the yardstick; None where none has one."""
    rates = {}
    for curve in filter(comparable, curves):
        for delta, _ in compare(curves, YARDSTICK, curve.name, PSNR).values():
            if delta.value is not None:
                rates[curve.name] = delta.value
    return min((curve for curve in curves if curve.name in rates), key=lambda curve: rates[curve.name], default=None)


def verdict(by_clip: dict[str, list[Curve]], best: Sequence[Curve]) -> Verdict:
    """How many times the yardstick's rate the best of ours takes at the same PSNR."""
    figures = []
    for curve in best:
        ((delta, _),) = compare(by_clip[curve.dataset], YARDSTICK, curve.name, PSNR).values()
        figures.append((curve.dataset, f"{1 + (delta.value or 0) / 100:.1f}×"))
    if not figures:
        return Verdict(f"No curve of snerv is on record that can be compared with {YARDSTICK}.")
    parts = [f"{times} its rate on {clip}" for clip, times in figures]
    whole = " and ".join([", ".join(parts[:-1]), parts[-1]]) if len(parts) > 1 else parts[0]
    return Verdict(f"At the same PSNR as {YARDSTICK}, the best of snerv takes {whole}.", tuple(figures))


def clip_section(name: str, curves: Sequence[Curve], best: Curve | None, ceiling: Record | None) -> Section:
    """Everything about one clip, the best of ours in front, the rest folded."""
    clip = next(point["dataset"] for curve in curves for point in (*curve.points, *curve.failed))
    facts = f"{clip['width']}x{clip['height']}, {clip['frames']} frames at {clip['rate']} a second"
    front = best.name if best else None
    main = [curve for curve in curves if curve is best or curve.name in MAIN] or list(curves)
    ours = [curve for curve in curves if curve.ours and curve.points]
    blocks: list[Block] = [Text(f"{clip['description'][0].upper()}{clip['description'][1:]}. {facts}.")]
    blocks += [drawn for drawn in [figure(main, PSNR, ceiling, front)] if drawn]
    if best:
        blocks += [distance_table(curves, best.name), *nearness_tables(curves, best.name)]
    elif len(ours) == 1:  # too few points for a BD-rate
        blocks += nearness_tables(curves, ours[0].name)
    others = [drawn for metric in METRICS[1:] if (drawn := figure(main, metric, ceiling, front))]
    if others:
        blocks.append(Section(f"{name} by other metrics", [Row(others)], folded=True))
    if ours:
        blocks.append(Section(f"{name}: what our curves were made with", [settings_table(ours)], folded=True))
    if len(ours) > 1:
        drawn = figure(ours, PSNR, None, front)
        names = [curve.name for curve in ours if comparable(curve)]
        inner: list[Block] = [drawn] if drawn else []
        inner += [among_table(curves, names, metric) for metric in (PSNR, YUV)]
        for curve in ours:
            if curve is not best:
                tables = [distance_table(curves, curve.name)] if comparable(curve) else []
                inner.append(Section(f"{curve.name} on {name}", [*tables, *nearness_tables(curves, curve.name)]))
        blocks.append(Section(f"{name}: all of our curves", inner, folded=True))
    whole = [drawn for metric in METRICS if (drawn := figure(curves, metric, ceiling, front))]
    if len(main) < len(curves):
        blocks.append(Section(f"{name}: every codec", whole, folded=True))
    blocks.append(Section(f"{name}: speed", [speed_table(curves)], folded=True))
    blocks.append(Section(f"{name}: every point", [points_table(curves)], folded=True))
    return Section(name, blocks)


def nearness_tables(curves: Sequence[Curve], ours: str) -> list[Table]:
    """How near one of our curves comes to the anchors, by RGB PSNR and by that of YUV 6:1:1."""
    mine = next(curve for curve in curves if curve.name == ours)
    return [nearness_table(curves, ours, metric) for metric in (PSNR, YUV) if mine.values(metric)]


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
    return Section(
        "Where the figures come from", [Text("Every figure is computed from records of these runs:", items)], True
    )


def _roundings(results: Path) -> Iterator[Section]:
    for path in sorted((results / "trials" / "rounding").glob("*.jsonl")):
        for values in record.read_records(f"trials/rounding/{path.stem}", folder=results):
            yield rounding.section(values)


def _place(clip: str) -> tuple[bool, int, str]:
    """Clips for trials last, long ones first."""
    sizes = [ending for ending in LARGEST_FIRST if clip.endswith(ending)]
    return clip.endswith(TRIAL_CLIPS), LARGEST_FIRST.index(sizes[0]) if sizes else len(LARGEST_FIRST), clip


def main(argv: list[str] | None = None) -> None:
    """Write the report and say where."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", nargs="+", help="these clips only")
    parser.add_argument("--codec", nargs="+", help="these curves only, by their names")
    parser.add_argument("--results", type=Path, default=record.RESULTS, help="folder of the records [%(default)s]")
    parser.add_argument("--output", type=Path, default=OUTPUT, help="folder of the report [%(default)s]")
    parser.add_argument("--figures", type=Path, help="folder for the first figure of each clip as SVG")
    options = parser.parse_args(argv)
    curves = [
        curve
        for curve in load_curves(options.results)
        if curve.dataset in (options.dataset or [curve.dataset]) and curve.name in (options.codec or [curve.name])
    ]
    curves.sort(key=lambda curve: (curve.dataset, rank(curve.name), curve.name))
    if not curves:
        sys.exit(f"no such records in {options.results}/rd; python -m benchmarks.rate_distortion makes them")
    options.output.mkdir(parents=True, exist_ok=True)
    page = options.output / "index.html"
    try:
        page.write_text(html("snerv beside other codecs", report_blocks(curves, options.results), contents=True))
    except UserError as error:
        sys.exit(str(error))
    print(page)
    if options.figures:
        write_figures(curves, options.results, options.figures)


def write_figures(curves: Sequence[Curve], results: Path, folder: Path) -> None:
    """The first figure of each clip in `folder`: CLIP-psnr.svg."""
    folder.mkdir(parents=True, exist_ok=True)
    for clip in dict.fromkeys(curve.dataset for curve in curves):
        here = [curve for curve in curves if curve.dataset == clip]
        best = best_of(here)
        main = [curve for curve in here if curve is best or curve.name in MAIN] or here
        drawn = picture(main, PSNR, load_ceiling(clip, results), best.name if best else None)
        (folder / f"{clip}-psnr.svg").write_text(drawn)


if __name__ == "__main__":
    main()
