"""The machine at hand: its device, its memory."""

import ctypes
import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from snerv_codec.errors import ResourceError, SettingsError

if TYPE_CHECKING:
    import torch

# Names of a control group's files of its limit and its usage, and of what in memory.stat can be dropped; by version 1.
GROUP_FILES = {
    False: ("memory.max", "memory.current", "inactive_file"),
    True: ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
}
# How PyTorch, what it computes with, C++, the loader of libraries and threads say that there is no memory.
REFUSALS = (
    "alloc_cpu",
    "allocate memory",
    "bad_alloc",
    "could not create a",
    "failed to map segment",
    "start new thread",
)
M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD = -1, -2, -3  # of glibc's malloc.h


def choose_device(name: str) -> "torch.device":
    """The device called "auto" (CUDA where there is one), "cpu", "cuda" or "cuda:n".

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
        raise ResourceError(f"device {name!r} asked for, but there is {have}; use `device` cpu")
    return torch.device(name)


def cuda_devices() -> list[str]:
    """The names of all CUDA devices."""
    import torch

    return [f"cuda:{number}" for number in range(torch.cuda.device_count())]


def devices_to_share(device: str) -> list[str]:
    """The CUDA devices that workers may be spread over; none where `device` names one, or the CPU."""
    return cuda_devices() if device in ("auto", "cuda") else []


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
            "`compile` full needs a C++ compiler, and there is none; install g++ or leave the option out"
        )


def available_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def worker_count(workers: int | Literal["auto"], device: str) -> int:
    """How many are to work side by side on `device`; "auto" is one for each CUDA device that it stands for, or for each
    core.

    Raises `SettingsError` for nobody at all.
    """
    if workers == "auto":
        if device.startswith("cuda:"):
            return 1
        return (0 if device == "cpu" else len(cuda_devices())) or available_cores()
    if workers < 1:
        raise SettingsError(f"`workers` {workers}: at least one has to work; give 1 or more, or auto")
    return workers


def threads_each(workers: int) -> int:
    """How many threads each of so many workers has, so that all together have the cores."""
    return max(1, available_cores() // workers)


def available_memory(device: "torch.device | None" = None) -> int:
    """Bytes that this process can still take on `device`, or of the machine's own memory.

    The limits that its users set count too: those of its control groups (containers) and of `ulimit`.
    """
    if device is not None and device.type == "cuda":
        import torch

        return int(torch.cuda.mem_get_info(device)[0])
    return max(0, min(_free_memory(), *_left_in_groups(), *_left_to_process()))


def _free_memory() -> int:
    try:
        with open("/proc/meminfo") as file:
            values = dict(line.split(":") for line in file)
        return int(values["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):  # not Linux: all of the machine's memory
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _left_in_groups(root: Path = Path("/sys/fs/cgroup"), own: Path = Path("/proc/self/cgroup")) -> Iterator[int]:
    """What the process's control groups and those around them leave it; pages of files that can be dropped are free."""
    try:
        lines = own.read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        top = root / "memory" if controllers else root  # version 1 or 2
        limit, usage, cache = GROUP_FILES[bool(controllers)]
        group = top / path.lstrip("/")
        for place in (group, *group.parents):
            if place.is_relative_to(top):
                with suppress(OSError, ValueError, KeyError):  # no such group here, or no limit ("max")
                    most = int((place / limit).read_text())
                    values = dict(row.split() for row in (place / "memory.stat").read_text().splitlines())
                    yield most - int((place / usage).read_text()) + int(values[cache])


def _left_to_process() -> Iterator[int]:
    """What `ulimit -v` and `ulimit -d` leave it."""
    with suppress(ImportError, OSError, ValueError):
        import resource

        pages = Path("/proc/self/statm").read_text().split()
        for kind, taken in ((resource.RLIMIT_AS, pages[0]), (resource.RLIMIT_DATA, pages[5])):
            most, _ = resource.getrlimit(kind)
            if most != resource.RLIM_INFINITY:
                yield most - os.sysconf("SC_PAGE_SIZE") * int(taken)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error, or what it came from, says that memory was refused: by Python, NumPy, PyTorch or FFmpeg."""
    if isinstance(error, MemoryError) or getattr(error, "errno", None) == errno.ENOMEM:
        return True
    if type(error).__name__ == "OutOfMemoryError":  # of PyTorch, on a GPU
        return True
    told = isinstance(error, RuntimeError | SystemError | ImportError) and any(
        words in str(error) for words in REFUSALS
    )
    cause = error.__cause__ or error.__context__
    return told or (isinstance(error, SystemError) and cause is not None and is_out_of_memory(cause))


@contextmanager
def memory_refused(purpose: str, advice: str) -> Iterator[None]:
    """Whatever in this block finds no memory, in whichever words, becomes a `ResourceError`."""
    try:
        yield
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        raise ResourceError(f"{purpose} takes more memory than there is; {advice}") from error


def require_memory(need: int, device: "torch.device", purpose: str, advice: str) -> None:
    """Raise `ResourceError` where `need` bytes are more than `device` has left."""
    have = available_memory(device)
    if need > have:
        raise ResourceError(
            f"{purpose} needs about {need / 1e9:.1f} GB and {device.type} has {have / 1e9:.1f} GB left; {advice}"
        )
