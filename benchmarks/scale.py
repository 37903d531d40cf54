"""Memory against length, and several workers against one: what long videos take.

    python -m benchmarks.scale [--frames 1000 10000] [--size 128x192] [--segment 500] [--record]

A film of shots of a hundred frames is made, encoded for one epoch in segments, decoded and evaluated, each by a process
of its own whose peak memory is told. The shortest film is also encoded and decoded by two workers and by one, in turns.
From how long its segments took, the time of a thousand on 8 and on 256 workers is simulated.
"""

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import av
import numpy as np

from benchmarks.record import write_record
from snerv_codec.encoding.prediction import makespan

SHOT = 100  # frames
PARAMETERS = 200_000  # of each segment
REPEATS = 3  # of the comparison of workers
SIMULATED, WORKERS = 1000, (8, 256)
FIT = ("--epochs", "1", "--prune-epochs", "0", "--preset", "paper", "--device", "cpu")


def make_film(path: Path, frames: int, height: int, width: int) -> Path:
    """Gradients that drift, in other colours and ways from shot to shot; quickly coded by x264."""
    y, x = np.mgrid[:height, :width]
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"preset": "ultrafast", "crf": "20"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for number in range(frames):
            shot, start = number // SHOT, np.random.default_rng(number // SHOT).integers(0, 256, 3)
            planes = (x * (1 + shot % 3) + 2 * number, 2 * y + number, x + y + 3 * number)
            picture = np.stack([(plane + each) % 256 for plane, each in zip(planes, start, strict=True)], -1)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture.astype(np.uint8), format="rgb24")))
        container.mux(stream.encode())
    return path


class Run(NamedTuple):
    """What a command took, and the objects of JSON that it told, a line each."""

    memory: int  # bytes at the peak, of the largest process
    seconds: float
    told: list[dict[str, Any]]
    ends: list[float]  # seconds from the start to the end of each segment

    @property
    def durations(self) -> list[float]:
        """Seconds between ends of segments."""
        return [later - earlier for earlier, later in pairwise(self.ends)]


def run(*arguments: object, stop_after: int | None = None) -> Run:
    """Run a `snerv` command to its end, or kill it once so many segments are done."""
    command = [sys.executable, "-m", "snerv_codec", *map(str, arguments)]
    start, told, ends = time.perf_counter(), [], []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("{") and line.endswith("}\n"):
                told.append(json.loads(line))
                if told[-1].get("event") == "segment":
                    ends.append(time.perf_counter() - start)
            if len(ends) == stop_after:
                process.kill()
                break
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode and stop_after is None:
        raise SystemExit(f"{' '.join(command)} failed")
    return Run(usage.ru_maxrss * 1024, time.perf_counter() - start, told, ends)


def encode(film: Path, output: Path, frames: int, segment: int, workers: int = 1) -> Run:
    """One epoch, in segments of `segment` frames."""
    size = PARAMETERS * -(-frames // segment)
    options = ("--size", size, "--segment", segment, "--workers", workers, "--overwrite", "--json")
    return run("encode", film, "-o", output, *FIT, *options)


def simulated(durations: Sequence[float]) -> dict[str, dict[str, float]]:
    """For each number of workers the share of their time that is used: in order, and the longest segments first."""
    drawn = random.Random(0).choices(durations, k=SIMULATED)
    result = {}
    for workers in WORKERS:
        orders = {"in order": drawn, "longest first": sorted(drawn, reverse=True)}
        used = {name: sum(drawn) / workers / makespan(order, workers) for name, order in orders.items()}
        result[str(workers)] = {**used, "longest segment": max(drawn) / (sum(drawn) / workers)}
    return result


def speed_up(way: Callable[[int], float]) -> float:
    """How many times as fast two workers are as one, by the seconds that `way` takes with so many."""
    seconds: dict[int, list[float]] = {1: [], 2: []}
    for _ in range(REPEATS):
        for workers, taken in seconds.items():
            taken.append(way(workers))
    return statistics.median(seconds[1]) / statistics.median(seconds[2])


def measure(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """All figures. Memory is in bytes, `growth` its ratio from the shortest film to the longest, and `speed_up` a ratio
    of medians of runs in turn."""
    height, width = map(int, options.size.split("x"))
    memory: dict[str, dict[str, int]] = {}
    durations: list[float] = []
    films = {frames: make_film(folder / f"{frames}.mp4", frames, height, width) for frames in sorted(options.frames)}
    for frames, film in films.items():
        coded = folder / f"{frames}.snrv"
        runs = {
            "encode": encode(film, coded, frames, options.segment),
            "decode": run("decode", coded, "-o", folder / "again.mp4", "--overwrite", "-q"),
            "eval": run("eval", film, coded, "--no-vmaf", "--json"),
        }
        durations += runs["encode"].durations
        memory[str(frames)] = {name: each.memory for name, each in runs.items()}
    shortest, longest = min(films), max(films)
    first = folder / f"{shortest}.snrv"
    ways: dict[str, Callable[[int], float]] = {
        "encode": lambda workers: (
            encode(films[shortest], folder / "w.snrv", shortest, options.segment, workers).seconds
        ),
        "decode": lambda workers: (
            run("decode", first, "-o", folder / "w.y4m", "--workers", workers, "-y", "-q").seconds
        ),
    }
    return {
        "memory": memory,
        "growth": {name: peak / memory[str(shortest)][name] for name, peak in memory[str(longest)].items()},
        "speed_up": {name: speed_up(way) for name, way in ways.items()},
        "segment_seconds": {"mean": statistics.fmean(durations), "spread": statistics.pstdev(durations)},
        "simulated": simulated(durations),
    }


def film_arguments(about: str | None, size: str, segment: int) -> argparse.ArgumentParser:
    """A parser of what a film is like, but for its frames, and of whether figures go on record."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", default=size, help="height x width")
    parser.add_argument("--segment", type=int, default=segment, help="frames of a segment")
    parser.add_argument("--record", action="store_true", help="put the figures on record")
    return parser


def keep(name: str, options: argparse.Namespace, values: dict[str, Any]) -> None:
    """Put figures on record, if that was asked for."""
    if options.record:
        write_record(name, {key: vars(options)[key] for key in ("frames", "size", "segment")}, values)


def main() -> None:
    """Measure and print."""
    parser = film_arguments(__doc__, "128x192", 500)
    parser.add_argument("--frames", type=int, nargs="+", default=[1000, 10_000])
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        values = measure(options, Path(folder))
    for frames, peaks in values["memory"].items():
        print(f"{int(frames):,} frames: " + ", ".join(f"{name} {peak / 1e6:,.0f} MB" for name, peak in peaks.items()))
    for name, growth in values["growth"].items():
        print(f"{name}: {growth:.2f} times the memory for the longest")
    for name, ratio in values["speed_up"].items():
        print(f"{name}: two workers {ratio:.2f} times as fast as one")
    for workers, used in values["simulated"].items():
        print(f"{workers} workers: " + ", ".join(f"{name} {share:.1%}" for name, share in used.items()))
    keep("scale", options, values)


if __name__ == "__main__":
    main()
