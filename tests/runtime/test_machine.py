"""What a process may take: of the machine, of its control groups, of its own limits; and how refusals are told."""

import errno
import resource
import subprocess
import sys

import numpy as np
import pytest
import torch

from snerv_codec.errors import ResourceError
from snerv_codec.runtime.machine import (
    _left_in_groups,
    available_cores,
    available_memory,
    is_out_of_memory,
    memory_refused,
    worker_count,
)


def group(folder, **files):
    folder.mkdir(parents=True, exist_ok=True)
    for name, value in files.items():
        (folder / name.replace("__", ".")).write_text(f"{value}\n")


def test_control_groups_of_version_2(tmp_path):
    (tmp_path / "own").write_text("0::/outer/inner\n")
    root = tmp_path / "cgroup"
    stat = "anon 5\ninactive_file 100"
    group(root, memory__max="max", memory__current=9000, memory__stat=stat)
    group(root / "outer", memory__max=5000, memory__current=2000, memory__stat=stat)
    group(root / "outer" / "inner", memory__max=7000, memory__current=1000, memory__stat=stat)
    assert list(_left_in_groups(root, tmp_path / "own")) == [6100, 3100]


def test_control_groups_of_version_1_and_of_a_container_that_does_not_see_its_path(tmp_path):
    (tmp_path / "own").write_text("5:cpu:/\n4:memory,hugetlb:/docker/123\n0::/\n")
    root = tmp_path / "cgroup"
    files = {"memory__limit_in_bytes": 5000, "memory__usage_in_bytes": 2000, "memory__stat": "total_inactive_file 7"}
    group(root / "memory", **files)
    assert list(_left_in_groups(root, tmp_path / "own")) == [3007]
    assert list(_left_in_groups(root, tmp_path / "nothing")) == []


def test_limits_of_the_process_count():
    code = (
        "import resource\nfrom snerv_codec.runtime.machine import available_memory\n"
        "before = available_memory()\n"
        "taken = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize()\n"
        "resource.setrlimit(resource.RLIMIT_AS, (taken + (64 << 20),) * 2)\n"
        "print(before, available_memory())\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    before, after = map(int, done.stdout.split())
    assert after <= 64 << 20 < before


def test_refusals_in_all_words_are_told_as_one():
    for error in (
        MemoryError(),
        OSError(errno.ENOMEM, "Cannot allocate memory"),
        torch.OutOfMemoryError("CUDA out of memory"),
        RuntimeError("std::bad_alloc"),
        RuntimeError("could not create a primitive"),
        RuntimeError("can't start new thread"),
        ImportError("libx.so: failed to map segment from shared object"),
    ):
        told = pytest.raises(ResourceError, match="^decoding takes more memory than there is; buy some$")
        with told, memory_refused("decoding", "buy some"):
            raise error
    assert not is_out_of_memory(RuntimeError("a bug"))
    assert not is_out_of_memory(OSError(errno.ENOSPC, "No space left on device"))
    with pytest.raises(ValueError, match="a bug"), memory_refused("decoding", "buy some"):
        raise ValueError("a bug")


def test_real_refusals_are_known():
    """Of more than any machine has, asked of PyTorch and of NumPy."""
    for ask in (lambda: torch.empty(1 << 60, dtype=torch.uint8), lambda: np.empty(1 << 60, np.uint8)):
        with pytest.raises(ResourceError), memory_refused("asking", "ask for less"):
            ask()


def test_there_is_memory():
    assert 0 < available_memory() <= resource.RLIM_INFINITY & (1 << 63) - 1


def test_auto_is_a_worker_for_each_device_that_one_lets_it_use(monkeypatch):
    monkeypatch.setattr("torch.cuda.device_count", lambda: 4)
    assert [worker_count("auto", device) for device in ("auto", "cuda", "cuda:1")] == [4, 4, 1]
    assert worker_count("auto", "cpu") == available_cores()
    assert worker_count(3, "cuda:1") == 3
