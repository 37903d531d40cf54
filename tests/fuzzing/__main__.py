"""Try forged files for so many seconds, or so many of them; what is found is kept.

A child process tries them, as one of them could bring it to its end. It says which it begins with, so the parent knows
which one it was.
"""

import argparse
import selectors
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import NamedTuple

PATIENCE = 600  # seconds that one input, or the start, may take on a busy machine


class Report(NamedTuple):
    """How many inputs were tried, how often each outcome came, and the findings: number and what was wrong."""

    tried: int
    outcomes: Counter[str]
    findings: list[tuple[int, str]]


def run(*, first: int = 0, inputs: int | None = None, seconds: float | None = None, keep: Path | None = None) -> Report:
    """Try `inputs` forged files from number `first` on, or as many as there is time for, or forever."""
    end = None if seconds is None else time.monotonic() + seconds
    number, tried, outcomes, findings = first, 0, Counter[str](), list[tuple[int, str]]()
    while (inputs is None or tried < inputs) and (end is None or time.monotonic() < end):
        left = None if inputs is None else inputs - tried
        child = _start(number, left)
        for kind, which, text in _told(child, end):
            if kind == "begin":
                number, tried = which + 1, tried + 1
            elif kind == "said":
                outcomes.update(text.split())
            else:
                findings.append((which, text))
                _keep(which, text, keep)
        child.kill()
        code = child.wait()
        ended = end is not None and time.monotonic() >= end
        if code != 0 and not ended and not (inputs is not None and tried >= inputs and code == -9):
            findings.append((number - 1, f"the process ended with {code}"))
            _keep(number - 1, findings[-1][1], keep)
    return Report(tried, outcomes, findings)


def _start(number: int, count: int | None) -> "subprocess.Popen[str]":
    arguments = ["--child", "--first", str(number), "--inputs", str(count or -1)]
    command = [sys.executable, "-m", "fuzzing", *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, bufsize=1, cwd=Path(__file__).parents[1])


def _told(child: "subprocess.Popen[str]", end: float | None):
    """The lines of a child as (kind, number, text), until it ends, says nothing for long, or the time is up."""
    assert child.stdout is not None
    with selectors.DefaultSelector() as selector:
        selector.register(child.stdout, selectors.EVENT_READ)
        while end is None or time.monotonic() < end:
            if not selector.select(PATIENCE):
                return
            line = child.stdout.readline()
            if not line:
                child.wait()
                return
            kind, which, text = line.rstrip("\n").split(" ", 2)
            yield kind, int(which), text


def _keep(number: int, text: str, folder: Path | None) -> None:
    sys.stderr.write(f"input {number}: {text}\n")
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{number}.snrv").write_bytes(_forger().forge(number))
        (folder / f"{number}.txt").write_text(f"{text}\n")


def _forger():
    from fuzzing.forging import Forger
    from fuzzing.samples import samples

    return Forger(samples())


def _child(first: int, count: int) -> None:
    from fuzzing.trials import Fault, attempt, quiet

    quiet()
    forger, number = _forger(), first
    with tempfile.TemporaryDirectory() as folder:
        while count < 0 or number < first + count:
            sys.stdout.write(f"begin {number} -\n")
            sys.stdout.flush()
            try:
                said = " ".join(sorted(attempt(forger.forge(number), number, Path(folder))))
                sys.stdout.write(f"said {number} {said}\n")
            except Fault as fault:
                sys.stdout.write(f"fault {number} {' '.join(str(fault).split())}\n")
            number += 1
    sys.stdout.flush()


def main() -> int:
    """The command line; the exit code says whether something was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, help="how long to go on; for ever where nothing is said")
    parser.add_argument("--inputs", type=int, help="how many files to try")
    parser.add_argument("--first", type=int, default=0, help="number of the first one")
    parser.add_argument(
        "--keep", type=Path, default=Path(__file__).parent / "findings", help="folder for what is found"
    )
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        _child(arguments.first, arguments.inputs)
        return 0
    report = run(first=arguments.first, inputs=arguments.inputs, seconds=arguments.seconds, keep=arguments.keep)
    outcomes = ", ".join(f"{name} {count:,}" for name, count in report.outcomes.most_common())
    sys.stdout.write(f"{report.tried:,} forged files tried, {len(report.findings)} findings; {outcomes}\n")
    return int(bool(report.findings))


if __name__ == "__main__":
    sys.exit(main())
