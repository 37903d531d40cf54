"""In-painting: boxes are hidden from the fit, and the decoder shows what lies in them.

    python -m benchmarks.paper.inpainting --dataset bunny-small --size 300k --epochs 60 [--models b t] [--files]

The paper's two tasks (section 4.2): `fixed`, five boxes at the same places of all frames (the middle and half-way to
each corner), and `random`, ten boxes at places drawn for each frame from a seed. Boxes are 50x50 pixels of a frame
of 960 rows, and as much smaller as the frame is. The loss ignores what they hide; PSNR and MS-SSIM are taken over
the whole frame, and PSNR over the hidden pixels too, of the networks as fitted; with --files, of a `.snrv` file made
with --mask as well. `masked` is the source with black boxes. Each model leaves a line in
results/paper/inpainting/CLIP.jsonl, and in benchmarks/cache/inpainting a picture: the middle frame masked, decoded and
as it was, side by side.
"""

import sys
from argparse import Namespace
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import torch

from benchmarks import datasets, record, tasks
from benchmarks.datasets import Dataset
from benchmarks.tasks import SUBJECTS, Subject
from snerv_codec import Decoder, EncodeSettings, encode
from snerv_codec.evaluation.metrics import psnr
from snerv_codec.media.mask import Mask
from snerv_codec.media.picture import Pixels
from snerv_codec.media.writer import write_image
from snerv_codec.training.frames import FrameSet
from snerv_codec.training.settings import FitSettings

TASKS = ("fixed", "random")
FIXED = ((0.5, 0.5), (0.25, 0.25), (0.25, 0.75), (0.75, 0.25), (0.75, 0.75))  # centres, of height and width
RANDOM_BOXES = 10
BOX, OF_ROWS = 50, 960


def known_pixels(task: str, shape: tuple[int, int, int], box: int, seed: int) -> Mask:
    """False inside the boxes; `shape` is (frames, height, width)."""
    count, height, width = shape
    rng = np.random.default_rng(seed)
    known = np.ones(shape, np.bool_)
    for number in range(count):
        if task == "fixed":
            corners = [(round(y * height) - box // 2, round(x * width) - box // 2) for y, x in FIXED]
        else:
            tops, lefts = (rng.integers(0, side - box + 1, RANDOM_BOXES) for side in (height, width))
            corners = list(zip(tops, lefts, strict=True))
        for top, left in corners:
            known[number, top : top + box, left : left + box] = False
    return known


def measure(frames: Pixels, others: Pixels, known: Mask) -> dict[str, Any]:
    """Over the whole frame, and over what was hidden alone."""
    hidden = [psnr(frame[~mask], other[~mask]) for frame, other, mask in zip(frames, others, known, strict=True)]
    return {**tasks.quality(frames, others), "hidden_psnr": fmean(hidden)}


def by_file(subject: Subject, dataset: Dataset, known: Mask, settings: FitSettings, options: Namespace) -> Pixels:
    """The frames of a file that was made with a mask."""
    folder = datasets.CACHE / "inpainting" / dataset.name
    masks = folder / "masks"
    masks.mkdir(parents=True, exist_ok=True)
    for old in masks.iterdir():
        old.unlink()
    for number, mask in enumerate(known):
        write_image(masks / f"{number:05}.png", np.where(mask[..., None], 0, 255).astype(np.uint8).repeat(3, axis=2))
    path = folder / f"{subject.model}.snrv"
    asked = EncodeSettings(size=options.size, model=subject.model, mask=masks, fit=settings, device=options.device)
    encode(dataset.master, path, asked, overwrite=True)
    with Decoder(path, device=options.device) as decoder:
        return np.asarray(decoder[:], np.uint8)


def run(name: str, task: str, dataset: Dataset, frames: Pixels, options: Namespace) -> dict[str, Any]:
    """One model at one task, recorded, with a picture."""
    subject, settings = SUBJECTS[name], tasks.settings_of(options)
    box = options.box or max(2, round(BOX * frames.shape[1] / OF_ROWS))
    known = known_pixels(task, (len(frames), frames.shape[1], frames.shape[2]), box, options.seed)
    masked = np.where(known[..., None], frames, 0).astype(np.uint8)
    config = subject.config(frames, len(frames), options.size)
    print(f"{dataset.name}, {name}, {task}", flush=True)
    # The fit gets the masked frames: what is hidden is not there to be used by mistake.
    clip = FrameSet(tasks.place(masked, options), config, variant=subject.variant, known=torch.from_numpy(known))
    trainer = tasks.fit(subject, config, settings, clip)
    decoded = np.stack(list(trainer.pictures(range(len(frames)))))
    values = {
        "hidden": float(1 - known.mean()),
        **subject.describe(config, len(frames)),
        "network": measure(frames, decoded, known),
        "masked": measure(frames, masked, known),
    }
    if options.files and subject.in_files:
        values["file"] = measure(frames, by_file(subject, dataset, known, settings, options), known)
    same = {**tasks.identity(dataset, name, options), "task": task, "box": box}
    record.write_record(f"paper/inpainting/{dataset.name}", same, values)
    pictures = datasets.CACHE / "inpainting" / dataset.name
    pictures.mkdir(parents=True, exist_ok=True)
    _picture(pictures / f"{name}-{task}-{options.epochs}.png", masked, decoded, frames)
    return values


def _picture(path: Path, *parts: Pixels) -> None:
    """The middle frame of each, side by side."""
    middle = len(parts[0]) // 2
    write_image(path, np.concatenate([part[middle] for part in parts], axis=1), overwrite=True)


def main(argv: list[str] | None = None) -> int:
    """Run, record, and print a line for each model and task."""
    parser = tasks.arguments(__doc__)
    parser.add_argument("--models", nargs="+", choices=SUBJECTS, default=["b", "hnerv"])
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument("--box", type=int, help="side of the boxes in pixels")
    parser.add_argument("--files", action="store_true", help="measure what a file decodes to as well")
    options = parser.parse_args(argv)
    lines = []
    for dataset, frames in tasks.clips(options):
        for name in options.models:
            for task in options.tasks:
                values = run(name, task, dataset, frames, options)
                network, masked = values["network"], values["masked"]
                lines.append(
                    f"{dataset.name:>14} {name:>6} {task:>7} {network['psnr']:>9.2f} {network['hidden_psnr']:>9.2f} "
                    f"{masked['psnr']:>9.2f}"
                )
    print(f"{'clip':>14} {'model':>6} {'task':>7} {'whole':>9} {'hidden':>9} {'masked':>9}   (PSNR, dB)")
    print("\n".join(lines))
    return 0


if __name__ == "__main__":
    sys.exit(main())
