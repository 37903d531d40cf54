"""Values on the command line: how they are written and read."""

import re
from fractions import Fraction
from typing import Any, Literal

import click


class Parsed(click.ParamType[Any]):
    """A value given by a pattern; `example` shows how to write it."""

    def __init__(self, name: str, pattern: str, example: str) -> None:
        self.name, self.example = name, example
        self._pattern = re.compile(pattern)

    def match(self, value: str) -> re.Match[str]:
        """The parts of `value`; a usage error where it has another form."""
        found = self._pattern.fullmatch(value.strip())
        if not found:
            self.fail(f"{value!r} is not like {self.example}")
        return found


class Size2D(Parsed):
    """Two sides such as 640x1280, as integers in the order written."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        first, second = self.match(value).groups()
        return int(first), int(second)


class Size3D(Parsed):
    """Three sizes such as 8x4x8, as integers."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int, int]:
        first, second, third = self.match(value).groups()
        return int(first), int(second), int(third)


class FrameRange(Parsed):
    """A:B, half open, where either end may be left out; N alone is that frame."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int | None]:
        first, colon, last = self.match(value).groups()
        if not colon:
            return int(first), int(first) + 1
        return int(first or 0), int(last) if last else None


class Rate(Parsed):
    """Frames a second, exact: 25, 29.97 or 30000/1001."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Fraction:
        try:
            rate = Fraction(self.match(value)[0])
        except ZeroDivisionError:
            self.fail(f"{value!r} divides by zero")
        return rate if rate > 0 else self.fail(f"{value!r} is not above 0")


class Multiple(Parsed):
    """A positive integer, perhaps with an x: 2x."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        return value if isinstance(value, int) else int(self.match(value)[1])


class Integers(Parsed):
    """Integers with commas between."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, ...]:
        return tuple(int(part) for part in self.match(value)[0].split(","))


class Amount(Parsed):
    """A number with a unit of thousands, and perhaps a letter after it: 1.2MB, 800k."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if isinstance(value, float):
            return value
        number, prefix, binary = self.match(value).groups()
        base = 1024 if binary else 1000
        return float(number) * float(base ** " kMG".index(prefix.replace("K", "k") or " "))


class Workers(Parsed):
    """A number of processes, or auto."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | Literal["auto"]:
        if isinstance(value, int):
            return value
        number = self.match(value)[0]
        return "auto" if number == "auto" else int(number)


CROP = Size2D("HxW", r"(\d+)[xX](\d+)", "640x1280 (height x width)")
TEMPORAL_SIZE = Size2D("HxW", r"(\d+)[xX](\d+)", "20x40 (height x width)")
EMBEDDING = Size3D("CxHxW", r"(\d+)[xX](\d+)[xX](\d+)", "8x4x8 (channels x height x width)")
WORKERS = Workers("N|auto", r"auto|[1-9]\d*", "4 or auto")
VIDEO_SIZE = Size2D("WxH", r"(\d+)[xX](\d+)", "1920x1080 (width x height)")
FRAMES = FrameRange("A:B", r"(?=.)(\d*)(:?)((?<=:)\d*|)", "0:33, 10:, :100 or 7")
RATE = Rate("RATE", r"\d+(\.\d+)?(/\d+)?", "25, 29.97 or 30000/1001")
MULTIPLE = Multiple("Nx", r"([1-9]\d*)x?", "2x")
STRIDES = Integers("S,S,S,S,S", r"\d+(,\d+)*", "5,4,2,2,2")
BYTES = Amount("SIZE", r"(\d+(?:\.\d+)?)\s*([kKMG]?)(i?)[bB]?", "1.2MB, 800kB or 500KiB")
BITRATE = Amount("RATE", r"(\d+(?:\.\d+)?)\s*([kKMG]?)()(?:bps|bit/s)?", "800k or 1.5M (bits a second)")

MODEL_HELP = (
    "Backbone b, its temporal extension with 3D or 2D convolutions; pixel, without subbands; canvas, which adds a map "
    "that all frames share; sprite, with a map for each scene that moves with the camera: fewest bits; or auto, "
    "which is sprite with recipe rd, else b."
)
RECIPE_HELP = (
    "What follows the fit: paper prunes and rounds, hinerv trains with rounding, rd for the fewest bits."
    "  [default: rd with a target or without --size, else paper]"
)
TEMPORAL_HELP = "Height x width of temporal embeddings (t, t2d), instead of those --size gives."
