"""BD-rates against an independent implementation, and when they are refused."""

import json
from math import log10
from typing import Any

import numpy as np
import pytest

from benchmarks import bdrate
from benchmarks.bdrate import bd_quality, bd_rate, mean_delta
from benchmarks.curves import METRICS, load_curves

needs_library = pytest.mark.usefixtures("library")

# The example in the README of `bjontegaard` (kbit/s, dB).
ANCHOR = [(9487.76, 40.037), (4593.60, 38.615), (2486.44, 36.845), (1358.24, 34.851)]
TEST = [(9787.80, 40.121), (4469.00, 38.651), (2451.52, 36.970), (1356.24, 34.987)]


@pytest.fixture
def library():
    pytest.importorskip("bjontegaard", reason="the extra bench is not installed")


def pchip_slopes(x, y):
    """Fritsch and Butland's slopes with the three-point rule at the ends (Fritsch and Carlson, 1980)."""
    h, d = np.diff(x), np.diff(y) / np.diff(x)
    slopes = np.zeros(len(x))
    for k in range(1, len(x) - 1):
        if d[k - 1] * d[k] > 0:
            w1, w2 = 2 * h[k] + h[k - 1], h[k] + 2 * h[k - 1]
            slopes[k] = (w1 + w2) / (w1 / d[k - 1] + w2 / d[k])
    for end, (h0, h1, d0, d1) in {0: (h[0], h[1], d[0], d[1]), -1: (h[-1], h[-2], d[-1], d[-2])}.items():
        slope = ((2 * h0 + h1) * d0 - h0 * d1) / (h0 + h1)
        if slope * d0 <= 0:
            slope = 0.0
        elif d0 * d1 <= 0 and abs(slope) > 3 * abs(d0):
            slope = 3 * d0
        slopes[end] = slope
    return slopes


def mean_difference(anchor, test):
    """Mean of test − anchor over the common range, each (x, y) interpolated by PCHIP and sampled finely."""
    low, high = max(min(anchor)[0], min(test)[0]), min(max(anchor)[0], max(test)[0])
    at = np.linspace(low, high, 200_001)
    values = []
    for points in (anchor, test):
        x, y = np.array(sorted(points)).T
        slopes = pchip_slopes(x, y)
        k = np.clip(np.searchsorted(x, at, side="right") - 1, 0, len(x) - 2)
        h = x[k + 1] - x[k]
        t = (at - x[k]) / h
        hermite = (1 + 2 * t) * (1 - t) ** 2 * y[k] + t * (1 - t) ** 2 * h * slopes[k]
        values.append(hermite + t**2 * (3 - 2 * t) * y[k + 1] + t**2 * (t - 1) * h * slopes[k + 1])
    difference = values[1] - values[0]
    return float((difference[1:] + difference[:-1]).sum() / 2 / (len(at) - 1))


def by_hand(anchor, test):
    """BD-rate in percent and BD-quality, from the definitions."""
    flipped = [[(quality, log10(rate)) for rate, quality in points] for points in (anchor, test)]
    upright = [[(log10(rate), quality) for rate, quality in points] for points in (anchor, test)]
    return (10 ** mean_difference(*flipped) - 1) * 100, mean_difference(*upright)


@needs_library
@pytest.mark.parametrize(
    ("anchor", "test"),
    [
        (ANCHOR, TEST),
        (ANCHOR, [(rate * 1.7, quality) for rate, quality in ANCHOR]),
        ([(1, 20), (2, 29), (4, 30), (9, 38), (20, 39)], [(1.5, 24), (3, 25), (5, 33), (30, 37)]),
    ],
)
def test_deltas_agree_with_the_definition(anchor, test):
    rate, quality = by_hand(anchor, test)
    assert bd_rate(anchor, test).value == pytest.approx(rate, abs=1e-4)
    assert bd_quality(anchor, test).value == pytest.approx(quality, abs=1e-4)


@needs_library
def test_a_curve_of_twice_the_rate_costs_a_hundred_percent():
    double = [(2 * rate, quality) for rate, quality in ANCHOR]
    assert bd_rate(ANCHOR, double).value == pytest.approx(100)
    assert bd_rate(double, ANCHOR).value == pytest.approx(-50)
    assert bd_quality(ANCHOR, double).value < 0


@needs_library
def test_the_order_of_points_does_not_matter():
    assert bd_rate(ANCHOR[::-1], TEST) == bd_rate(ANCHOR, TEST[::2] + TEST[1::2])


def test_too_few_points_are_refused():
    assert bd_rate(ANCHOR[:3], TEST).value is None
    assert "the anchor has 3 points of at least 4" in bd_rate(ANCHOR[:3], TEST).reason
    assert "the test has 0 points" in bd_quality(ANCHOR, []).reason


def test_a_small_overlap_is_refused_with_its_size():
    away = [(rate, quality + 4) for rate, quality in ANCHOR]  # 34.851..40.037 and 38.851..44.037
    delta = bd_rate(ANCHOR, away)
    assert delta.value is None
    assert delta.overlap == pytest.approx(1.186 / 5.186)
    assert "overlap by 23% of at least 50%" in delta.reason


@needs_library
def test_a_short_curve_inside_a_long_one_overlaps_whole():
    wide = [(500, 32.0), *ANCHOR, (20_000, 42.0)]
    assert bd_rate(wide, TEST).overlap == pytest.approx(1)


def test_a_curve_that_falls_is_refused():
    falling = [(1, 30.0), (2, 33.0), (3, 32.5), (4, 36.0)]
    assert "quality does not rise from 2 to 3 bpp" in bd_rate(falling, falling).reason


@needs_library
def test_the_mean_is_over_sequences_and_refused_with_one_of_them():
    good, refused = bd_rate(ANCHOR, TEST), bd_rate(ANCHOR[:2], TEST)
    assert mean_delta([good, good]).value == pytest.approx(good.value)
    assert mean_delta([good, refused]).value is None
    assert "1 of 2 sequences" in mean_delta([good, refused]).reason


@needs_library
def test_the_command_reads_records_and_prints_the_overlap(tmp_path, capsys):
    for codec, points in (("old", ANCHOR), ("new", TEST)):
        lines: list[dict[str, Any]] = [{"status": "failed", "reason": "no space left"}]
        for rate, quality in points:
            values = {"rate": {"bytes": int(rate), "bpp": rate}, "quality": {"psnr": quality, "vmaf": 2 * quality}}
            lines.append({"status": "done", **values})
        path = tmp_path / "rd" / "clip" / f"{codec}.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    (old, new) = sorted(load_curves(tmp_path), key=lambda curve: curve.codec, reverse=True)
    assert [len(new.points), len(new.failed)] == [4, 1]
    assert [rate for rate, _ in old.values(METRICS[0])] == sorted(rate for rate, _ in ANCHOR)
    bdrate.main(["--test", "new", "--anchor", "old", "--results", str(tmp_path)])
    printed = capsys.readouterr().out
    rate, quality = by_hand(ANCHOR, TEST)
    assert f"BD-rate {rate:+.2f} % (overlap 98%)" in printed
    assert f"BD-PSNR {quality:+.2f} dB" in printed
    assert "BD-MS-SSIM refused: the anchor has 0 points" in printed
