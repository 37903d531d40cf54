"""Rate–distortion curves as figures: SVG and PNG for files, and SVG that takes its colours from a page."""

import io
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.curves import Curve, Metric
from snerv_codec.errors import ResourceError

# Colours on a light and on a dark page; the names are CSS variables.
PALETTE = {
    "ink": ("#23262b", "#e6e8eb"),
    "faint": ("#d9dce1", "#3a3f47"),
    "paper": ("#ffffff", "#16181c"),
    "snerv": ("#c2255c", "#ff6b9a"),
    "x264": ("#3568a8", "#74a9e8"),
    "x265": ("#1f8a70", "#56c8aa"),
    "svtav1": ("#c27803", "#f0b44c"),
    "vvenc": ("#7654b3", "#b79be6"),
    "weak": ("#8a9099", "#8a9099"),
}
_STYLES = (("-veryslow-psnr", "-."), ("-veryslow", "--"), ("-2", "--"), ("-psnr", ":"))
_SIMILARITY_TICKS = (0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.998, 0.999)
_RATE_TICKS = tuple(digit * 10.0**power for power in range(-4, 3) for digit in (1, 2, 5))
WIDE, HALF = (9.0, 4.8), (5.4, 4.2)  # inches
CROWDED = 8  # more curves than this have their legend beside them


@dataclass(frozen=True, slots=True)
class Figure:
    """A drawn figure: files on disk, and the same as SVG to put into a page."""

    stem: str
    title: str
    inline: str

    @property
    def png(self) -> str:
        """Name of the PNG beside the page."""
        return f"{self.stem}.png"


def family(codec: str) -> str:
    """Which colour a codec has: that of its encoder, or of the papers' weak anchors."""
    return "weak" if codec.endswith("-weak") else codec.replace(" ", "-").partition("-")[0]


def rank(codec: str) -> int:
    """Where a codec stands in legends and tables: ours first, the papers' weak anchors last."""
    families = list(PALETTE)
    return families.index(family(codec)) if family(codec) in families else len(families)


def draw(
    curves: Sequence[Curve],
    metric: Metric,
    ceiling: float | None,
    stem: str,
    folder: Path,
    size: tuple[float, float] = WIDE,
) -> Figure | None:
    """Draw quality over bpp on a log axis to `folder`/`stem`.svg and .png; None where no curve has the metric."""
    drawn = [curve for curve in curves if curve.values(metric)]
    if not drawn:
        return None

    def fill(axes: Any) -> None:
        for number, curve in enumerate(drawn):
            _line(axes, curve, metric, number)
        _decorate(axes, drawn, metric, ceiling)

    return _drawn(fill, f"{metric.name} on {drawn[0].dataset}", stem, folder, size)


def draw_lines(
    lines: Mapping[str, Sequence[tuple[float, float]]], axis_names: tuple[str, str], title: str, stem: str, folder: Path
) -> Figure:
    """Draw lines of (x, y) to `folder`/`stem`.svg and .png."""
    colors = ("weak", "x265", "snerv", "x264", "vvenc")

    def fill(axes: Any) -> None:
        for (name, line), color in zip(lines.items(), colors, strict=False):
            axes.plot(*zip(*line, strict=True), color=PALETTE[color][0], marker="o", markersize=4, label=name)
        axes.set_xlabel(axis_names[0])
        axes.set_ylabel(axis_names[1])
        _quiet(axes, len(lines))

    return _drawn(fill, title, stem, folder, WIDE)


def _drawn(fill: Callable[[Any], None], title: str, stem: str, folder: Path, size: tuple[float, float]) -> Figure:
    """A figure with the axes that `fill` draws on, saved."""
    pyplot = _library()
    ink = PALETTE["ink"][0]
    with pyplot.rc_context({"svg.fonttype": "none", "svg.hashsalt": stem, "text.color": ink, "axes.labelcolor": ink}):
        figure, axes = pyplot.subplots(figsize=size, layout="constrained")
        fill(axes)
        text = io.StringIO()
        figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None}, transparent=True)
        figure.savefig(folder / f"{stem}.svg", metadata={"Date": None, "Creator": None})
        figure.savefig(folder / f"{stem}.png", dpi=160, metadata={"Software": None})
        pyplot.close(figure)
    return Figure(stem, title, _themed(text.getvalue(), title, stem))


def _line(axes: Any, curve: Curve, metric: Metric, number: int) -> None:
    ours = family(curve.name) == "snerv"
    color = PALETTE.get(family(curve.name), PALETTE["ink"])[0]
    dash = next((dash for ending, dash in _STYLES if ending in curve.name), "-")
    axes.plot(
        *zip(*curve.values(metric), strict=True),
        color=color,
        linestyle="-" if ours else dash,
        linewidth=2.4 if ours else 1.4,
        marker="os^Dv"[number % 5] if ours else "o",
        markersize=6 if ours else 3,
        zorder=3 if ours else 2,
        label=curve.name,
    )


def _decorate(axes: Any, curves: Sequence[Curve], metric: Metric, ceiling: float | None) -> None:
    """Axes in plain numbers, a quiet grid, the legend, and the ceiling where it is near."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    points = [point for curve in curves for point in curve.values(metric)]
    highest = max(quality for _, quality in points)
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(FixedLocator(_RATE_TICKS))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel("bits per pixel (file on disk)")
    axes.set_ylabel(f"{metric.name} ({metric.unit})" if metric.key == "psnr" else metric.name)
    if metric.key == "ms_ssim":
        names = {metric.scaled(value): f"{value:g}" for value in _SIMILARITY_TICKS}
        axes.yaxis.set_major_locator(FixedLocator(list(names)))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: names[value]))
    if ceiling is not None and ceiling - highest < 3:
        axes.axhline(ceiling, color=PALETTE["weak"][0], linewidth=1, linestyle=(0, (1, 3)))
        axes.annotate("ceiling of 4:2:0", (min(bpp for bpp, _ in points), ceiling), (0, 3), textcoords="offset points")
    _quiet(axes, len(curves))


def _quiet(axes: Any, lines: int) -> None:
    """A grid that does not shout, and the legend of so many lines."""
    ink, faint = PALETTE["ink"][0], PALETTE["faint"][0]
    axes.grid(color=faint, linewidth=0.7)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(faint)
    axes.tick_params(color=faint, labelcolor=ink)
    place = {"loc": "center left", "bbox_to_anchor": (1, 0.5)} if lines > CROWDED else {"loc": "best"}
    axes.legend(frameon=False, labelcolor=ink, **place)


def _themed(svg: str, title: str, stem: str) -> str:
    """The SVG element alone, its colours as CSS variables, its identifiers its own on a page with others."""
    svg = svg[svg.index("<svg") :]
    for name, (light, _) in PALETTE.items():
        svg = svg.replace(light, f"var(--{name})")
    svg = re.sub(r'(id="|url\(#|href="#)', rf"\g<1>{stem}-", svg)
    opening = rf'<svg viewBox="\1" role="img" aria-label="{title}">'
    return re.sub(r'<svg[^>]*viewBox="([^"]*)"[^>]*>', opening, svg, count=1)


def _library() -> Any:
    try:
        import matplotlib
    except ImportError as error:
        raise ResourceError("figures need matplotlib: pip install 'snerv-codec[bench]'") from error
    matplotlib.use("Agg")
    from matplotlib import pyplot

    return pyplot
