"""Bjøntegaard deltas: the mean horizontal or vertical distance of two curves of quality over log rate.

    python -m benchmarks.bdrate --test "snerv rd 60" --anchor x264-medium x265-medium [--dataset bunny-small]

Interpolation is PCHIP, as in the JVET's common test conditions, by the `bjontegaard` package. A figure is given for
at least 4 points a curve and where both curves cover at least half of the narrower one's range; a refusal says why.
Deltas are taken for every sequence, then averaged.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import log10
from pathlib import Path
from statistics import fmean

from benchmarks import record
from benchmarks.curves import METRICS, MIN_POINTS, Curve, Metric, load_curves
from snerv_codec.errors import ResourceError

MIN_OVERLAP = 0.5
METHOD = "pchip"

Points = Sequence[tuple[float, float]]  # (rate, quality)


@dataclass(frozen=True, slots=True)
class Delta:
    """A distance, or why there is none. `overlap` is the common range as a share of the narrower curve's."""

    value: float | None
    overlap: float = 0.0
    reason: str = ""


def bd_rate(anchor: Points, test: Points) -> Delta:
    """How much more rate `test` takes for the same quality, in percent: below 0 it is the better one.

    Raises `ResourceError` where the extra is not installed.
    """
    overlap, reason = _overlap(*([quality for _, quality in points] for points in (anchor, test)))
    reason = _flaw(anchor, test) or reason
    return Delta(None if reason else _library("bd_rate", anchor, test), overlap, reason)


def bd_quality(anchor: Points, test: Points) -> Delta:
    """How much more quality `test` gives for the same rate, in the metric's unit: above 0 it is the better one.

    Raises `ResourceError` where the extra is not installed.
    """
    overlap, reason = _overlap(*([log10(rate) for rate, _ in points] for points in (anchor, test)))
    reason = _flaw(anchor, test) or reason
    return Delta(None if reason else _library("bd_psnr", anchor, test), overlap, reason)


def rate_at(points: Points, quality: float) -> float | None:
    """The rate at which a curve has `quality`, on the interpolation of BD-rates; None outside its range."""
    exponent = _value_at([(quality, log10(rate)) for rate, quality in points], quality)
    return None if exponent is None else 10**exponent


def quality_at(points: Points, rate: float) -> float | None:
    """The quality that a curve has at `rate`, on the interpolation of BD-rates; None outside its range."""
    return _value_at([(log10(rate), quality) for rate, quality in points], log10(rate))


def mean_delta(deltas: Sequence[Delta]) -> Delta:
    """The mean over sequences, refused where one of them has no value; the overlap is the least."""
    refused = [delta for delta in deltas if delta.value is None]
    least = min(delta.overlap for delta in deltas)
    if refused:
        return Delta(None, least, f"{len(refused)} of {len(deltas)} sequences have none: {refused[0].reason}")
    return Delta(fmean(delta.value for delta in deltas if delta.value is not None), least)


def _flaw(anchor: Points, test: Points) -> str:
    """What is wrong with one of the curves, or ""."""
    for name, points in (("anchor", anchor), ("test", test)):
        if len(points) < MIN_POINTS:
            return f"the {name} has {len(points)} points of at least {MIN_POINTS}"
        for (rate, quality), (next_rate, next_quality) in pairwise(sorted(points)):
            if rate == next_rate or quality >= next_quality:
                return f"the {name}'s quality does not rise from {rate:.4g} to {next_rate:.4g} bpp"
    return ""


def _overlap(anchor: Sequence[float], test: Sequence[float]) -> tuple[float, str]:
    """Common range as a share of the narrower range, and why it is too small, if it is."""
    if not anchor or not test:
        return 0.0, ""
    common = min(max(anchor), max(test)) - max(min(anchor), min(test))
    narrower = min(max(values) - min(values) for values in (anchor, test))
    share = max(common, 0.0) / narrower if narrower else 0.0
    return share, f"the curves overlap by {share:.0%} of at least {MIN_OVERLAP:.0%}" if share < MIN_OVERLAP else ""


def _value_at(pairs: Points, at: float) -> float | None:
    """y at x = `at` of (x, y) `pairs`; None outside them, or where they do not rise."""
    from scipy.interpolate import PchipInterpolator  # comes with bjontegaard, which takes the same

    x, y = zip(*sorted(pairs), strict=True) if pairs else ((), ())
    if len(x) < 2 or any(a >= b for a, b in pairwise(x)) or not x[0] <= at <= x[-1]:
        return None
    return float(PchipInterpolator(x, y)(at))


def _library(name: str, anchor: Points, test: Points) -> float:
    try:
        import bjontegaard
    except ImportError as error:
        raise ResourceError("BD-rates need bjontegaard: pip install 'snerv-codec[bench]'") from error
    columns = [list(column) for points in (anchor, test) for column in zip(*sorted(points), strict=True)]
    delta = getattr(bjontegaard, name)
    return float(delta(*columns, method=METHOD, require_matching_points=False, min_overlap=0))


def compare(curves: Sequence[Curve], anchor: str, test: str, metric: Metric) -> dict[str, tuple[Delta, Delta]]:
    """BD-rate and BD-quality by clip, for the clips that have both codecs."""
    by_name = {(curve.dataset, curve.name): curve.values(metric) for curve in curves}
    clips = [dataset for dataset, codec in by_name if codec == test and (dataset, anchor) in by_name]
    pairs = {clip: (by_name[clip, anchor], by_name[clip, test]) for clip in clips}
    return {clip: (bd_rate(*pair), bd_quality(*pair)) for clip, pair in pairs.items()}


def _text(delta: Delta, unit: str) -> str:
    value = f"refused: {delta.reason}" if delta.value is None else f"{delta.value:+.2f} {unit}".rstrip()
    return f"{value} (overlap {delta.overlap:.0%})"


def main(argv: list[str] | None = None) -> None:
    """Print the deltas of each pair, clip and metric."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--test", required=True, help="a codec on record")
    parser.add_argument("--anchor", nargs="+", required=True, help="codecs on record")
    parser.add_argument("--dataset", nargs="+", help="these clips only")
    parser.add_argument("--results", type=Path, default=record.RESULTS, help="folder of the records [%(default)s]")
    options = parser.parse_args(argv)
    curves = [
        curve for curve in load_curves(options.results) if not options.dataset or curve.dataset in options.dataset
    ]
    for anchor in options.anchor:
        for metric in METRICS:
            found = compare(curves, anchor, options.test, metric)
            if not found:
                sys.exit(f"{options.test} and {anchor}: no clip has records of both")
            deltas = list(found.items())
            if len(deltas) > 1:
                rates, qualities = zip(*found.values(), strict=True)
                deltas.append(("mean", (mean_delta(rates), mean_delta(qualities))))
            for clip, (rate, quality) in deltas:
                print(f"{options.test} against {anchor}, {clip}, {metric.name}:")
                print(f"  BD-rate {_text(rate, '%')}")
                print(f"  BD-{metric.name} {_text(quality, metric.unit)}")


if __name__ == "__main__":
    main()
