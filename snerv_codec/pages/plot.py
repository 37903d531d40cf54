"""Lines over an axis as SVG: in the page's colours, and drawn twice so that it reads well on a phone too."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from snerv_codec.pages.document import PALETTE

Point = tuple[float, float]

WIDE, NARROW = (720, 300), (360, 260)  # units of the drawing, which are pixels at its natural size
LEFT, RIGHT, TOP, BOTTOM = 52, 12, 10, 42  # room around the axes for what is written there
LABEL, DIGIT = 26, 7.5  # columns of the y axis's label and of a digit beside it
COLUMNS = 4  # of the legend in a file
MOST_POINTS = 1000  # of a line: of more, the lowest are drawn, as nobody could tell the others apart


@dataclass(frozen=True, slots=True)
class Line:
    """Points (x, y), in the order of x, in the colour of that name (`document.PALETTE`).

    `marked` puts a dot at each, with its figures, and `dots` leaves the line between them out; one point alone is a
    dot. `strong` lines are thick and in front.
    """

    name: str
    points: Sequence[Point]
    color: str = "snerv"
    dash: str = ""
    marked: bool = False
    dots: bool = False
    strong: bool = False


def plot(lines: Sequence[Line], x_label: str, y_label: str, *, log_x: bool = False, legend: bool = True) -> str:
    """The lines as HTML: a drawing for wide pages, one for narrow ones, and a legend of the names."""
    drawings = "".join(
        _drawing(lines, x_label, y_label, log_x, size, name) for size, name in ((WIDE, "wide"), (NARROW, "narrow"))
    )
    items = "".join(f'<li><i style="{_swatch(line)}"></i>{escape(line.name)}</li>' for line in lines)
    return drawings + (f'<ul class="legend">{items}</ul>' if legend else "")


def svg_file(lines: Sequence[Line], x_label: str, y_label: str, *, log_x: bool = False) -> str:
    """The lines as an SVG file of its own, with a legend, light or dark as its reader has it set."""
    drawing = _drawing(lines, x_label, y_label, log_x, WIDE, "wide")
    inner = drawing[drawing.index(">") + 1 : drawing.rindex("</svg>")]
    rows = math.ceil(len(lines) / COLUMNS)
    (width, height), step = WIDE, (WIDE[0] - LEFT) / COLUMNS
    legend = []
    for number, line in enumerate(lines):
        x, y = LEFT + step * (number % COLUMNS), height + 16 + 20 * (number // COLUMNS)
        dash = f' stroke-dasharray="{line.dash}"' if line.dash else ""
        legend.append(
            f'<path d="M{x:.0f} {y - 4}h22" stroke="var(--{line.color})" stroke-width="{_thickness(line)}"{dash}/>'
            f'<text x="{x + 28:.0f}" y="{y}">{escape(line.name)}</text>'
        )
    height += 8 + 20 * rows
    colors = ("".join(f"--{name}:{pair[i]};" for name, pair in PALETTE.items()) for i in (0, 1))
    style = "svg{{{}}}@media(prefers-color-scheme:dark){{svg{{{}}}}}".format(*colors)
    style += 'text{fill:var(--ink);font:13px system-ui,-apple-system,"Segoe UI",sans-serif}'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}">'
    paper = f'<rect width="{width}" height="{height}" fill="var(--paper)"/>'
    return f"{head}<style>{style}</style>{paper}{inner}{''.join(legend)}</svg>\n"


def bar(parts: Sequence[tuple[str, float, str]]) -> str:
    """A bar of parts (name, amount, colour) that shows their shares, and its legend."""
    whole = sum(amount for _, amount, _ in parts) or 1.0
    pieces = "".join(
        f'<div style="flex:{amount / whole:.5f};background:var(--{color})" title="{escape(name)}"></div>'
        for name, amount, color in parts
    )
    items = "".join(
        f'<li><i style="background:var(--{color})"></i>{escape(name)}, {amount / whole:.1%}</li>'
        for name, amount, color in parts
    )
    return f'<div class="bar" aria-hidden="true">{pieces}</div><ul class="legend">{items}</ul>'


def ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Round numbers (1, 2 or 5 times a power of ten apart) within `low`..`high`, at most about `most`."""
    if high <= low:
        return [low]
    rough = (high - low) / most
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(digit * power for digit in (1, 2, 5, 10) if digit * power >= rough * 0.999)
    return [number * step for number in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]


def log_ticks(low: float, high: float) -> list[float]:
    """1, 2 and 5 times powers of ten within `low`..`high`, both above 0."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    return [value for power in powers for digit in (1, 2, 5) if low <= (value := digit * 10.0**power) <= high]


class _Axis:
    """Values to places: `low`..`high` onto `start`..`end`."""

    def __init__(self, values: Sequence[float], start: float, end: float, *, log: bool = False) -> None:
        low, high = min(values), max(values)
        self._log = log
        if log:
            low, high = math.log10(low), math.log10(high)
        margin = (high - low) * 0.05 or abs(high) * 0.05 or 1.0
        self._low, self._high, self._start, self._end = low - margin, high + margin, start, end

    def place(self, value: float) -> float:
        """Where `value` lies in the drawing."""
        value = math.log10(value) if self._log else value
        return self._start + (value - self._low) / (self._high - self._low) * (self._end - self._start)

    def ticks(self, most: int) -> list[float]:
        """Values to write at the axis."""
        return log_ticks(10**self._low, 10**self._high) if self._log else ticks(self._low, self._high, most)


def _drawing(lines: Sequence[Line], x_label: str, y_label: str, log_x: bool, size: tuple[int, int], name: str) -> str:
    width, height = size
    points = [point for line in lines for point in line.points]
    y = _Axis([point[1] for point in points], height - BOTTOM, TOP)
    left = max(LEFT, round(LABEL + DIGIT * max((len(f"{value:.6g}") for value in y.ticks(height // 50)), default=0)))
    x = _Axis([point[0] for point in points], left, width - RIGHT, log=log_x)
    parts = [_grid(x, y, left, size, x_label, y_label)]
    parts += [_line(line, x, y, x_label, y_label) for line in sorted(lines, key=lambda line: line.strong)]
    label = escape(f"{y_label} over {x_label}: {', '.join(line.name for line in lines)}")
    return f'<svg class="{name}" viewBox="0 0 {width} {height}" role="img" aria-label="{label}">{"".join(parts)}</svg>'


def _grid(x: _Axis, y: _Axis, left: int, size: tuple[int, int], x_label: str, y_label: str) -> str:
    width, height = size
    floor = height - BOTTOM
    rule = '<path d="M{} {}H{}" stroke="var(--faint)"/>'
    across, up = x.ticks(width // 90), y.ticks(height // 50)
    parts = [rule.format(left, f"{y.place(value):.1f}", width - RIGHT) for value in up]
    parts += [f'<text x="{left - 6}" y="{y.place(value) + 4:.1f}" text-anchor="end">{value:.6g}</text>' for value in up]
    parts += [f'<path d="M{x.place(value):.1f} {floor}v4" stroke="var(--ink)"/>' for value in across]
    parts += [
        f'<text x="{x.place(value):.1f}" y="{floor + 18}" text-anchor="middle">{value:.6g}</text>' for value in across
    ]
    middle = (left + width - RIGHT) / 2
    parts.append(f'<text x="{middle}" y="{height - 6}" text-anchor="middle">{escape(x_label)}</text>')
    place = f'transform="translate(12 {(TOP + floor) / 2}) rotate(-90)"'
    parts.append(f'<text {place} text-anchor="middle">{escape(y_label)}</text>')
    return "".join(parts)


def _swatch(line: Line) -> str:
    """Style of a line's mark in a legend: its colour, in dashes where the line has them."""
    color = f"var(--{line.color})"
    if not line.dash:
        return f"background:{color}"
    stops, at = [], 0.0
    for number, length in enumerate(map(float, line.dash.split())):
        stops.append(f"{'transparent' if number % 2 else color} {at:g}px {at + length:g}px")
        at += length
    return f"background:repeating-linear-gradient(90deg,{','.join(stops)});width:1.8rem;height:.25rem"


def _thickness(line: Line) -> float:
    return 2.6 if line.strong else 1.6


def _line(line: Line, x: _Axis, y: _Axis, x_label: str, y_label: str) -> str:
    every = max(1, math.ceil(len(line.points) / MOST_POINTS))
    lowest = [min(line.points[i : i + every], key=lambda point: point[1]) for i in range(0, len(line.points), every)]
    places = [(x.place(a), y.place(b)) for a, b in lowest]
    path = "L".join(f"{a:.1f} {b:.1f}" for a, b in places)
    dash = f' stroke-dasharray="{line.dash}"' if line.dash else ""
    stroke = f'stroke="var(--{line.color})" stroke-width="{_thickness(line)}"{dash}'
    parts = [] if line.dots else [f'<path d="M{path}" fill="none" {stroke}/>']
    if line.marked or line.dots or len(line.points) == 1:
        for (a, b), (at, value) in zip(places, lowest, strict=True):
            told = escape(f"{line.name}: {y_label} {value:.4g}, {x_label} {at:.4g}")
            radius = 5 if line.strong else 3
            dot = f'<circle cx="{a:.1f}" cy="{b:.1f}" r="{radius}" fill="var(--{line.color})"'
            parts.append(f"{dot}><title>{told}</title></circle>")
    return "".join(parts)
