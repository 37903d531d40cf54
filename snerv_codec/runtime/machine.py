"""The machine at hand: its device, its memory."""

import ctypes
import os
import shutil
from typing import TYPE_CHECKING

from snerv_codec.errors import ResourceError, SettingsError

if TYPE_CHECKING:
    import torch

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD = -1, -2, -3  # of glibc's malloc.h


def choose_device(name: str) -> "torch.device":
    """The device called "auto" (CUDA where there is one), "cpu", "cuda" or "cuda:n", made ready.

    Raises `SettingsError` for another name and `ResourceError` for a device that is not there.
    """
    import torch

    found = torch.cuda.device_count()
    if name == "auto":
        name = "cuda" if found else "cpu"
    kind, _, index = name.partition(":")
    numbered = kind == "cuda" and index.isdigit()
    if kind not in ("cpu", "cuda") or (":" in name and not numbered):
        raise SettingsError(f"device {name!r} is not one of auto, cpu, cuda, cuda:0, cuda:1, ...")
    if kind == "cuda" and int(index or 0) >= found:
        have = f"{found} CUDA devices here" if found else "no CUDA device here"
        raise ResourceError(f"device {name!r} asked for, but there is {have}; use --device cpu")
    return torch.device(name)


def let_waiting_threads_rest() -> None:
    """Tell OpenMP that threads which wait for each other shall not spin for long; call it before torch is imported.

    GNU's library spins for so long that a fit is a hundred times slower where other programs want the cores too. A
    thousand turns cost a tenth on an idle machine, and spare that. It reads the environment once. What the user has set
    stays.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "1000")


def keep_freed_memory(device: "torch.device") -> None:
    """Let the C library keep what is freed on a CPU for the next step or frame, where it can (glibc).

    It hands large blocks back to the kernel, which clears their pages anew every time: a sixth of a training step.
    """
    if device.type != "cpu":
        return
    try:
        tune = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # another C library
        return
    for option, value in ((M_MMAP_THRESHOLD, 1 << 25), (M_TRIM_THRESHOLD, 1 << 30), (M_TOP_PAD, 1 << 26)):
        tune(option, value)


def require_compiler() -> None:
    """Raise `ResourceError` where there is no C++ compiler, which torch.compile calls."""
    if not any(map(shutil.which, filter(None, (os.environ.get("CXX"), "c++", "g++", "clang++")))):
        raise ResourceError(
            "--compile full needs a C++ compiler, and there is none; install g++ or leave the option out"
        )


def available_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def available_memory(device: "torch.device | None" = None) -> int:
    """Bytes that can still be taken on `device`, or of the machine's own memory."""
    if device is not None and device.type == "cuda":
        import torch

        return int(torch.cuda.mem_get_info(device)[0])
    try:
        with open("/proc/meminfo") as file:
            values = dict(line.split(":") for line in file)
        return int(values["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):  # not Linux: all of the machine's memory
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def require_memory(need: int, device: "torch.device", purpose: str, advice: str) -> None:
    """Raise `ResourceError` where `need` bytes are more than `device` has left."""
    have = available_memory(device)
    if need > have:
        raise ResourceError(
            f"{purpose} needs about {need / 1e9:.1f} GB and {device.type} has {have / 1e9:.1f} GB left; {advice}"
        )
