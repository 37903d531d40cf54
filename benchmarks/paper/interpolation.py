"""Interpolation: every second frame is left out of the fit and made from what is left.

    python -m benchmarks.paper.interpolation --dataset bunny-small --size 300k --epochs 60 [--models b t pixel hnerv]

Two protocols and a floor, all over the same frames, those between two others:

`paper`    The network is fitted to the odd frames alone, and an even frame goes through its encoder. This tells how
           the network generalises to frames it was not fitted to; no file could hold their embeddings, as nobody
           has seen the frames. The temporal models see the true neighbours of every frame, as in the published
           code, so the encoder of an odd frame reads even ones.
`codec`    A file made of the odd frames alone and decoded at twice the rate: embeddings blended between neighbours.
           What no file can hold (hnerv) is blended without pruning and quantisation.
`average`  The mean of the two frames on either side, as they were: no codec at all.

Each model leaves a line in results/paper/interpolation/CLIP.jsonl.
"""

import sys
from argparse import Namespace
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from benchmarks import datasets, record, tasks
from benchmarks.datasets import Dataset
from benchmarks.tasks import SUBJECTS, Subject
from snerv_codec import Decoder, EncodeSettings, encode
from snerv_codec.decoding import blend
from snerv_codec.media.picture import Pixels
from snerv_codec.model.decoder import to_pixels
from snerv_codec.training.frames import FrameSet
from snerv_codec.training.loop import Trainer
from snerv_codec.training.settings import FitSettings


def between(frames: Pixels) -> range:
    """The numbers of the even frames that lie between two odd ones; the first frame, number 0, is odd."""
    return range(1, len(frames) - 1, 2)


def average(frames: Pixels) -> list[Pixels]:
    """The mean of the frames on either side of each left out, halves upwards."""
    return [((frames[i - 1].astype(np.uint16) + frames[i + 1] + 1) // 2).astype(np.uint8) for i in between(frames)]


def by_paper(subject: Subject, frames: Pixels, settings: FitSettings, options: Namespace) -> dict[str, Any]:
    """Unseen frames through the encoder of a network that was fitted to the others."""
    seen = range(0, len(frames), 2)
    config = subject.config(frames, len(seen), options.size)
    clip = FrameSet(tasks.place(frames, options), config, variant=subject.variant, fitted=seen)
    trainer = tasks.fit(subject, config, settings, clip)
    return {
        **subject.describe(config, len(seen)),
        "unseen": tasks.quality(frames[1:-1:2], trainer.pictures(between(frames))),
        "seen": tasks.quality(frames[::2], trainer.pictures(seen)),
    }


def by_codec(
    subject: Subject, dataset: Dataset, frames: Pixels, settings: FitSettings, options: Namespace
) -> dict[str, Any]:
    """Pixels left out of a file, as decoding it at twice the rate inserts them."""
    if not subject.in_files:
        odd = np.ascontiguousarray(frames[::2])
        config = subject.config(odd, len(odd), options.size)
        clip = FrameSet(tasks.place(odd, options), config, variant=subject.variant)
        trainer = tasks.fit(subject, config, settings, clip)
        inserted = _blended(trainer, range(1, 2 * len(between(frames)), 2))
        return {**subject.describe(config, len(odd)), "unseen": tasks.quality(frames[1:-1:2], inserted), "bytes": None}
    path = datasets.CACHE / "interpolation" / f"{dataset.name}-{subject.model}.snrv"
    path.parent.mkdir(parents=True, exist_ok=True)
    asked = EncodeSettings(size=options.size, model=subject.model, holdout="even", fit=settings, device=options.device)
    report = encode(dataset.master, path, asked, overwrite=True)
    with Decoder(path, device=options.device) as decoder:
        inserted = decoder.frames(range(1, 2 * len(between(frames)), 2), rate=2)
        unseen = tasks.quality(frames[1:-1:2], inserted)
    described = subject.describe(report.config, report.frames)
    seen = {"psnr": report.quality.psnr, "ms_ssim": report.quality.ms_ssim}
    return {**described, "unseen": unseen, "seen": seen, "bytes": report.bytes_total}


@torch.no_grad()
def _blended(trainer: Trainer, numbers: range) -> Iterator[Pixels]:
    """Pixels at twice the rate by the networks as they are."""
    embeddings = trainer.values().embeddings.values()
    for number in numbers:
        row = torch.tensor([number], device=trainer.frames.device)
        mixed = [blend(values, row, 2) for values in embeddings]
        prediction = trainer.frames.crop(trainer.networks.decoder(mixed, blend(trainer.frames.sides, row, 2)))
        yield to_pixels(prediction.frame)[0].permute(1, 2, 0).cpu().numpy()


def run(name: str, dataset: Dataset, frames: Pixels, options: Namespace) -> dict[str, Any]:
    """Both protocols and the floor for one model, recorded."""
    subject, settings = SUBJECTS[name], tasks.settings_of(options)
    print(f"{dataset.name}, {name}: the paper's protocol", flush=True)
    paper = by_paper(subject, frames, settings, options)
    print(f"{dataset.name}, {name}: the codec's protocol", flush=True)
    codec = by_codec(subject, dataset, frames, settings, options)
    values = {
        "frames": len(between(frames)),
        "paper": paper,
        "codec": codec,
        "average": tasks.quality(frames[1:-1:2], average(frames)),
    }
    record.write_record(f"paper/interpolation/{dataset.name}", tasks.identity(dataset, name, options), values)
    return values


def main(argv: list[str] | None = None) -> int:
    """Run, record, and print a line for each model."""
    parser = tasks.arguments(__doc__)
    parser.add_argument("--models", nargs="+", choices=SUBJECTS, default=list(SUBJECTS))
    options = parser.parse_args(argv)
    lines = []
    for dataset, frames in tasks.clips(options):
        if len(frames) < 3:
            sys.exit(f"{dataset.name}: {len(frames)} frames; none lies between two others")
        for name in options.models:
            values = run(name, dataset, frames, options)
            figures = [values[protocol]["unseen"]["psnr"] for protocol in ("paper", "codec")]
            floor = values["average"]["psnr"]
            lines.append(f"{dataset.name:>14} {name:>6} {figures[0]:>9.2f} {figures[1]:>9.2f} {floor:>9.2f}")
    print(f"{'clip':>14} {'model':>6} {'paper':>9} {'codec':>9} {'average':>9}   (PSNR of frames left out, dB)")
    print("\n".join(lines))
    return 0


if __name__ == "__main__":
    sys.exit(main())
