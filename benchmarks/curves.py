"""Curves from the records in results/rd: all that tables and plots are made of."""

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Metric:
    """A measure of quality in records; `scaled` is what curves are drawn and compared in, in `unit`."""

    key: str
    name: str
    unit: str
    scaled: Callable[[float], float]


def _decibels(similarity: float) -> float:
    """MS-SSIM on a scale that keeps apart what lies close to 1: −10·log10(1 − x)."""
    return -10 * math.log10(max(1 - similarity, 1e-10))


METRICS = (
    Metric("psnr", "PSNR", "dB", float),
    Metric("ms_ssim", "MS-SSIM", "dB", _decibels),
    Metric("vmaf", "VMAF", "", float),
)


@dataclass(frozen=True, slots=True)
class Curve:
    """The points of one codec on one clip, as records, from the smallest file to the largest; and those that failed."""

    dataset: str
    codec: str
    points: tuple[dict[str, Any], ...]
    failed: tuple[dict[str, Any], ...]

    def values(self, metric: Metric) -> list[tuple[float, float]]:
        """(bpp, scaled quality) of the points that have this metric."""
        pairs = ((point["rate"]["bpp"], point["quality"].get(metric.key)) for point in self.points)
        return [(bpp, metric.scaled(value)) for bpp, value in pairs if value is not None]


def load_curves(results: Path) -> list[Curve]:
    """All curves on record in a folder, by clip and codec."""
    curves = []
    for folder in sorted(path for path in results.glob("rd/*/*") if path.is_dir()):
        records = [json.loads(path.read_text()) for path in folder.glob("*.json")]
        done = [values for values in records if values["status"] == "done"]
        failed = tuple(values for values in records if values["status"] != "done")
        points = tuple(sorted(done, key=lambda values: values["rate"]["bytes"]))
        curves.append(Curve(folder.parent.name, folder.name, points, failed))
    return curves


def load_ceiling(dataset: str, results: Path) -> dict[str, Any] | None:
    """The record of what 4:2:0 alone costs on a clip, or None."""
    path = results / "rd" / dataset / "ceiling-420.json"
    return json.loads(path.read_text()) if path.exists() else None
