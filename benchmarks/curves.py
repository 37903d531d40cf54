"""Curves from the records in results/rd: all that tables and plots are made of."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from benchmarks.record import Record, as_json, read_records

OURS = "snerv"
OF_A_POINT = ("size",)  # settings that differ from point to point of a curve
ANY_WEIGHT = "any"  # of a curve whose points have been chosen from several rate weights
MIN_POINTS = 4  # of a curve that deltas are taken of
UNNAMED = ("phases", "version", "device")  # what is in no name where anything else differs
CEILING = "ceiling-420"


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
    Metric("psnr_yuv", "YUV 6:1:1", "dB", float),
    Metric("ms_ssim", "MS-SSIM", "dB", _decibels),
    Metric("vmaf", "VMAF", "", float),
)


@dataclass(frozen=True, slots=True)
class Curve:
    """The points of one codec with one set of settings on one clip, from the smallest file to the largest.

    `name` is short, and no other curve of the clip has it: an anchor's own, and of ours the recipe and its epochs in
    all, with what else tells it from others. `settings` are those that all points share.
    """

    dataset: str
    codec: str
    name: str
    points: tuple[Record, ...]
    failed: tuple[Record, ...] = ()
    settings: Record | None = None

    @property
    def ours(self) -> bool:
        """Whether the codec is this project's."""
        return self.codec == OURS

    def values(self, metric: Metric) -> list[tuple[float, float]]:
        """(bpp, scaled quality) of the points that have this metric."""
        pairs = ((point["rate"]["bpp"], point["quality"].get(metric.key)) for point in self.points)
        return [(bpp, metric.scaled(value)) for bpp, value in pairs if value is not None]


def load_curves(results: Path) -> list[Curve]:
    """All curves on record in a folder, by clip and codec."""
    curves: list[Curve] = []
    for path in sorted(results.glob("rd/*/*.jsonl")):
        clip, codec = path.parent.name, path.stem
        if codec == CEILING:
            continue
        records = read_records(f"rd/{clip}/{codec}", folder=results)
        if codec == OURS:
            curves += _our_curves(clip, records)
        else:
            curves.append(_curve(clip, codec, codec, records))
    return curves


def load_ceiling(dataset: str, results: Path) -> Record | None:
    """The record of what 4:2:0 alone costs on a clip, or None."""
    return next(iter(read_records(f"rd/{dataset}/{CEILING}", folder=results)), None)


def _curve(clip: str, codec: str, name: str, records: Sequence[Record], settings: Record | None = None) -> Curve:
    done = [values for values in records if values["status"] == "done"]
    failed = tuple(values for values in records if values["status"] != "done")
    return Curve(clip, codec, name, tuple(sorted(done, key=lambda each: each["rate"]["bytes"])), failed, settings)


def _our_curves(clip: str, records: Sequence[Record]) -> list[Curve]:
    """A curve for each version and set of settings, and one of the best points of all rate weights together.

    Of those that share a name the one with the fewest wishes keeps it; single points do where no curve does.
    """
    groups = [*_alike(records, OF_A_POINT), *_of_any_weight(records)]

    def rank(group: list[Record]) -> tuple[bool, bool, int, int]:
        settings = group[0]["settings"]
        wishes = sum(value is not None for value in settings.values())
        return settings.get("rate_weight") == ANY_WEIGHT, len(group) < MIN_POINTS, wishes, -len(group)

    groups.sort(key=rank)
    by_name: dict[str, list[list[Record]]] = {}
    for group in groups:
        by_name.setdefault(_short(group[0]["settings"]), []).append(group)
    curves = []
    for name, rivals in by_name.items():
        first = _settings(rivals[0][0])
        for group in rivals:
            settings = _settings(group[0])
            other = [f"{key} {settings[key]}" for key in settings if key in first and settings[key] != first[key]]
            told = [text for text in other if not text.startswith(UNNAMED)]
            other = told or [text for text in other if text.startswith("version")] or other
            curves.append(_curve(clip, OURS, ", ".join([name, *other]), group, settings))
    return curves


def _alike(records: Sequence[Record], but_for: Sequence[str]) -> list[list[Record]]:
    """Records in groups of one version and the same settings, but for some."""

    def shared(values: Record) -> str:
        return repr(sorted(as_json(_settings(values, but_for)).items()))

    return [list(group) for _, group in groupby(sorted(records, key=shared), key=shared)]


def _of_any_weight(records: Sequence[Record]) -> Iterator[list[Record]]:
    """Groups that differ by size and rate weight, of each the records that no other beats by rate and PSNR.

    That is the curve of somebody who tries both and keeps what is best. A group is left out where it would be too short
    a curve.
    """
    done = [values for values in records if values["status"] == "done" and values["settings"].get("rate_weight")]
    for group in _alike(done, (*OF_A_POINT, "rate_weight")):
        kept: list[Record] = []
        for values in sorted(group, key=lambda each: (each["rate"]["bytes"], -each["quality"]["psnr"])):
            if not kept or values["quality"]["psnr"] > kept[-1]["quality"]["psnr"]:
                kept.append(values)
        weights = {values["settings"]["rate_weight"] for values in kept}
        if len(weights) > 1 and len(kept) >= MIN_POINTS:
            yield [_with_any_weight(values) for values in kept]


def _with_any_weight(values: Record) -> Record:
    """The record as a point of a curve of all rate weights: its own is in the point's name."""
    settings = values["settings"]
    point = f"{values['point']}, rate weight {settings['rate_weight']:g}"
    return {**values, "point": point, "settings": {**settings, "rate_weight": ANY_WEIGHT}}


def _short(settings: Record) -> str:
    """The recipe and its epochs in all, and a model that is not the backbone."""
    model = "" if settings["model"] == "b" else f" {settings['model']}"
    return f"{OURS}{model} {settings['recipe']} {epochs(settings)}"


def epochs(settings: Record) -> int:
    """Epochs of all phases together."""
    return sum(phase["epochs"] for phase in settings["phases"])


def _settings(values: Record, but_for: Sequence[str] = OF_A_POINT) -> dict[str, Any]:
    """Those that a record shares with others of its curve, but for some, and its version."""
    shared = {key: value for key, value in values["settings"].items() if key not in but_for}
    return {**shared, "version": values["version"]}
