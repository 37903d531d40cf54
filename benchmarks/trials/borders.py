"""Whether one sees a border between segments: PSNR of the frames around each cut, beside that of the others.

    python -m benchmarks.trials.borders --dataset bunny-long-tiny --size 120k --segment 66 [--epochs 20]

The clip is encoded in segments by recipe rd, and decoded. Around each cut lie ten frames, five of each segment. Told
are their mean PSNR and that of all frames of the two segments, the least of the ten, and how the frames of the two
segments spread; and the two means as one network of the same size for all frames gives them, where what is hard to code
there lies low too. A run leaves a line in results/trials/borders.jsonl.
"""

import sys
import tempfile
from pathlib import Path
from statistics import fmean, pstdev
from typing import Any

from benchmarks import record, tasks
from benchmarks.record import Record
from snerv_codec import Decoder, encode
from snerv_codec.evaluation.metrics import psnr
from snerv_codec.media.picture import Pixels

BESIDE = 5  # frames on either side of a cut


def figures(frames: Pixels, **choices: Any) -> list[float]:
    """PSNR in dB of each frame, once it is coded."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "coded.snrv"
        encode(frames, path, rate=25, recipe="rd", **choices)
        with Decoder(path) as decoder:
            return [psnr(a, b) for a, b in zip(frames, decoder, strict=True)]


def at_cuts(values: list[float], whole: list[float], segment: int) -> list[Record]:
    """What the frames around each cut are like, and what they are in one network that knows of no cut."""
    told = []
    for cut in range(segment, len(values), segment):
        near, both = slice(cut - BESIDE, cut + BESIDE), slice(cut - segment, cut + segment)
        told.append(
            {
                "cut": cut,
                "near": fmean(values[near]),
                "all": fmean(values[both]),
                "least": min(values[near]),
                "spread": pstdev(values[both]),
                "whole near": fmean(whole[near]),
                "whole all": fmean(whole[both]),
            }
        )
    return told


def main(argv: list[str] | None = None) -> int:
    """Measure, print, and put it on record."""
    parser = tasks.arguments(__doc__)
    parser.add_argument("--segment", type=int, default=66, help="frames of a segment")
    options = parser.parse_args(argv)
    for dataset, frames in tasks.clips(options):
        names = ("size", "segment", "epochs", "seed")
        chosen = {name: getattr(options, name) for name in names}
        coded, whole = (
            figures(frames, device=options.device, **{**chosen, **way}) for way in ({}, {"segment": "none"})
        )
        cuts = at_cuts(coded, whole, options.segment)
        record.write_record("trials/borders", {"dataset": dataset.to_json(), **chosen}, {"cuts": cuts})
        for each in cuts:
            print(", ".join(f"{name} {value:.2f}" for name, value in each.items()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
