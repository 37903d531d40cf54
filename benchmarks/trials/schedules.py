"""Time to quality: what optimisers and schedules reach in how many epochs, beside the paper's recipe.

    python -m benchmarks.trials.schedules --dataset bunny-small --size 150k --trials paper muon-3e-3 [--halve]
    python -m benchmarks.trials.schedules --table

A trial is a row of `TRIALS`. All start from the same weights and see the frames in the same order; figures are those
of the networks as fitted, before pruning and coding. `--halve` scales a clip to half its width and height, to look at
many trials in little time. Each run leaves a line in results/trials/schedules/CLIP.jsonl. With `--table`, they are put
side by side; "as paper" is how many epochs of the paper's recipe reach the same, read between its runs.
"""

import math
import sys
import time
from argparse import Namespace
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict
from itertools import groupby
from statistics import fmean
from typing import Any

import numpy as np
import torch

from benchmarks import record, tasks
from benchmarks.record import Record
from benchmarks.tasks import Subject
from benchmarks.trials.ways import TRIALS, Fit, halve
from snerv_codec.evaluation.metrics import mean_quality, ssim
from snerv_codec.media.picture import Pixels
from snerv_codec.training.frames import FrameSet


def run(options: Namespace) -> None:
    """All that is asked for and has no record yet."""
    for dataset, frames in tasks.clips(options):
        if options.halve:
            frames = halve(torch.from_numpy(frames)).numpy()
        config = Subject().config(frames, len(frames), options.size)
        clip = FrameSet(tasks.place(frames, options), config)
        name = f"trials/schedules/{dataset.name}"
        for trial in options.trials:
            same = {"dataset": dataset.to_json(), "halved": options.halve, "trial": trial}
            same |= {"settings": asdict(TRIALS[trial]), "epochs": options.epochs, "seed": options.seed}
            same |= {"config": asdict(config)}
            if record.find_record(name, same) is not None:
                continue
            values = measure(Fit(clip, config, TRIALS[trial], epochs=options.epochs, seed=options.seed), frames)
            about = {**Subject().describe(config, len(frames)), "threads": torch.get_num_threads()}
            record.write_record(name, same, {**about, **values})
            print(dataset.name, trial, options.epochs, options.seed, _brief(values), flush=True)


def measure(fit: Fit, frames: Pixels) -> Record:
    """Run a fit: mean PSNR in dB and SSIM of its frames, and the time it took; or that it diverged."""
    wall, busy = time.perf_counter(), time.process_time()
    try:
        fit.run()
    except ArithmeticError as error:
        return {"diverged": str(error)}
    times = {"seconds": time.perf_counter() - wall, "cpu_seconds": time.process_time() - busy}
    pictures = [np.ascontiguousarray(picture) for picture in fit.pictures()]
    similarity = fmean(ssim(*pair) for pair in zip(frames, pictures, strict=True))
    return {"psnr": mean_quality(frames, pictures, multiscale=False).psnr, "ssim": similarity, **times}


def _brief(values: Record) -> str:
    if "diverged" in values:
        return str(values["diverged"])
    return f"{values['psnr']:.2f} dB, SSIM {values['ssim']:.4f}, {values['cpu_seconds']:.0f} s"


def table() -> Iterator[str]:
    """The records side by side: for each clip, epochs and trial the means over seeds, the best first."""
    names = sorted(path.stem for path in (record.RESULTS / "trials" / "schedules").glob("*.jsonl"))
    records = [values for name in names for values in record.read_records(f"trials/schedules/{name}")]
    for title, runs in _grouped(records, _clip):
        rows = [_row(group) for _, group in _grouped(runs, _kind)]
        curve = sorted((row["psnr"], row["epochs"]) for row in rows if row["trial"] == "paper")
        paper_time = {row["epochs"]: row["cpu_seconds"] for row in rows if row["trial"] == "paper"}
        yield f"\n{title}"
        yield f"{'trial':>22} {'epochs':>6} {'seeds':>5} {'PSNR':>6} {'SSIM':>6} {'as paper':>8} {'time':>5}"
        for row in sorted(rows, key=lambda row: (row["epochs"], -row["psnr"])):
            time = row["cpu_seconds"] / paper_time.get(row["epochs"], math.nan)
            yield (
                f"{row['trial']:>22} {row['epochs']:>6} {row['seeds']:>5} {row['psnr']:>6.2f} {row['ssim']:>6.4f} "
                f"{equivalent(curve, row['psnr']):>8} {time:>5.2f}"
            )


def equivalent(curve: list[tuple[float, int]], value: float) -> str:
    """Epochs at which a rising curve of (PSNR, epochs) has `value`, between its points in the logarithm of epochs."""
    if len(curve) < 2 or math.isnan(value):
        return "–"
    levels, epochs = zip(*curve, strict=True)
    if value > levels[-1]:
        return f">{epochs[-1]}"
    if value < levels[0]:
        return f"<{epochs[0]}"
    return f"{math.exp(float(np.interp(value, levels, np.log(epochs)))):.0f}"


def _grouped(records: Iterable[Record], key: Callable[[Record], Any]) -> Iterator[tuple[Any, list[Record]]]:
    """Records that `key` is the same of, in its order."""
    return ((value, list(group)) for value, group in groupby(sorted(records, key=key), key=key))


def _clip(values: Record) -> str:
    """The clip and the model's size, for people."""
    half = ", halved" if values["halved"] else ""
    return f"{values['dataset']['name']}{half}, {sum(values['parameters'].values()):,} parameters"


def _kind(values: Record) -> tuple[int, str]:
    return values["epochs"], values["trial"]


def _row(group: list[Record]) -> Record:
    """Means over the seeds of one trial; NaN where one diverged."""
    means = {key: fmean(run.get(key, math.nan) for run in group) for key in ("psnr", "ssim", "cpu_seconds")}
    return {"trial": group[0]["trial"], "epochs": group[0]["epochs"], "seeds": len(group), **means}


def main(argv: list[str] | None = None) -> int:
    """Run what has no record yet, or print the table."""
    parser = tasks.arguments(__doc__)
    parser.add_argument(
        "--trials", nargs="+", choices=TRIALS, default=["paper"], metavar="TRIAL", help=", ".join(TRIALS)
    )
    parser.add_argument("--halve", action="store_true", help="clips at half their width and height")
    parser.add_argument("--table", action="store_true", help="print what the records say, and stop")
    options = parser.parse_args(argv)
    if options.table:
        print("\n".join(table()))
    else:
        run(options)
    return 0


if __name__ == "__main__":
    sys.exit(main())
