"""Whether one sees a border between segments: PSNR of the frames around each cut, beside that of the others.

    python -m benchmarks.trials.borders --dataset bunny-long-tiny --size 120k --segment 66 [--epochs 20] [--first N]
                                        [--weights 1 2 3] [--whole]

The clip, or its `first` frames, is encoded in segments by recipe rd, and decoded, with frames at a border drawn so many
times as often (`weights`; 1 is as others). Around each cut lie ten frames, five of each segment. Told are their mean
PSNR and that of all frames of the two segments, the least of the ten, and how the frames of the two segments spread;
and with `whole` the two means as one network of the same size for all frames gives them, where what is hard to code
there lies low too. A run leaves a line in results/trials/borders.jsonl for each weight.
"""

import sys
from statistics import fmean, pstdev
from typing import Any
from unittest import mock

from benchmarks import record, tasks
from benchmarks.record import Record
from snerv_codec.media.picture import Pixels

BESIDE = 5  # frames on either side of a cut


def figures(frames: Pixels, weight: float = 1, **choices: Any) -> tuple[int, list[float]]:
    """Bytes of the file, and PSNR in dB of each frame, with frames at a border drawn `weight` times as often."""
    with mock.patch("snerv_codec.training.draw.AT_BORDER", weight):
        coded = tasks.coded(frames, **choices)
    return coded.bytes, coded.psnr


def at_cuts(values: list[float], segment: int) -> list[Record]:
    """What the frames around each cut are like, beside all of the two segments and those not around it."""
    told = []
    for cut in range(segment, len(values), segment):
        near, both = values[cut - BESIDE : cut + BESIDE], values[cut - segment : cut + segment]
        others = (sum(both) - sum(near)) / (len(both) - len(near))
        means = {"near": fmean(near), "others": others, "all": fmean(both)}
        told.append({"cut": cut, **means, "least": min(near), "spread": pstdev(both)})
    return told


def main(argv: list[str] | None = None) -> int:
    """Measure, print, and put it on record."""
    parser = tasks.arguments(__doc__)
    parser.add_argument("--segment", type=int, default=66, help="frames of a segment")
    parser.add_argument("--first", type=int, help="frames of the clip [all]")
    parser.add_argument("--weights", type=float, nargs="+", default=[1, 2], help="[%(default)s]")
    parser.add_argument("--whole", action="store_true", help="one network for all too")
    options = parser.parse_args(argv)
    for dataset, pictures in tasks.clips(options):
        frames = pictures[: options.first]
        chosen = {name: getattr(options, name) for name in ("size", "segment", "epochs", "seed")}
        whole: Record = {}
        if options.whole:
            size, values = figures(frames, device=options.device, **{**chosen, "segment": "none"})
            whole = {"whole": {"bytes": size, "cuts": at_cuts(values, options.segment)}}
        for weight in options.weights:
            size, values = figures(frames, weight, device=options.device, **chosen)
            identity = {"dataset": dataset.to_json(), **chosen, "first": len(frames), "weight": weight}
            cuts = at_cuts(values, options.segment)
            record.write_record("trials/borders", identity, {"bytes": size, "cuts": cuts, **whole})
            for each in cuts:
                told = ", ".join(f"{name} {value:.2f}" for name, value in each.items())
                print(f"{dataset.name}, weight {weight:g}: {size:,} bytes, {told}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
