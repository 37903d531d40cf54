"""Regression: how well each model shows the frames that it was fitted to, at equal size and epochs.

    python -m benchmarks.paper.regression --dataset bunny-small --size 300k --epochs 60 [--models b t t2d pixel hnerv]

As in the paper's tables, figures are those of the networks as fitted, before pruning, quantisation and coding, with
frames rounded to 8 bits. Each model leaves a line in results/paper/regression/CLIP.jsonl.
"""

import sys
import time
from argparse import Namespace
from typing import Any

from benchmarks import record, tasks
from benchmarks.datasets import Dataset
from benchmarks.tasks import SUBJECTS
from snerv_codec.media.picture import Pixels
from snerv_codec.training.frames import FrameSet


def run(name: str, dataset: Dataset, frames: Pixels, options: Namespace) -> dict[str, Any]:
    """One model, recorded."""
    subject, settings = SUBJECTS[name], tasks.settings_of(options)
    config = subject.config(frames, len(frames), options.size)
    print(f"{dataset.name}, {name}", flush=True)
    clip = FrameSet(tasks.place(frames, options), config, variant=subject.variant)
    start = time.perf_counter()
    trainer = tasks.fit(subject, config, settings, clip)
    values = {
        **subject.describe(config, len(frames)),
        "seconds": time.perf_counter() - start,
        **tasks.quality(frames, trainer.pictures(range(len(frames)))),
    }
    record.write_record(f"paper/regression/{dataset.name}", tasks.identity(dataset, name, options), values)
    return values


def main(argv: list[str] | None = None) -> int:
    """Run, record, and print a line for each model."""
    parser = tasks.arguments(__doc__)
    parser.add_argument("--models", nargs="+", choices=SUBJECTS, default=list(SUBJECTS))
    options = parser.parse_args(argv)
    print(f"{'clip':>14} {'model':>6} {'parameters':>10} {'PSNR':>6} {'MS-SSIM':>8}")
    for dataset, frames in tasks.clips(options):
        for name in options.models:
            values = run(name, dataset, frames, options)
            similarity = f"{values['ms_ssim']:.4f}" if values["ms_ssim"] else "–"
            count = sum(values["parameters"].values())
            print(f"{dataset.name:>14} {name:>6} {count:>10,} {values['psnr']:>6.2f} {similarity:>8}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
