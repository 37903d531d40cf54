"""Rate–distortion curves as figures of a page, and as files of their own."""

from collections.abc import Sequence

from benchmarks.curves import Curve, Metric
from benchmarks.record import Record
from snerv_codec.pages.document import PALETTE, Figure
from snerv_codec.pages.plot import Line, plot, svg_file

# How the ways to run one encoder differ in a figure; ours by their order.
DASHES = (("-veryslow-psnr", "7 2 2 2"), ("-veryslow", "7 3"), ("-2", "7 3"), ("-psnr", "2 2"))
OUR_DASHES = ("", "7 3", "2 2", "7 2 2 2", "12 3")
CEILING_NEAR = 3.0  # dB above the best point; a ceiling further away is left out
RATE = "bits per pixel"


def family(codec: str) -> str:
    """Which colour a codec has: that of its encoder, or of the papers' weak anchors."""
    return "weak" if codec.endswith("-weak") else codec.replace(" ", "-").partition("-")[0]


def rank(codec: str) -> int:
    """Where a codec stands in legends and tables: ours first, the papers' weak anchors last."""
    families = list(PALETTE)
    return families.index(family(codec)) if family(codec) in families else len(families)


def figure(curves: Sequence[Curve], metric: Metric, ceiling: Record | None, best: str | None) -> Figure | None:
    """Quality over rate; `best` is the curve in front. None where no curve has the metric."""
    lines = _lines(curves, metric, ceiling, best)
    title = f"{metric.name}: higher and further left is better"
    return Figure(title, plot(lines, *_axes(metric), log_x=True)) if lines else None


def picture(curves: Sequence[Curve], metric: Metric, ceiling: Record | None, best: str | None) -> str:
    """The same as an SVG file."""
    return svg_file(_lines(curves, metric, ceiling, best), *_axes(metric), log_x=True)


def _axes(metric: Metric) -> tuple[str, str]:
    return RATE, f"{metric.name} ({metric.unit})" if metric.unit else metric.name


def _lines(curves: Sequence[Curve], metric: Metric, ceiling: Record | None, best: str | None) -> list[Line]:
    lines, ours = [], 0
    for curve in curves:
        points = curve.values(metric)
        if not points:
            continue
        dash = next((dash for ending, dash in DASHES if curve.name.endswith(ending)), "")
        if curve.ours:
            dash, ours = OUR_DASHES[ours % len(OUR_DASHES)], ours + 1
        color = family(curve.name) if family(curve.name) in PALETTE else "ink"
        lines.append(Line(curve.name, points, color, dash, marked=True, strong=curve.name == best))
    value = ceiling["quality"].get(metric.key) if ceiling else None
    if lines and value is not None:
        everywhere = [point for line in lines for point in line.points]
        limit = metric.scaled(value)
        if limit - max(quality for _, quality in everywhere) < CEILING_NEAR:
            rates = [rate for rate, _ in everywhere]
            lines.append(Line("ceiling of 4:2:0", [(min(rates), limit), (max(rates), limit)], "weak", "2 3"))
    return lines
