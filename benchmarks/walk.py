"""A long film from its plan to its evaluation, killed and resumed on the way: what memory each step takes.

    python -m benchmarks.walk [--frames 20000] [--size 64x96] [--segment 1000] [--record]

The film of `benchmarks.scale` is planned, begun by one process that is killed once two segments are done, gone on with
by two workers, decoded from its middle, and evaluated, each by a program of its own whose peak memory is told: of
workers that of the largest process. Each fit is of one epoch with a small model.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.record import write_record
from benchmarks.scale import FIT, make_film

PARAMETERS = 160_000  # of each segment
BATCH = 8
KILLED_AFTER = 2  # segments
SHOWN = 10  # frames, from the middle


def run(*arguments: object, stop_after: int | None = None) -> tuple[dict[str, float], list[dict[str, Any]]]:
    """A `snerv` command, killed once so many segments are done: peak memory (bytes) and seconds; its lines of JSON."""
    command = [sys.executable, "-m", "snerv_codec", *map(str, arguments)]
    start, told, segments = time.perf_counter(), [], 0
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("{") and line.endswith("}\n"):
                told.append(json.loads(line))
                segments += told[-1].get("event") == "segment"
            if segments == stop_after:
                process.kill()
                break
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode and stop_after is None:
        raise SystemExit(f"{' '.join(command)} failed")
    return {"memory": usage.ru_maxrss * 1024, "seconds": time.perf_counter() - start}, told


def walk(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """The figures of each step, and what they came to."""
    frames, segment = options.frames, options.segment
    film = make_film(folder / "film.mp4", frames, *map(int, options.size.split("x")))
    coded, count = folder / "film.snrv", -(-frames // segment)
    fit = (*FIT, "--batch", BATCH, "--size", PARAMETERS * count, "--segment", segment, "--force", "--json")
    steps: dict[str, dict[str, float]] = {}
    steps["plan"], _ = run("encode", film, "-o", coded, *fit, "--dry-run")
    steps["start, killed"], begun = run("encode", film, "-o", coded, *fit, stop_after=KILLED_AFTER)
    steps["resume, 2 workers"], rest = run("encode", film, "-o", coded, *fit, "--resume", "--workers", 2)
    middle = f"{frames // 2}:{frames // 2 + SHOWN}"
    steps["decode from the middle"], _ = run("decode", coded, "-o", folder / "part.mp4", "--frames", middle, "-q")
    steps["eval"], evaluated = run("eval", film, coded, "--json")
    done = {each["segment"] for each in begun if each.get("event") == "segment"}
    again = done & {each["segment"] for each in rest if each.get("event") == "epoch"}
    return {
        "steps": steps,
        "segments": count,
        "done before the kill": len(done),
        "of these fitted again": len(again),
        "bytes": coded.stat().st_size,
        "frames evaluated": evaluated[-1]["frames"],
    }


def main() -> None:
    """Walk and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=20_000)
    parser.add_argument("--size", default="64x96", help="height x width")
    parser.add_argument("--segment", type=int, default=1000, help="frames of a segment")
    parser.add_argument("--record", action="store_true", help="put the figures on record")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        values = walk(options, Path(folder))
    for name, step in values["steps"].items():
        print(f"{name}: {step['memory'] / 1e6:,.0f} MB, {step['seconds']:,.0f} s")
    print(", ".join(f"{name} {value:,}" for name, value in values.items() if name != "steps"))
    if options.record:
        write_record("walk", {name: vars(options)[name] for name in ("frames", "size", "segment")}, values)


if __name__ == "__main__":
    main()
