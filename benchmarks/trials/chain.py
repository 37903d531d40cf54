"""What a segment gains from starting with the network of the one before, in real bytes.

    python -m benchmarks.trials.chain --dataset bunny-long-tiny --size 60k [--length 33] [--pieces 3] [--epochs 5]

Pieces of the clip are fitted by recipe rd, each from random weights and, all but the first, from the networks, encoder
included, that the piece before ended with in its own way. Figures are those of the coded segment, decoded again. A run
leaves a line in results/trials/chain.jsonl.
"""

import sys
import time
from argparse import Namespace
from collections.abc import Iterator, Mapping
from fractions import Fraction

import numpy as np
import torch
from torch import Tensor

from benchmarks import record, tasks
from benchmarks.record import Record
from snerv_codec.bitstream.segmentsection import write_segment
from snerv_codec.bitstream.types import VideoInfo
from snerv_codec.compression.packing import pack_segment
from snerv_codec.compression.rounding import Learned
from snerv_codec.decoding import SegmentPlayer
from snerv_codec.evaluation.metrics import mean_quality
from snerv_codec.media.arrays import from_array
from snerv_codec.media.picture import Pixels
from snerv_codec.media.source import Selection
from snerv_codec.training.frames import FrameSet
from snerv_codec.training.settings import FitSettings
from snerv_codec.training.trainer import make_trainer

Networks = Mapping[str, Tensor]


def fit(frames: Pixels, options: Namespace, start: Networks | None) -> tuple[Record, Networks]:
    """Fit a piece from `start` or from random weights: its bytes, PSNR in dB and seconds, and how its networks end."""
    info: VideoInfo = from_array(frames, Selection(rate=Fraction(25)))[0]
    settings = FitSettings.preset("default", recipe="rd", epochs=options.epochs, seed=options.seed)
    config = tasks.Subject(options.model).config(frames, len(frames), options.size)
    placed, began = FrameSet(torch.from_numpy(frames), config), time.process_time()
    trainer = make_trainer(placed, config, settings)
    if start is not None:
        trainer.networks.load_state_dict(start)
    trainer.run()
    values = trainer.values()
    steps = trainer.networks.steps(values)
    assert steps is not None
    segment = pack_segment(values, Learned(steps), config, placed.sides)
    player = SegmentPlayer(segment, info, torch.device("cpu"))
    psnr = mean_quality(frames, player.play(player.numbers), multiscale=False).psnr
    taken = {"bytes": len(write_segment(segment).section), "psnr": psnr, "cpu_seconds": time.process_time() - began}
    return taken, {name: each.detach().clone() for name, each in trainer.networks.weights().items()}


def run(frames: Pixels, options: Namespace) -> Iterator[Record]:
    """Each piece in both ways; the first is the same in both."""
    ends: dict[str, Networks] = {}
    for number in range(options.pieces):
        piece = np.ascontiguousarray(frames[number * options.length : (number + 1) * options.length])
        for way in ("cold", "warm") if number else ("cold",):
            taken, networks = fit(piece, options, ends["warm"] if way == "warm" else None)
            if way == "warm" or not number:
                ends["warm"] = networks
            print(number, way, taken, flush=True)
            yield {"piece": number, "way": way, **taken}


def main(argv: list[str] | None = None) -> int:
    """Run, and put it on record."""
    parser = tasks.arguments(__doc__)
    parser.add_argument("--length", type=int, default=33, help="frames of a piece")
    parser.add_argument("--pieces", type=int, default=3)
    parser.add_argument("--model", default="b")
    options = parser.parse_args(argv)
    for dataset, frames in tasks.clips(options):
        names = ("size", "model", "length", "pieces", "epochs", "seed")
        identity = {"dataset": dataset.to_json(), **{name: getattr(options, name) for name in names}}
        record.write_record("trials/chain", identity, {"runs": list(run(frames, options))})
    return 0


if __name__ == "__main__":
    sys.exit(main())
