"""The paper's claims about its models, beside our records of the same tasks: seen here, or contradicted.

    python -m benchmarks.paper.claims [--clip bunny-small]

Reads results/paper/regression, interpolation and inpainting, made by the benchmarks of these names. A claim says by how
much one model is above another; the paper's figures are for other clips, larger models and more epochs than a CPU
allows, so it is the order that is compared.
"""

import argparse
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import get_args

from benchmarks import record
from benchmarks.markdown import markdown
from benchmarks.record import Record
from benchmarks.tasks import SUBJECTS
from snerv_codec.pages.document import Section, Table, Text
from snerv_codec.training.settings import OptimizerName

NONE = "–"
SMALL = 0.1  # dB below which two models count as equal: seeds alone make such differences
OPTIMIZERS = get_args(OptimizerName)
NAMES = {"b": "B", "t": "T", "t2d": "T2D", "pixel": "pixel", "hnerv": "HNeRV"}


@dataclass(frozen=True, slots=True)
class Claim:
    """In `task`, `better` is above `worse` by `published` dB of PSNR in the paper's `table`."""

    task: str
    better: str
    worse: str
    published: float
    table: str


# Where a model is above another in the paper, by the averages of its tables.
CLAIMS = (
    Claim("regression", "b", "hnerv", 39.64 - 38.06, "2a, Bunny 3M"),
    Claim("regression", "b", "t", 39.64 - 39.09, "2a, Bunny 3M"),
    Claim("regression", "t", "hnerv", 39.09 - 38.06, "2a, Bunny 3M"),
    Claim("interpolation", "t", "b", 31.96 - 29.37, "3, UVG"),
    Claim("interpolation", "t", "hnerv", 31.96 - 29.40, "3, UVG"),
    Claim("interpolation", "b", "hnerv", 29.37 - 29.40, "3, UVG"),
    Claim("in-painting, fixed", "b", "hnerv", 30.70 - 29.76, "4, DAVIS"),
    Claim("in-painting, random", "b", "hnerv", 29.90 - 29.41, "4, DAVIS"),
)
# For each task the folder of its records, what kind of it they are of, and where the figure is that claims are about.
TASKS: dict[str, tuple[str, str | None, Callable[[Record], float]]] = {
    "regression": ("regression", None, lambda values: values["psnr"]),
    "interpolation": ("interpolation", None, lambda values: values["paper"]["unseen"]["psnr"]),
    "in-painting, fixed": ("inpainting", "fixed", lambda values: values["network"]["psnr"]),
    "in-painting, random": ("inpainting", "random", lambda values: values["network"]["psnr"]),
}


def find(task: str, optimizer: str, clip: str, results: Path) -> dict[str, Record]:
    """Each model's record of a task with the most epochs."""
    folder, kind, _ = TASKS[task]
    found: dict[str, Record] = {}
    for values in record.read_records(f"paper/{folder}/{clip}", folder=results):
        model, settings = values["model"], values["settings"]
        if values.get("task") != kind or settings["optimizer"] != optimizer:
            continue
        if model not in found or settings["epochs"] >= found[model]["settings"]["epochs"]:
            found[model] = values
    return found


def verdict(published: float, ours: float | None) -> str:
    """Whether our difference between two models says the same as the paper's."""
    if ours is None:
        return "not measured"
    signs = [0 if abs(value) < SMALL else (1 if value > 0 else -1) for value in (published, ours)]
    return "seen" if signs[0] == signs[1] else "contradicted" if signs[0] * signs[1] < 0 else "no clear difference"


def claims_table(clip: str, results: Path) -> Table:
    """Every claim with the paper's difference, and with ours by each optimiser."""
    rows = []
    for claim in CLAIMS:
        cells: list[str] = []
        for optimizer in OPTIMIZERS:
            found, figure = find(claim.task, optimizer, clip, results), TASKS[claim.task][2]
            ours = None
            if claim.better in found and claim.worse in found:
                ours = figure(found[claim.better]) - figure(found[claim.worse])
            cells += [NONE if ours is None else f"{ours:+.2f}", verdict(claim.published, ours)]
        title = f"{claim.task}: {NAMES[claim.better]} − {NAMES[claim.worse]}"
        rows.append((title, f"{claim.published:+.2f}", *cells, f"table {claim.table}"))
    columns = [text for optimizer in OPTIMIZERS for text in (f"here by {optimizer.title()}, dB", "")]
    return Table(("difference in", "paper, dB", *columns, "paper's figures"), rows)


def sections(clip: str, results: Path) -> Iterator[Section]:
    """A table of each task and optimiser, by model."""
    for task, optimizer in product(TASKS, OPTIMIZERS):
        found = find(task, optimizer, clip, results)
        if found:
            names = [name for name in SUBJECTS if name in found]
            header, columns = _columns(task)
            rows = [(NAMES[name], *_common(found[name]), *columns(found[name])) for name in names]
            first = found[names[0]]["settings"]
            about = (
                f"{clip}, size {first['size']}, {first['epochs']} epochs by {optimizer.title()}, seed {first['seed']}."
            )
            yield Section(task.capitalize(), [Table(("", "parameters", "GMAC", *header), rows, (about,))])


def _common(values: Record) -> tuple[str, str]:
    described = values.get("paper", values)
    return f"{sum(described['parameters'].values()):,}", f"{described['macs'] / 1e9:.2f}"


def _columns(task: str) -> tuple[tuple[str, ...], Callable[[Record], tuple[str, ...]]]:
    if task == "regression":
        return ("PSNR", "MS-SSIM"), lambda v: (f"{v['psnr']:.2f}", f"{v['ms_ssim']:.4f}")
    if task == "interpolation":
        header = ("seen frames", "unseen, paper's protocol", "unseen, from a file", "frame average")
        return header, lambda v: (
            f"{v['paper']['seen']['psnr']:.2f}",
            f"{v['paper']['unseen']['psnr']:.2f}",
            f"{v['codec']['unseen']['psnr']:.2f}",
            f"{v['average']['psnr']:.2f}",
        )
    header = ("whole frame", "MS-SSIM", "inside the holes", "masked input")
    return header, lambda v: (
        f"{v['network']['psnr']:.2f}",
        f"{v['network']['ms_ssim']:.4f}",
        f"{v['network']['hidden_psnr']:.2f}",
        f"{v['masked']['psnr']:.2f}",
    )


def main(argv: list[str] | None = None) -> None:
    """Print the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clip", default="bunny-small", help="name of the clip in the records [%(default)s]")
    parser.add_argument("--results", type=Path, default=record.RESULTS, help="folder of the records [%(default)s]")
    options = parser.parse_args(argv)
    tasks = list(sections(options.clip, options.results))
    if not tasks:
        sys.exit(
            f"no records of {options.clip} in {options.results}: python -m benchmarks.paper.regression makes the first"
        )
    intro = (
        "PSNR in dB of the fitted networks, frames rounded to 8 bits, before pruning, quantisation and coding; only "
        f'"from a file" is of what a file decodes to. Differences below {SMALL} dB count as none.'
    )
    page = markdown("The paper's claims, here", [Text(intro), claims_table(options.clip, options.results), *tasks])
    print(page)


if __name__ == "__main__":
    main()
