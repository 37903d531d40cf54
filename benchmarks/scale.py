"""Memory against length, and several workers against one: what long videos take.

    python -m benchmarks.scale [--frames 1000 10000] [--size 128x192] [--segment 500] [--only memory|speed] [--record]
        [--parameters 200000] [--fit "--model pixel --batch 10"]

A film of shots of a hundred frames is made, encoded for one epoch in segments, decoded and evaluated, each by a process
of its own whose peak memory is told. From how long its segments took, the time of a thousand on 8 and on 256 workers is
simulated. The shortest film is also encoded and decoded by two workers and by one, in turns, and encoded by a Ray
cluster of two nodes with a core each and of one, where Ray is installed. Memory can be measured on a busy machine,
speed cannot.
"""

import argparse
import importlib.util
import json
import os
import random
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import av
import numpy as np

from benchmarks.record import write_record
from snerv_codec.report import makespan

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


def encode(film: Path, output: Path, frames: int, options: argparse.Namespace, *others: object) -> Run:
    """One epoch, in segments as the benchmark's `options` say, and with `others` of the command."""
    size = options.parameters * -(-frames // options.segment)
    given = ("--size", size, "--segment", options.segment, "--overwrite", "--json", *shlex.split(options.fit), *others)
    return run("encode", film, "-o", output, *FIT, *given)


@contextmanager
def ray_cluster(nodes: int) -> Iterator[str]:
    """The address of a Ray cluster of so many nodes here, with a core each."""
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    try:
        for _ in range(nodes - 1):
            cluster.add_node(num_cpus=1)
        cluster.wait_for_nodes()
        yield cluster.address
    finally:
        cluster.shutdown()


def simulated(durations: Sequence[float]) -> dict[str, dict[str, float]]:
    """For each number of workers the share of their time that is used: in order, and the longest segments first."""
    drawn = random.Random(0).choices(durations, k=SIMULATED)
    result = {}
    for workers in WORKERS:
        orders = {"in order": drawn, "longest first": sorted(drawn, reverse=True)}
        used = {name: sum(drawn) / workers / makespan(order, [0.0] * workers) for name, order in orders.items()}
        result[str(workers)] = {**used, "longest segment": max(drawn) / (sum(drawn) / workers)}
    return result


def speed_up(way: Callable[[int], float]) -> float:
    """How many times as fast two workers are as one, by the seconds that `way` takes with so many."""
    seconds: dict[int, list[float]] = {1: [], 2: []}
    for _ in range(REPEATS):
        for workers, taken in seconds.items():
            taken.append(way(workers))
    return statistics.median(seconds[1]) / statistics.median(seconds[2])


def measure_memory(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Peaks in bytes, `growth` their ratio from the shortest film to the longest, and what segments took."""
    memory: dict[str, dict[str, int]] = {}
    durations: list[float] = []
    for frames in sorted(options.frames):
        film, coded = _film(options, folder, frames), folder / f"{frames}.snrv"
        runs = {
            "encode": encode(film, coded, frames, options),
            "decode": run("decode", coded, "-o", folder / "again.mp4", "--overwrite", "-q"),
            "eval": run("eval", film, coded, "--no-vmaf", "--json"),
        }
        durations += runs["encode"].durations
        memory[str(frames)] = {name: each.memory for name, each in runs.items()}
    shortest, longest = (memory[str(choose(options.frames))] for choose in (min, max))
    return {
        "memory": memory,
        "growth": {name: peak / shortest[name] for name, peak in longest.items()},
        "segment_seconds": {"mean": statistics.fmean(durations), "spread": statistics.pstdev(durations)},
        "simulated": simulated(durations),
    }


def measure_speed(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """How many times as fast two are as one with the shortest film: a ratio of medians of runs in turn."""
    frames = min(options.frames)
    film, coded, again = _film(options, folder, frames), folder / "speed.snrv", folder / "speed.y4m"

    def encoded(*chosen: object) -> float:
        return encode(film, coded, frames, options, *chosen).seconds

    def encoded_by_ray(nodes: int) -> float:
        with ray_cluster(nodes) as address:
            return encoded("--ray", address)

    ways: dict[str, Callable[[int], float]] = {
        "encode": lambda workers: encoded("--workers", workers),
        "decode": lambda workers: run("decode", coded, "-o", again, "--workers", workers, "-y", "-q").seconds,
    }
    if importlib.util.find_spec("ray"):
        ways["encode by Ray"] = encoded_by_ray
    return {"speed_up": {name: speed_up(way) for name, way in ways.items()}}


def _film(options: argparse.Namespace, folder: Path, frames: int) -> Path:
    """The film of so many frames, made where it is not there yet."""
    path = folder / f"{frames}.mp4"
    return path if path.exists() else make_film(path, frames, *map(int, options.size.split("x")))


def film_arguments(about: str | None, size: str, segment: int) -> argparse.ArgumentParser:
    """A parser of what a film is like, but for its frames, and of whether figures go on record."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", default=size, help="height x width")
    parser.add_argument("--segment", type=int, default=segment, help="frames of a segment")
    parser.add_argument("--record", action="store_true", help="put the figures on record")
    return parser


def keep(name: str, options: argparse.Namespace, values: dict[str, Any]) -> None:
    """Put figures on record, if that was asked for, under what they were measured with."""
    if options.record:
        chosen = {key: value for key, value in vars(options).items() if key not in ("record", "only")}
        write_record(name, chosen, values)


MEASURES: dict[str, Callable[[argparse.Namespace, Path], dict[str, Any]]] = {
    "memory": measure_memory,
    "speed": measure_speed,
}


def main() -> None:
    """Measure and print."""
    parser = film_arguments(__doc__, "128x192", 500)
    parser.add_argument("--frames", type=int, nargs="+", default=[1000, 10_000])
    parser.add_argument("--parameters", type=int, default=PARAMETERS, help="of each segment")
    parser.add_argument("--fit", default="", help="more options of encode, in one string")
    parser.add_argument("--only", choices=MEASURES)
    options = parser.parse_args()
    values: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, measure in MEASURES.items():
            if options.only in (None, name):
                values |= measure(options, Path(folder))
    for frames, peaks in values.get("memory", {}).items():
        print(f"{int(frames):,} frames: " + ", ".join(f"{name} {peak / 1e6:,.0f} MB" for name, peak in peaks.items()))
    for name, growth in values.get("growth", {}).items():
        print(f"{name}: {growth:.2f} times the memory for the longest")
    for workers, used in values.get("simulated", {}).items():
        print(f"{workers} workers: " + ", ".join(f"{name} {share:.1%}" for name, share in used.items()))
    for name, ratio in values.get("speed_up", {}).items():
        print(f"{name}: two {ratio:.2f} times as fast as one")
    keep("scale", options, values)


if __name__ == "__main__":
    main()
