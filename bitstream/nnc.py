"""The decoder's tensors as one ISO/IEC 15938-17 (NNC) bitstream, through nncodec's core.

nncodec is native code that trusts its input, prints, and writes files where it pleases. So it runs in a
child process alone, without a standard output or the right to write files, and a bitstream is decoded
under limits of memory and time: `python -m bitstream.nnc encode|decode`, with a `_Job` on standard input.
It is an optional dependency. Of it, only what imports neither torch nor torchvision is used.
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from .errors import Corrupt, LimitExceeded, MissingExtra
from .types import NncTensors

Floats = npt.NDArray[np.float32]
Shape = tuple[int, ...]

DEFAULT_QP = -38  # of tensors with two axes or more, as in the paper (section 4.4); the step is about 2**(QP / 4)
MIN_QP, MAX_QP = -75, 0
VECTOR_QP = -75  # of biases: they weigh little and matter much
QP_DENSITY = 2
UNARY_LENGTH = 10
VALUE = np.dtype("<f4")

BASE_MEMORY = 1 << 30  # bytes that the child may map besides its tensors: the interpreter and its libraries
MEMORY_A_VALUE = 64
BASE_SECONDS = 30
VALUES_A_SECOND = 100_000  # a slow machine's; a fast one decodes millions
PATIENCE = 10  # seconds that pass for one of processor time, on a machine that is busy with other things
OVERTIME = {getattr(signal, name) for name in ("SIGXCPU", "SIGKILL") if hasattr(signal, name)}


def require() -> None:
    """Raise `MissingExtra` where nncodec is not installed."""
    if find_spec("nncodec") is None:
        raise MissingExtra("NNC coding needs the package nncodec: pip install 'snerv-codec[nnc]'")


def encode(tensors: Mapping[str, Floats], *, qp: int = DEFAULT_QP, dependent: bool = True) -> NncTensors:
    """Quantise and code tensors; `dependent` chooses trellis-coded quantisation over rounding.

    Raises `MissingExtra`, or `ValueError` for a QP out of range or values that are not finite.
    """
    if not MIN_QP <= qp <= MAX_QP:
        raise ValueError(f"QP {qp} is not in {MIN_QP}..{MAX_QP}")
    if not all(np.isfinite(values).all() for values in tensors.values()):
        raise ValueError("values are not finite")
    shapes = tuple((name, values.shape) for name, values in tensors.items())
    body = b"".join(np.ascontiguousarray(values, VALUE).tobytes() for values in tensors.values())
    header = {"shapes": [shape for _, shape in shapes], "qp": qp, "dependent": dependent}
    done = _run("encode", header, body, timeout=None)
    if done.returncode:
        raise RuntimeError(f"nncodec failed to encode: {_last_line(done.stderr)}")
    return NncTensors(shapes, done.stdout)


def decode(tensors: NncTensors) -> dict[str, Floats]:
    """The values of all tensors, by name.

    Raises `MissingExtra`, `Corrupt` for a bitstream that does not hold them, or `LimitExceeded` where
    decoding takes too long.
    """
    values = sum(prod(shape) for _, shape in tensors.shapes)
    seconds = BASE_SECONDS + values / VALUES_A_SECOND
    header = {
        "shapes": [shape for _, shape in tensors.shapes],
        "memory": BASE_MEMORY + MEMORY_A_VALUE * values,
        "seconds": int(seconds),
    }
    try:
        done = _run("decode", header, tensors.data, timeout=PATIENCE * seconds)
        late = -done.returncode in OVERTIME
    except subprocess.TimeoutExpired:
        late = True
    if late:
        raise LimitExceeded(f"the NNC bitstream takes more than {seconds:.0f} s of processor time to decode")
    if done.returncode or len(done.stdout) != VALUE.itemsize * values:
        raise Corrupt(f"the NNC bitstream does not hold the decoder's tensors: {_last_line(done.stderr)}")
    flat = np.frombuffer(done.stdout, VALUE).astype(np.float32)
    if not np.isfinite(flat).all():
        raise Corrupt("the NNC bitstream holds values that are not finite")
    return dict(zip((name for name, _ in tensors.shapes), _split(flat, tensors.shapes), strict=True))


def _split(flat: Floats, shapes: Sequence[tuple[str, Shape]]) -> list[Floats]:
    ends = np.cumsum([prod(shape) for _, shape in shapes])
    return [part.reshape(shape) for part, (_, shape) in zip(np.split(flat, ends[:-1]), shapes, strict=True)]


def _run(mode: str, header: object, body: bytes, timeout: float | None) -> "subprocess.CompletedProcess[bytes]":
    require()
    paths = [str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
    # One thread: a pool of them would map memory for each before any work is done.
    settings = {"PYTHONPATH": os.pathsep.join(filter(None, paths)), "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, "-P", "-m", "bitstream.nnc", mode],
        input=json.dumps(header).encode() + b"\n" + body,
        capture_output=True,
        env={**os.environ, **settings},
        timeout=timeout,
        check=False,
    )


def _last_line(text: bytes) -> str:
    lines = text.decode(errors="replace").strip().splitlines()
    return lines[-1][:200] if lines else "no reason given"


# What follows runs in the child. Tensors have their number for a name: names lie in the directory.


def _main(mode: str) -> None:
    answer = os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # whatever prints, natively too, prints to nobody
    header = json.loads(sys.stdin.buffer.readline())
    _limit(header.get("memory"), header.get("seconds"))
    shapes = [(str(number), tuple(shape)) for number, shape in enumerate(header["shapes"])]
    body = sys.stdin.buffer.read()
    if mode == "encode":
        values = np.frombuffer(body, VALUE).astype(np.float32)
        tensors = dict(zip((name for name, _ in shapes), _split(values, shapes), strict=True))
        answer.write(_encode(tensors, header["qp"], header["dependent"]))
    else:
        for values in _decode(body, shapes):
            answer.write(values.astype(VALUE).tobytes())
    answer.close()


def _limit(memory: int | None, seconds: int | None) -> None:
    """No files, and no more than so much memory and processor time, where the system can see to it."""
    try:
        import resource
    except ImportError:
        return  # the parent's timeout remains
    limits = {resource.RLIMIT_FSIZE: 0, resource.RLIMIT_CORE: 0}
    if memory is not None and seconds is not None:
        limits |= {resource.RLIMIT_AS: memory, resource.RLIMIT_CPU: seconds}
    for kind, value in limits.items():
        _, hard = resource.getrlimit(kind)
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(kind, (value, value))


def _encode(tensors: dict[str, Floats], qp: int, dependent: bool) -> bytes:
    from nncodec.nnc_core import approximator, coder, nnr_model

    info = nnr_model.NNRModel(tensors).model_info
    data = approximator.init_approx_data(tensors, info, QP_DENSITY, 0)
    how = approximator.ApproxInfo(
        data, info, "uniform", 0, qp, False, not dependent, UNARY_LENGTH, 0, nonweight_qp=VECTOR_QP
    ).approx_info
    settings = {
        "cabac_unary_length_minus1": UNARY_LENGTH,
        "param_opt_flag": True,
        "partial_data_counter": 0,
        "general_profile_idc": 0,
        "mps_parent_signalling_enabled_flag": 0,
        "parent_node_id_present_flag": 0,
        "node_id_present_flag": 0,
    }
    coded, _ = coder.encode(settings, info, approximator.approx(how, info, data, settings))
    return bytes(coded)


def _decode(data: bytes, shapes: Sequence[tuple[str, Shape]]) -> list[Floats]:
    from nncodec.nnc_core import approximator, coder

    decoded = coder.decode(bytearray(data), _empty_model(), oob_dict={}, hls_stats={})
    approximator.rec(decoded)
    found = {name: values.shape for name, values in decoded["parameters"].items()}
    if found != dict(shapes):
        raise SystemExit("other names or shapes")
    return [decoded["parameters"][name] for name, _ in shapes]


def _empty_model() -> dict[str, Any]:
    """What the decoder wants to be given of a model that it knows nothing of."""
    tools = ("sparsification_flag", "pruning_flag", "unification_flag", "decomposition_performance_map_flag")
    return {
        **{key: {} for key in ("parameter_type", "parameter_dimensions", "parameter_index", "block_identifier")},
        "topology_storage_format": None,
        "topology_compression_format": None,
        "performance_maps": {"mps": {}, "lps": {}},
        "performance_map_flags": {f"{level}_{tool}": {} for level in ("mps", "lps") for tool in tools},
    }


if __name__ == "__main__":
    _main(sys.argv[1])
