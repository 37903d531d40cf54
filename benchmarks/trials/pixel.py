"""Model pixel: layouts of its embedding, and losses, in bytes of real files.

    python -m benchmarks.trials.pixel --dataset bunny-tiny --trials 16x4x8 8x4x8 [--epochs 30]
    python -m benchmarks.trials.pixel --table

A trial is a row of `TRIALS`: settings of an encode by their names, besides `COMMON`. Each run leaves a line in
results/trials/pixel/CLIP.jsonl. With `--table` they are put side by side; "at the bytes of" is how far a trial's PSNR
and VMAF are from those of the first trial of its group, once `SLOPE` and `VMAF_SLOPE` make up for the bytes.
"""

import argparse
import sys
from collections.abc import Iterator
from itertools import groupby
from math import log2
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks import datasets, record
from benchmarks.codecs import Snerv
from benchmarks.record import Record
from snerv_codec import evaluate
from snerv_codec.bitstream.container import StreamFile

COMMON: dict[str, Any] = {"model": "pixel", "recipe": "rd"}
FINE = {"rate_weight": 0.004}
TRIALS: dict[str, dict[str, Any]] = {
    # embeddings, at 96x192; the first is what the others are compared with
    "8x4x8": {**FINE, "embedding": (8, 4, 8)},
    "4x4x8": {**FINE, "embedding": (4, 4, 8)},
    "16x4x8": {**FINE, "embedding": (16, 4, 8)},
    "32x4x8": {**FINE, "embedding": (32, 4, 8)},
    "8x6x12": {**FINE, "embedding": (8, 6, 12)},
    "8x8x16": {**FINE, "embedding": (8, 8, 16), "strides": (3, 2, 2, 1)},
    "8x8x16, 3 stages": {**FINE, "embedding": (8, 8, 16), "strides": (3, 2, 2)},
    "8x4x8, 5 stages": {**FINE, "embedding": (8, 4, 8), "strides": (3, 2, 2, 2, 1)},
    # losses
    "balanced": {"embedding": (8, 4, 8)},
    "psnr": {"embedding": (8, 4, 8), "tune": "psnr"},
    "ssim": {"embedding": (8, 4, 8), "tune": "ssim"},
    "vmaf": {"embedding": (8, 4, 8), "tune": "vmaf"},
    "alpha 0.9": {"embedding": (8, 4, 8), "alpha": 0.9},
}
GROUPS = ("8x4x8", "balanced")  # the first trial of each
SLOPE, VMAF_SLOPE = 2.5, 6.9  # dB and VMAF for twice the bytes, between trials of several rate weights


def run(options: argparse.Namespace) -> None:
    """All that is asked for and has no record yet."""
    for dataset in datasets.find_datasets(options.dataset):
        for trial in options.trials:
            codec = Snerv({**COMMON, **TRIALS[trial], "epochs": options.epochs, "seed": options.seed})
            same = {"dataset": dataset.to_json(), "trial": trial, "settings": codec.settings(options.size)}
            if record.find_record(f"trials/pixel/{dataset.name}", same) is not None:
                continue
            with TemporaryDirectory() as folder:
                coded = codec.code(dataset, options.size, Path(folder) / "trial")
                found = evaluate(dataset.master, coded.path).summary
                with StreamFile(coded.path) as file:
                    parts = file.coded_segment(0).tensor_bytes
                values = {
                    "bytes": coded.path.stat().st_size,
                    "embedding_bytes": parts["embeddings"],
                    **{key: found.get(key) for key in ("psnr", "psnr_yuv", "ssim", "vmaf")},
                    "cpu_seconds": coded.encode.cpu_seconds if coded.encode else None,
                    "config": coded.details["config"],
                }
            record.write_record(f"trials/pixel/{dataset.name}", same, values)
            print(dataset.name, trial, f"{values['bytes']:,} bytes, {found['psnr']:.2f} dB", flush=True)


def table() -> Iterator[str]:
    """The records side by side, by clip, size, epochs and group."""
    for path in sorted((record.RESULTS / "trials" / "pixel").glob("*.jsonl")):
        lines = record.read_records(f"trials/pixel/{path.stem}")
        for (size, epochs, first), group in groupby(sorted(lines, key=_kind), key=_kind):
            runs = list(group)
            yield f"\n{path.stem}, {size} parameters, {epochs} epochs"
            header = f"{'trial':>18} {'bytes':>7} {'embedding':>9} {'PSNR':>6} {'SSIM':>6} {'VMAF':>5}"
            yield f"{header}  at the bytes of {first}"
            base = next((run for run in runs if run["trial"] == first), None)
            yield from (_line(run, base) for run in runs)


def _kind(values: Record) -> tuple[str, int, str]:
    """Size, epochs, and the trial that others of the group are compared with."""
    names = list(TRIALS)
    first = next(name for name in reversed(GROUPS) if names.index(name) <= names.index(values["trial"]))
    return values["settings"]["size"], values["settings"]["epochs"], first


def _line(run: Record, base: Record | None) -> str:
    vmaf = f"{run['vmaf']:.1f}" if run["vmaf"] else ""
    text = f"{run['trial']:>18} {run['bytes']:>7,} {run['embedding_bytes']:>9,} {run['psnr']:>6.2f} {run['ssim']:>6.4f}"
    if base is None or run is base:
        return f"{text} {vmaf:>5}"
    doublings = log2(base["bytes"] / run["bytes"])
    gains = [f"{run['psnr'] - base['psnr'] + SLOPE * doublings:+.2f} dB"]
    if run["vmaf"] and base["vmaf"]:
        gains.append(f"{run['vmaf'] - base['vmaf'] + VMAF_SLOPE * doublings:+.1f} VMAF")
    return f"{text} {vmaf:>5}  {', '.join(gains)}"


def main(argv: list[str] | None = None) -> int:
    """Run what has no record yet, or print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--dataset", default="bunny-tiny")
    add("--size", default="80k")
    add("--epochs", type=int, default=30)
    add("--seed", type=int, default=0)
    add("--trials", nargs="+", choices=TRIALS, default=list(GROUPS), metavar="TRIAL", help="; ".join(TRIALS))
    add("--table", action="store_true", help="print what the records say, and stop")
    options = parser.parse_args(argv)
    if options.table:
        print("\n".join(table()))
    else:
        run(options)
    return 0


if __name__ == "__main__":
    sys.exit(main())
