"""Rounding a fit that was not trained for it: plain grids, steps by sensitivity, and choices by rate and distortion.

    python -m benchmarks.trials.rounding [--dataset bunny-small] [--size 110k] [--epochs 50]

One fit by the default preset's optimiser and the paper's recipe, then the same weights packed in each way: bytes of
the file, and PSNR of the frames that it decodes to.

plain   the recipe's own grids, at 8 to 4 bits a weight and 6, or below 6 as many, an embedding value
steps   steps by sensitivity, values to the nearest multiple, at several prices of a bit
rdo     the same steps, each value to the cheaper of its two neighbours
equal   `--rounding rdo`: rdo at the price at which it is to do the frames the same harm as plain at so many bits
nnc     `--entropy nnc`: the decoder as an ISO/IEC 15938-17 bitstream, dependent quantisation, at several QPs; -38 is
        the paper's. Embeddings are on plain grids. Only where nncodec is installed.

The record is a line of results/trials/rounding/CLIP.jsonl.
"""

import sys
import time
from argparse import Namespace
from dataclasses import asdict
from fractions import Fraction
from importlib.util import find_spec
from typing import Any

import numpy as np

from benchmarks import record, tasks
from benchmarks.bdrate import bd_rate, quality_at
from benchmarks.datasets import Dataset
from benchmarks.record import Record
from benchmarks.tasks import SUBJECTS
from snerv_codec.bitstream.container import write_stream
from snerv_codec.bitstream.models import DecoderConfig
from snerv_codec.bitstream.types import QuantizedTensor, Stream, VideoInfo
from snerv_codec.compression.packing import pack_segment
from snerv_codec.compression.rounding import Nnc, Plain, RateDistortion, Rounded, Rounding
from snerv_codec.compression.sensitivity import round_for_rate, sensitivities, weigh
from snerv_codec.compression.values import Values
from snerv_codec.decoding import SegmentPlayer
from snerv_codec.media.picture import Pixels
from snerv_codec.model.sizing import decoder_parameters, embedding_parameters
from snerv_codec.pages.document import Figure, Section, Table, Text
from snerv_codec.pages.plot import Line, plot
from snerv_codec.training.frames import FrameSet
from snerv_codec.training.loop import Trainer
from snerv_codec.training.settings import FitSettings
from snerv_codec.training.trainer import make_trainer

WEIGHT_BITS = (8, 7, 6, 5, 4)
EMBED_BITS = 6
QPS = (-42, -38, -34, -30, -26, -22)
PRICES = np.geomspace(3e-10, 3e-7, 7)  # of a bit, in mean squared error of pixels in 0..1
# Curves that the report shows, and how much of them.
SHOWN = {
    "plain": "plain grids, 8 to 4 bits",
    "steps": "steps by sensitivity",
    "equal": "--rounding rdo",
    "nnc": "--entropy nnc, dependent quantisation",
}
MOST_LOST = 3.0  # dB


def plain_grids(bits: int) -> Plain:
    """Those of so many bits a weight."""
    return Plain(bits, min(bits, EMBED_BITS))


class Subject:
    """A fit, to be packed in many ways."""

    def __init__(self, trainer: Trainer, config: DecoderConfig, frames: Pixels) -> None:
        self.trainer, self.config, self.frames = trainer, config, frames
        self.values, fitted = trainer.values(), trainer.frames
        start = time.perf_counter()
        embeddings, size = tuple(self.values.embeddings.values()), (fitted.height, fitted.width)
        self.sensitivities = sensitivities(trainer.networks.decoder, embeddings, fitted.sides, size)
        self.seconds = time.perf_counter() - start
        self.weighed = weigh(self.values, self.sensitivities)

    def point(self, rounding: Rounding) -> dict[str, float]:
        """Bytes of the file and quality of its frames."""
        trainer = self.trainer
        segment = pack_segment(self.values, rounding, self.config, trainer.frames.sides)
        count, height, width = self.frames.shape[:3]
        info = VideoInfo(width, height, Fraction(1, 25), tuple(range(count)), 1, Fraction(25))
        player = SegmentPlayer(segment, info, trainer.frames.device)
        return {
            "bytes": len(write_stream(Stream(info, (segment,)))),
            **tasks.quality(self.frames, player.play(player.numbers)),
        }


def given(tensors: Values[QuantizedTensor]) -> Rounding:
    """To what was found already."""
    return lambda values: Rounded.of(tensors)


def run(dataset: Dataset, frames: Pixels, options: Namespace) -> dict[str, Any]:
    """One clip, recorded."""
    settings = FitSettings.preset("default", epochs=options.epochs, seed=options.seed)
    config = SUBJECTS["b"].config(frames, len(frames), options.size)
    trainer = make_trainer(FrameSet(tasks.place(frames, options), config), config, settings)
    trainer.run()
    for phase in trainer.schedule:
        print(f"{dataset.name}: {phase.name} {phase.epochs} epochs, {trainer.results[phase.name]:.2f} dB", flush=True)
    subject = Subject(trainer, config, frames)
    weighed, point = subject.weighed, subject.point
    curves = {
        "plain": [{"bits": bits, **point(plain_grids(bits))} for bits in WEIGHT_BITS],
        "steps": [{"price": p, **point(given(round_for_rate(weighed, p, choose=False)))} for p in PRICES],
        "rdo": [{"price": p, **point(given(round_for_rate(weighed, p)))} for p in PRICES],
        "equal": [
            {"bits": bits, **point(RateDistortion(subject.sensitivities, plain_grids(bits)))} for bits in WEIGHT_BITS
        ],
    }
    if find_spec("nncodec"):
        curves["nnc"] = [{"qp": qp, **point(Nnc(qp, EMBED_BITS))} for qp in QPS]
    points = {name: [(point["bytes"], point["psnr"]) for point in curve] for name, curve in curves.items()}
    values = {
        "parameters": decoder_parameters(config) + embedding_parameters(config, len(frames)),
        "fitted_psnr": trainer.results["fit"],
        "unrounded_psnr": trainer.results["prune"],
        "seconds_sensitivities": subject.seconds,
        "curves": curves,
        "bd_rate_against_plain": {name: asdict(bd_rate(points["plain"], points[name])) for name in points},
    }
    same = {"dataset": dataset.to_json(), "config": asdict(config)}
    same["settings"] = {"size": options.size, "device": options.device, **asdict(settings)}
    record.write_record(f"trials/rounding/{dataset.name}", same, values)
    return values


def section(values: Record) -> Section:
    """What a record tells: bits a parameter, and dB that rounding takes."""
    count, whole = values["parameters"], values["unrounded_psnr"]
    lines = {
        key: [(8 * point["bytes"] / count, whole - point["psnr"]) for point in curve]
        for key, curve in values["curves"].items()
        if key in SHOWN
    }
    shown = {SHOWN[key]: [pair for pair in line if pair[1] < MOST_LOST] for key, line in lines.items()}
    title = f"Rounding the same weights: {values['dataset']['name']}"
    colors = ("weak", "x265", "snerv", "x264")
    drawn = [Line(key, line, color, marked=True) for (key, line), color in zip(shown.items(), colors, strict=False)]
    figure = Figure("dB lost over bits a parameter: lower is better", plot(drawn, "bits a parameter", "dB lost"))
    rows = []
    for key, line in lines.items():
        delta = values["bd_rate_against_plain"][key]["value"]
        at_four = quality_at([(bits, -lost) for bits, lost in sorted(line)], 4.0)
        rows.append((SHOWN[key], f"{delta or 0:+.1f} %", "–" if at_four is None else f"{-at_four:.2f}"))
    settings = values["settings"]
    text = (
        f"{settings['size']}, {settings['epochs']} epochs by {settings['optimizer']}, {whole:.2f} dB before rounding. "
        "BD-rate is against plain grids; the last column is what 4 bits a parameter cost, embeddings and all."
    )
    return Section(title, [Text(text), figure, Table(("", "BD-rate", "dB lost at 4 bits"), rows)], folded=True)


def main(argv: list[str] | None = None) -> int:
    """Run, record, and print a line for each point."""
    parser = tasks.arguments(__doc__)
    parser.set_defaults(size="110k", epochs=50)
    options = parser.parse_args(argv)
    for dataset, frames in tasks.clips(options):
        values = run(dataset, frames, options)
        print(f"{dataset.name}: {values['unrounded_psnr']:.2f} dB before rounding")
        for name, curve in values["curves"].items():
            delta = values["bd_rate_against_plain"][name]
            print(f"{name}: BD-rate {delta['value'] or 0:+.1f} % {delta['reason']}")
            for point in curve:
                key = next(iter(point))
                at = f"{point[key]:.1e}" if key == "price" else f"{key} {point[key]}"
                print(f"{at:>12} {point['bytes']:>9,} bytes {point['psnr']:>6.2f} dB", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
