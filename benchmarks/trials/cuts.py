"""What cutting a clip of several shots costs: one network, one a shot, and fixed lengths, at equal bytes and epochs.

    python -m benchmarks.trials.cuts [--datasets bunny-long-tiny bikes-long-tiny] [--parts 66 50] [--bytes 60000]
                                     [--lengths 29] [--epochs 20]

The first frames of some clips of one size are joined. Ways are `none`, one network for all; `auto`, with memory for no
more frames than the longest part has, so that cuts lie where scenes begin; and each fixed length. Bytes are those of
the whole file, which is asked for by its size. A run leaves a line in results/trials/cuts.jsonl.
"""

import argparse
import sys
from statistics import fmean
from typing import Any
from unittest import mock

import numpy as np

from benchmarks import datasets, record, tasks
from benchmarks.record import Record
from snerv_codec.media.picture import Pixels
from snerv_codec.media.reader import read_video


def figures(frames: Pixels, parts: list[int], longest: int, **choices: Any) -> Record:
    """The file's bytes and segments, the mean PSNR in dB of all frames and of each part's, and processor time.

    No more than the `longest` frames are taken to fit the memory where `auto` decides.
    """
    most = longest * frames[0].nbytes
    with (
        mock.patch("snerv_codec.encoding.segmentation.MOST_BYTES", most),
        mock.patch("snerv_codec.encoding.footage.MOST_BYTES", most),
    ):
        coded = tasks.coded(frames, device="cpu", **choices)
    ends = np.cumsum(parts)
    of_parts = [fmean(coded.psnr[end - count : end]) for count, end in zip(parts, ends, strict=True)]
    return {**coded._asdict(), "psnr": fmean(coded.psnr), "parts": of_parts}


def main(argv: list[str] | None = None) -> int:
    """Measure, print, and put it on record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--datasets", nargs="+", default=["bunny-long-tiny", "bikes-long-tiny"])
    parser.add_argument("--parts", type=int, nargs="+", default=[66, 50], help="frames of each")
    parser.add_argument("--bytes", type=int, default=60_000, help="of the file")
    parser.add_argument("--lengths", type=int, nargs="*", default=[29], help="frames of a segment")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(argv)
    found = [datasets.find_datasets(name, cache=datasets.CACHE)[0] for name in options.datasets]
    clips = [read_video(each.master).frames[:count] for each, count in zip(found, options.parts, strict=True)]
    frames, parts = np.concatenate(clips), [len(clip) for clip in clips]
    chosen = {"target_size": options.bytes, "epochs": options.epochs, "seed": options.seed}
    runs: list[Record] = []
    for way in ("none", "auto", *options.lengths):
        runs.append({"way": way, **figures(frames, parts, max(parts), segment=way, **chosen)})
        print(runs[-1], flush=True)
    identity = {**vars(options), "datasets": [each.to_json() for each in found]}
    record.write_record("trials/cuts", identity, {"runs": runs})
    return 0


if __name__ == "__main__":
    sys.exit(main())
