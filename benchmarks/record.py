"""A record: what was measured, with commit, machine and versions beside it."""

import json
import os
import platform
import subprocess
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
PACKAGES = ("snerv-codec", "torch", "numpy", "av", "constriction")


def environment() -> dict[str, Any]:
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


def write_record(name: str, values: dict[str, Any], *, folder: Path | None = None) -> Path:
    """Write `values` with the environment to `name`.json in results (or `folder`), beside and renamed."""
    path = (folder or RESULTS) / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_suffix(".tmp")
    beside.write_text(json.dumps({"environment": environment(), **values}, indent=1) + "\n")
    beside.replace(path)
    return path


def read_record(name: str, *, folder: Path | None = None) -> dict[str, Any] | None:
    """The record `name`.json in results (or `folder`), or None where there is none."""
    path = (folder or RESULTS) / f"{name}.json"
    found: dict[str, Any] | None = json.loads(path.read_text()) if path.exists() else None
    return found


def as_json(values: dict[str, Any]) -> dict[str, Any]:
    """`values` as they come back from a record: tuples are lists."""
    plain: dict[str, Any] = json.loads(json.dumps(values))
    return plain


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
