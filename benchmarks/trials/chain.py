"""What a segment gains from starting with the network of the one before, in real bytes.

    python -m benchmarks.trials.chain --dataset bunny-long-tiny --size 60k [--length 33] [--pieces 3] [--epochs 5]

Pieces of the clip are fitted by recipe rd, each from random weights and, all but the first, from the networks, encoder
included, that the piece before ended with in its own way. Figures are those of the coded segment, decoded again. Of a
piece that began with the networks before, `weights` are the bytes of its decoder's symbols, and `differences` those of
the symbols left, on the same steps, where a tensor other than a vector is coded as its difference from the decoded one
before wherever that is shorter. A run leaves a line in results/trials/chain.jsonl.
"""

import sys
import time
from argparse import Namespace
from collections.abc import Iterator, Mapping
from fractions import Fraction
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from benchmarks import record, tasks
from benchmarks.record import Record
from snerv_codec.bitstream.drafts import encode_tensor
from snerv_codec.bitstream.segmentsection import write_segment
from snerv_codec.bitstream.types import QuantizedTensor, Segment, VideoInfo
from snerv_codec.compression.packing import pack_segment
from snerv_codec.compression.quantize import dequantize, quantize_on
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


class Fitted(NamedTuple):
    """A piece's bytes, PSNR in dB and seconds, how its networks end, and what a file holds of them."""

    taken: Record
    networks: Networks
    segment: Segment


def fit(frames: Pixels, options: Namespace, start: Networks | None) -> Fitted:
    """Fit a piece from `start` or from random weights."""
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
    return Fitted(taken, {name: each.detach().clone() for name, each in trainer.networks.weights().items()}, segment)


def as_differences(segment: Segment, before: Segment) -> dict[str, int]:
    """Bytes of the decoder's symbols as they are, and as differences from those of the segment before."""
    plain = differing = 0
    for tensor, earlier in zip(segment.tensors, before.tensors, strict=True):
        size = len(encode_tensor(tensor)[1])
        plain += size
        if len(tensor.shape) > 1:  # vectors are few, and their steps may be too fine for differences
            size = min(size, len(encode_tensor(_moved(tensor, earlier))[1]))
        differing += size
    return {"weights": plain, "differences": differing}


def _moved(tensor: QuantizedTensor, before: QuantizedTensor) -> QuantizedTensor:
    """What a tensor has beyond the one before, on its own steps."""
    along = [-1 if axis == tensor.axis else 1 for axis in range(len(tensor.shape))]
    steps = tensor.scales.astype(np.float32).reshape(along)
    return quantize_on(tensor.name, dequantize(tensor) - dequantize(before), steps)


def run(frames: Pixels, options: Namespace) -> Iterator[Record]:
    """Each piece in both ways; the first is the same in both."""
    last: Fitted | None = None
    for number in range(options.pieces):
        piece = np.ascontiguousarray(frames[number * options.length : (number + 1) * options.length])
        for way in ("cold", "warm") if number else ("cold",):
            before = last if way == "warm" else None
            fitted = fit(piece, options, before.networks if before else None)
            saved = as_differences(fitted.segment, before.segment) if before else {}
            if before or not number:
                last = fitted
            print(number, way, fitted.taken, saved, flush=True)
            yield {"piece": number, "way": way, **fitted.taken, **saved}


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
