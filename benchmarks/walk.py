"""A long film from its plan to its evaluation, killed and resumed on the way: what memory each step takes.

    python -m benchmarks.walk [--frames 20000] [--size 64x96] [--segment 1000] [--record]

The film of `benchmarks.scale` is planned, begun by one process that is killed once two segments are done, gone on with
by two workers, decoded from its middle, and evaluated, each by a program of its own whose peak memory is told: of
workers that of the largest process. Each fit is of one epoch with a small model.
"""

import argparse
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.scale import FIT, film_arguments, keep, make_film, run

PARAMETERS = 160_000  # of each segment
BATCH = 8
KILLED_AFTER = 2  # segments
SHOWN = 10  # frames, from the middle


def walk(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """The figures of each step, and what they came to."""
    frames, segment = options.frames, options.segment
    film = make_film(folder / "film.mp4", frames, *map(int, options.size.split("x")))
    coded, count = folder / "film.snrv", -(-frames // segment)
    fit = (*FIT, "--batch", BATCH, "--size", PARAMETERS * count, "--segment", segment, "--force", "--json")
    middle = f"{frames // 2}:{frames // 2 + SHOWN}"
    encode = ("encode", film, "-o", coded, *fit)
    steps = {
        "plan": run(*encode, "--dry-run"),
        "start, killed": (begun := run(*encode, stop_after=KILLED_AFTER)),
        "resume, 2 workers": (rest := run(*encode, "--resume", "--workers", 2)),
        "decode from the middle": run("decode", coded, "-o", folder / "part.mp4", "--frames", middle, "-q"),
        "eval": (evaluated := run("eval", film, coded, "--json")),
    }
    done = {each["segment"] for each in begun.told if each.get("event") == "segment"}
    again = done & {each["segment"] for each in rest.told if each.get("event") == "epoch"}
    return {
        "steps": {name: {"memory": step.memory, "seconds": step.seconds} for name, step in steps.items()},
        "segments": count,
        "done before the kill": len(done),
        "of these fitted again": len(again),
        "bytes": coded.stat().st_size,
        "frames evaluated": evaluated.told[-1]["frames"],
    }


def main() -> None:
    """Walk and print."""
    parser = film_arguments(__doc__, "64x96", 1000)
    parser.add_argument("--frames", type=int, default=20_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        values = walk(options, Path(folder))
    for name, step in values["steps"].items():
        print(f"{name}: {step['memory'] / 1e6:,.0f} MB, {step['seconds']:,.0f} s")
    print(", ".join(f"{name} {value:,}" for name, value in values.items() if name != "steps"))
    keep("walk", options, values)


if __name__ == "__main__":
    main()
