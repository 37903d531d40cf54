"""What sharing bytes by frames costs against equal slope, from the records of two clips fitted alike.

    python -m benchmarks.trials.shares

The PSNR of a clip is a line in the logarithm of its bytes, `slope` dB for e times as many. So a byte buys slope/bytes,
and two clips of as many frames, as segments of one film, look best in the mean where their bytes are as their slopes.
The table tells these, what mean PSNR (dB) the halves have beyond shares by frames there, and how the bytes lie that
both take at one rate weight, which is equal slope in the loss of training.
"""

import math
from itertools import combinations

import numpy as np

from benchmarks import record
from benchmarks.record import Record

CLIPS = ("bunny-small", "bikes-small")  # 33 frames each, at 192x384


def fits(clip: str) -> dict[str, tuple[int, float]]:
    """Bytes and PSNR in dB by size, of fits for 60 epochs by recipe rd at its own rate weight."""
    same = {"recipe": "rd", "epochs": 60, "model": "b", "rate_weight": 0.01, "target": None}
    found: list[Record] = record.read_records(f"rd/{clip}/snerv")
    return {
        each["settings"]["size"]: (each["rate"]["bytes"], each["quality"]["psnr"])
        for each in found
        if same.items() <= each["settings"].items()
    }


def slope(points: dict[str, tuple[int, float]]) -> float:
    """Of the line of PSNR in the logarithm of bytes."""
    sizes, psnr = zip(*points.values(), strict=True)
    return float(np.polyfit(np.log(sizes), psnr, 1)[0])


def gain(one: float, other: float) -> float:
    """Mean PSNR in dB that shares by slopes have beyond equal ones."""
    parts = (2 * one / (one + other), 2 * other / (one + other))
    return (one * math.log(parts[0]) + other * math.log(parts[1])) / 2


def main() -> None:
    """Print the table."""
    for one, other in combinations(CLIPS, 2):
        ours, theirs = fits(one), fits(other)
        slopes = slope(ours), slope(theirs)
        print(f"{one} {slopes[0]:.2f} dB, {other} {slopes[1]:.2f} dB for e times the bytes")
        print(f"shares by slopes: {gain(*slopes):.4f} dB above shares by frames")
        for size in sorted(ours.keys() & theirs.keys()):
            print(f"{size} at one rate weight: {ours[size][0]:,} and {theirs[size][0]:,} bytes")


if __name__ == "__main__":
    main()
