"""Records: what was measured, with commit, machine and versions beside it, as lines of JSON.

A file of records is results/NAME.jsonl, a line each. What makes two runs the same is the record's identity: a run of an
identity that is on record replaces its line.
"""

import fcntl
import json
import os
import platform
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
PACKAGES = ("snerv-codec", "torch", "numpy", "av", "constriction")

Record = dict[str, Any]


def environment() -> Record:
    """Commit, machine, versions, and the time."""
    return {
        "commit": _output("git", "rev-parse", "--short=12", "HEAD"),
        "changed": bool(_output("git", "status", "--porcelain", "--", "snerv_codec", "bitstream")),
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "cpu": _cpu(),
        "cores": len(os.sched_getaffinity(0)),
        "gpu": _gpu(),
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in PACKAGES},
    }


def write_record(name: str, identity: Record, values: Record, *, folder: Path | None = None) -> Path:
    """Put a line of `identity`, `values` and the environment into NAME.jsonl of results (or `folder`).

    It takes the place of the line of the same identity, else it is the last. Programs that run beside each other take
    turns, and an interrupted one leaves the file as it was. Returns the file's path.
    """
    path = file_of(name, folder)
    path.parent.mkdir(parents=True, exist_ok=True)
    line = as_json({**identity, **values, "environment": environment()})
    with _locked(path.parent):
        records = read_records(name, folder=folder)
        same = [number for number, found in enumerate(records) if as_json(identity).items() <= found.items()]
        place = same[0] if same else len(records)
        records[place : place + 1] = [line]
        beside = path.with_suffix(".tmp")
        beside.write_text("".join(json.dumps(each, ensure_ascii=False) + "\n" for each in records))
        beside.replace(path)
    return path


def read_records(name: str, *, folder: Path | None = None) -> list[Record]:
    """All records of NAME.jsonl in results (or `folder`); none where there is no such file."""
    path = file_of(name, folder)
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def find_record(name: str, identity: Record, *, folder: Path | None = None) -> Record | None:
    """The record of `identity` in NAME.jsonl, or None."""
    wanted = as_json(identity).items()
    return next((found for found in read_records(name, folder=folder) if wanted <= found.items()), None)


def file_of(name: str, folder: Path | None = None) -> Path:
    """Where the records of `name` are: in results or in `folder`."""
    return (folder or RESULTS) / f"{name}.jsonl"


def as_json(values: Record) -> Record:
    """`values` as they come back from a record: tuples are lists."""
    plain: Record = json.loads(json.dumps(values))
    return plain


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """The folder for this program alone among those that write records."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _output(*command: str) -> str:
    try:
        done = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return ""
    return done.stdout.strip()


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def _gpu() -> str:
    import torch

    return torch.cuda.get_device_name() if torch.cuda.is_available() else ""


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""
