"""Speed on this machine, as shares of what its matrix units do in the same run.

    python -m benchmarks.speed [--device cpu|cuda] [--full] [--profile] [--record]

The configuration is 192x384, C0 = 41, N_RB = 2; with --full also the paper's, 640x1280 at 3M. Each is fitted by the
codec and by a plain implementation (`benchmarks.plain`), decoded, coded, and held against what was said of its memory;
on a GPU with each precision and way to run a step. --profile tells which operations take the time. Today's figures are
printed beside those on record for as many threads, a line of results/speed.jsonl, which --record replaces.
"""

import argparse
import resource
import statistics
import sys
import time
from collections.abc import Callable
from fractions import Fraction
from functools import partial
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

from benchmarks.plain import PlainTrainer
from benchmarks.record import find_record, write_record
from snerv_codec.bitstream.container import read_stream, write_stream
from snerv_codec.bitstream.models import DecoderConfig
from snerv_codec.bitstream.types import Segment, Stream, VideoInfo
from snerv_codec.compression.packing import pack_segment
from snerv_codec.compression.rounding import Plain
from snerv_codec.decoding import SegmentPlayer
from snerv_codec.model.architectures import paper_config
from snerv_codec.model.sizing import decoding_memory, fitting_memory, model_cost
from snerv_codec.runtime.machine import choose_device, keep_freed_memory
from snerv_codec.runtime.precision import Precision, kernels
from snerv_codec.training.frames import FrameSet
from snerv_codec.training.loop import Trainer
from snerv_codec.training.settings import Compile, FitSettings
from snerv_codec.training.trainer import make_trainer

CONFIGS = {
    "192x384 C0 41 N_RB 2": paper_config((16, 2, 4), (3, 2, 2, 2, 2), 41, 2),
    "640x1280 C0 111 N_RB 6": paper_config((16, 2, 4), (5, 4, 2, 2, 2), 111, 6),
    "960x1920 C0 100 N_RB 6": paper_config((16, 2, 4), (5, 4, 3, 2, 2), 100, 6),
}
WAYS: dict[str, list[tuple[Precision, Compile, int]]] = {
    "cpu": [("float32", "none", 1), ("bfloat16", "none", 1), ("float32", "none", 4)],
    "cuda": [
        ("float32", "none", 1),
        ("float32", "graph", 1),
        ("tf32", "graph", 1),
        ("bfloat16", "graph", 1),
        ("bfloat16", "graph", 4),
        ("bfloat16", "full", 1),
    ],
}
PRECISIONS: dict[str, list[Precision]] = {"cpu": ["float32"], "cuda": ["float32", "tf32", "bfloat16", "float16"]}
GUARDED = ("fitting_share", "decoding_share", "against_plain", "write_symbols_per_s", "read_symbols_per_s")
PAPER = "paper"  # the paper's recipe with the default way to run a step: what shares are of
DEFAULT = "default"  # what a user gets who chooses nothing, of a fit with Muon
FRAMES = 16
SIDES = {"cpu": 2048, "cuda": 8192}  # of the matrices
REPEATS = 15
WARM_UP = 5  # calls before any is timed; a captured step is recorded in the fourth
TOP = 12  # operations of a profile


def medians(works: dict[str, Callable[[], object]], device: torch.device) -> dict[str, float]:
    """Median seconds of each, the device's queue included; all take turns, so that a busy machine slows all alike."""
    times: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(WARM_UP + REPEATS):
        for name, work in works.items():
            start = time.perf_counter()
            work()
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            times[name].append(time.perf_counter() - start)
    return {name: statistics.median(taken[WARM_UP:]) for name, taken in times.items()}


class Matrix:
    """A square matrix product, TF32 off: the yardstick of the rest."""

    def __init__(self, device: torch.device, dtype: torch.dtype = torch.float32) -> None:
        side = SIDES[device.type]
        self.device, self.flop = device, 2 * side**3
        self.a, self.b = (torch.randn(side, side, device=device, dtype=dtype) for _ in range(2))

    def __call__(self) -> None:
        with kernels("float32", self.device):
            self.a @ self.b


def random_trainer(config: DecoderConfig, device: torch.device, settings: FitSettings | None = None) -> Trainer:
    """A trainer of random frames of the decoder's own size."""
    generator = torch.Generator().manual_seed(0)
    frames = torch.randint(0, 256, (FRAMES, *config.padded_size, 3), dtype=torch.uint8, generator=generator)
    keep_freed_memory(device)
    return make_trainer(FrameSet(frames.to(device), config), config, settings or FitSettings.preset("paper"))


def fitting(config: DecoderConfig, device: torch.device) -> dict[str, Any]:
    """Milliseconds a frame of a training step, each way and plainly; the default as a share of the matrix rate."""
    matrix, works, batches = Matrix(device), {}, {}
    ways = {PAPER: FitSettings.preset("paper"), DEFAULT: FitSettings.preset("default")}
    for precision, way, batch in WAYS[device.type]:
        ways[f"{precision} {way} batch {batch}"] = FitSettings.preset(
            "paper", precision=precision, compile=way, batch=batch
        )
    for name, settings in ways.items():
        trainer, batches[name] = random_trainer(config, device, settings), settings.batch
        works[name] = partial(trainer.advance, torch.arange(settings.batch, device=device))
    plain = PlainTrainer(torch.zeros(1, *config.padded_size, 3, dtype=torch.uint8), config, device)

    def plain_step() -> None:
        with kernels("float32", device):
            plain.step(0)

    seconds = medians({**works, "plain": plain_step, "matrix": matrix}, device)
    cost, rate = model_cost(config, 1), matrix.flop / seconds["matrix"]
    flop = 6 * (cost.decoder_macs + cost.encoder_macs)
    return {
        "step_gflop": flop / 1e9,
        "matrix_gflops": rate / 1e9,
        "step_ms": 1e3 * seconds[PAPER],
        "fitting_share": flop / seconds[PAPER] / rate,
        "against_plain": seconds["plain"] / seconds[PAPER],
        "ms_a_frame": {name: 1e3 * seconds[name] / batches.get(name, 1) for name in (*ways, "plain")},
    }


def make_segment(config: DecoderConfig) -> tuple[Segment, VideoInfo]:
    """A network of random weights, as a file would hold it."""
    torch.manual_seed(0)
    trainer = random_trainer(config, torch.device("cpu"))
    embeddings = [torch.randn(FRAMES, *shape) for shape in config.embedding_shapes]
    ranges = torch.tensor([[0.0, 2.0]] * FRAMES)
    segment = pack_segment(trainer.networks.values(tuple(embeddings)), Plain(), config, ranges)
    height, width = config.padded_size
    return segment, VideoInfo(width, height, Fraction(1, 25), tuple(range(FRAMES)), 1, Fraction(25))


def decoding(config: DecoderConfig, device: torch.device) -> dict[str, Any]:
    """Frames a second out of the decoder as uint8 on the host, the default as a share of the matrix rate."""
    segment, info = make_segment(config)
    works: dict[str, Callable[[], object]] = {}
    matrix = Matrix(device)
    player = SegmentPlayer(segment, info, device, precision="auto")
    for precision in PRECISIONS[device.type]:
        works[precision] = partial(play, SegmentPlayer(segment, info, device, precision=precision))
    seconds = medians({DEFAULT: partial(play, player), **works, "matrix": matrix}, device)
    flop, rate = 2 * model_cost(config, 1).decoder_macs, matrix.flop / seconds["matrix"]
    return {
        "decode_fps": FRAMES / seconds[DEFAULT],
        "decode_precision": player.precision,
        "decoding_share": flop * FRAMES / seconds[DEFAULT] / rate,
        "decode_fps_by_precision": {name: FRAMES / seconds[name] for name in works},
        **coding(Stream(info, (segment,))),
    }


def play(player: SegmentPlayer) -> None:
    """Decode all frames."""
    for _ in player.play(player.numbers):
        pass


def coding(stream: Stream) -> dict[str, float]:
    """Symbols a second through the whole container, each way."""
    data = write_stream(stream)
    symbols = sum(tensor.symbols.size for tensor in stream.segments[0].tensors)
    works: dict[str, Callable[[], object]] = {
        "write": partial(write_stream, stream),
        "read": partial(read_stream, data),
    }
    seconds = medians(works, torch.device("cpu"))
    return {
        "file_bytes": len(data),
        "write_symbols_per_s": symbols / seconds["write"],
        "read_symbols_per_s": symbols / seconds["read"],
        "read_seconds": seconds["read"],
    }


def memory(config: DecoderConfig, device: torch.device) -> dict[str, int]:
    """What a plan says of memory; on a GPU also what a step, and then decoding, took at most."""
    decoding = decoding_memory(config, model_cost(config, 1).total_parameters, 1)
    stated = {"fitting_stated": fitting_memory(config, 1), "decoding_stated": decoding}
    if device.type != "cuda":
        return {**stated, "process_peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}
    trainer = random_trainer(config, device)
    fitted = _peak(partial(trainer.advance, torch.zeros(1, dtype=torch.long, device=device)), device)
    del trainer
    decoded = _peak(partial(play, SegmentPlayer(*make_segment(config), device, 1)), device)
    return {**stated, "fitting_peak": fitted, "decoding_peak": decoded}


def _peak(work: Callable[[], object], device: torch.device) -> int:
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats(device)
    for _ in range(WARM_UP):
        work()
    return torch.cuda.max_memory_allocated(device)


def profiled(work: Callable[[], object], device: torch.device) -> dict[str, Any]:
    """Milliseconds of one call of `work` by operation (on a GPU, by kernel), the greatest first."""
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if device.type == "cuda" else [])]
    calls = 5
    for _ in range(WARM_UP):
        work()
    with profile(activities=activities) as result:
        for _ in range(calls):
            work()
    on_gpu = device.type == "cuda"
    times = {e.key: (e.self_device_time_total if on_gpu else e.self_cpu_time_total) for e in result.key_averages()}
    total, greatest = sum(times.values()), sorted(times.items(), key=lambda item: -item[1])[:TOP]
    return {"total_ms": total / calls / 1e3, "by_operation": {name: value / calls / 1e3 for name, value in greatest}}


def measure(config: DecoderConfig, device: torch.device, *, with_profile: bool) -> dict[str, Any]:
    """All figures for one configuration."""
    values = {**fitting(config, device), **decoding(config, device), "memory": memory(config, device)}
    if with_profile:
        trainer = random_trainer(config, device, FitSettings.preset("paper", compile="none"))
        index = torch.zeros(1, dtype=torch.long, device=device)
        player = SegmentPlayer(*make_segment(config), device, precision="auto")
        values["profile"] = {
            "step": profiled(partial(trainer.advance, index), device),
            "decoding": profiled(lambda: list(player.play(range(player.batch))), device),
        }
    return values


def show(values: dict[str, Any], landed: dict[str, Any], indent: str = "  ") -> None:
    """Today's figures, those on record beside them where there are any, and how they compare where that is guarded."""
    for key, value in values.items():
        old = landed.get(key)
        if isinstance(value, dict):
            print(f"{indent}{key}")
            show(value, old if isinstance(old, dict) else {}, indent + "  ")
            continue
        texts = [f"{each:,.4g}" if isinstance(each, int | float) else str(each or "") for each in (value, old)]
        change = f"{value / old - 1:+.0%}" if key in GUARDED and old else ""
        print(f"{indent}{key:<{46 - len(indent)}} {texts[0]:>12} {texts[1]:>12} {change:>6}")


def main(argv: list[str] | None = None) -> None:
    """Measure, print, and perhaps record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="auto", help="cpu, cuda, cuda:N [%(default)s]")
    parser.add_argument("--full", action="store_true", help="the paper's configurations too")
    parser.add_argument("--profile", action="store_true", help="which operations take the time")
    parser.add_argument("--record", action="store_true", help="replace the record")
    options = parser.parse_args(argv)
    device = choose_device(options.device)
    where = {"device": str(device), "threads": torch.get_num_threads()}
    landed = find_record("speed", where) or {"results": {}}
    results = {}
    for title, config in CONFIGS.items():
        if not options.full and config is not next(iter(CONFIGS.values())):
            continue
        results[title] = measure(config, device, with_profile=options.profile)
        print(f"{f'{title} on {device}':<48} {'today':>12} {'on record':>12}")
        show(results[title], landed["results"].get(title, {}))
    if options.record:
        print(write_record("speed", where, {"results": results}), file=sys.stderr)


if __name__ == "__main__":
    main()
