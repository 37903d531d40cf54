"""Speed on this machine, as shares of what its matrix units do in the same run.

    python -m benchmarks.speed [--record NAME] [--device cpu|cuda] [--full]

The configuration is 192x384, C0 = 41, N_RB = 2; with --full also the paper's, 640x1280 at 3M.
"""

import argparse
import resource
import statistics
import sys
import time
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import torch

from benchmarks.record import write_record
from bitstream.container import read_stream, write_stream
from bitstream.types import DecoderConfig, Stream, VideoInfo
from snerv_codec.compression.packing import pack_segment
from snerv_codec.decoding import SegmentPlayer
from snerv_codec.machine import choose_device
from snerv_codec.model.sizing import model_cost
from snerv_codec.training.frames import FrameSet
from snerv_codec.training.settings import FitSettings
from snerv_codec.training.trainer import Trainer

SMALL = DecoderConfig((16, 2, 4), (3, 2, 2, 2, 2), 41, 2)
PAPER = DecoderConfig((16, 2, 4), (5, 4, 2, 2, 2), 111, 6)


def median_seconds(work: Callable[[], object], device: torch.device, *, repeats: int = 15) -> float:
    """Median time of `work` after two warm-up calls, the device's queue included."""
    times = []
    for _ in range(repeats + 2):
        start = time.perf_counter()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        times.append(time.perf_counter() - start)
    return statistics.median(times[2:])


def matrix_rate(device: torch.device) -> float:
    """float32 FLOP a second in a 2048-wide matrix product (TF32 off), the yardstick of the rest."""
    side = 2048 if device.type == "cpu" else 8192
    a, b = (torch.randn(side, side, device=device) for _ in range(2))
    return 2 * side**3 / median_seconds(lambda: a @ b, device, repeats=9)


def fitting(config: DecoderConfig, device: torch.device) -> dict[str, float]:
    """Milliseconds a training step of one frame, its FLOP rate as a share of the matrix rate before and after."""
    height, width = config.padded_size
    frames = torch.randint(0, 256, (4, height, width, 3), dtype=torch.uint8, device=device)
    trainer = Trainer(FrameSet(frames, config), config, FitSettings())
    cost, before = model_cost(config, 1), matrix_rate(device)
    index = torch.zeros(1, dtype=torch.long, device=device)
    seconds = median_seconds(lambda: trainer._step(index), device)
    flop = 6 * (cost.decoder_macs + cost.encoder_macs)
    rate = (before + matrix_rate(device)) / 2
    return {"step_ms": seconds * 1e3, "step_gflop": flop / 1e9, "fitting_share": flop / seconds / rate}


def decoding(config: DecoderConfig, device: torch.device) -> dict[str, float]:
    """Frames a second out of the decoder as uint8 on the host, its FLOP rate, and the coder's symbols a second."""
    height, width = config.padded_size
    torch.manual_seed(0)
    trainer = Trainer(FrameSet(torch.zeros(1, height, width, 3, dtype=torch.uint8), config), config, FitSettings())
    embeddings = [torch.randn(16, *shape) for shape in config.embedding_shapes]
    ranges = torch.tensor([[0.0, 2.0]] * 16)
    segment = pack_segment(trainer.decoder, config, embeddings, ranges, weight_bits=8, embed_bits=6)
    info = VideoInfo(width, height, Fraction(1, 25), tuple(range(16)), 1, Fraction(25))
    player, before = SegmentPlayer(segment, info, device), matrix_rate(device)
    seconds = median_seconds(lambda: list(player.play(range(16))), device, repeats=5) / 16
    rate = (before + matrix_rate(device)) / 2
    flop = 2 * model_cost(config, 1).decoder_macs
    return {"decode_fps": 1 / seconds, "decoding_share": flop / seconds / rate, **coding(Stream(info, (segment,)))}


def coding(stream: Stream) -> dict[str, float]:
    """Symbols a second through the whole container, each way."""
    cpu = torch.device("cpu")
    data = write_stream(stream)
    symbols = sum(tensor.symbols.size for tensor in stream.segments[0].tensors)
    return {
        "file_bytes": len(data),
        "write_symbols_per_s": symbols / median_seconds(lambda: write_stream(stream), cpu, repeats=3),
        "read_symbols_per_s": symbols / median_seconds(lambda: read_stream(data), cpu, repeats=3),
        "read_seconds": median_seconds(lambda: read_stream(data), cpu, repeats=3),
    }


def measure(config: DecoderConfig, device: torch.device) -> dict[str, Any]:
    """All figures for one configuration."""
    values = {"matrix_gflops": matrix_rate(device) / 1e9, **fitting(config, device), **decoding(config, device)}
    if device.type == "cuda":
        values["peak_memory_bytes"] = torch.cuda.max_memory_allocated(device)
    else:
        values["peak_memory_bytes"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return values


def main(argv: list[str] | None = None) -> None:
    """Measure, print, and perhaps record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--full", action="store_true", help="the paper's configuration too")
    parser.add_argument("--record", help="write results/NAME.json")
    options = parser.parse_args(argv)
    device = choose_device(options.device)
    torch.backends.cuda.matmul.allow_tf32 = False
    configs = {"192x384 C0 41 N_RB 2": SMALL, **({"640x1280 C0 111 N_RB 6": PAPER} if options.full else {})}
    results = {name: measure(config, device) for name, config in configs.items()}
    for name, values in results.items():
        print(f"{name} on {device}")
        for key, value in values.items():
            print(f"  {key:>20}  {np.format_float_positional(value, 4, fractional=False, trim='-')}")
    if options.record:
        print(write_record(options.record, {"device": str(device), "results": results}), file=sys.stderr)


if __name__ == "__main__":
    main()
