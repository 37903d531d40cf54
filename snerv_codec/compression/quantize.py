"""Uniform grids: value = offset + scale · symbol (the published pipeline's quantiser; SPEC.md, "SEGM")."""

from collections.abc import Sequence
from math import prod

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from snerv_codec.bitstream.types import MAX_BITS, QuantizedTensor

Floats = npt.NDArray[np.float32]

MOST_STEPS = 2**13  # from zero to the greatest magnitude of a tensor, so that its symbols fit the format
MAX_DEADZONE = 0.5  # of a step: then all values are rounded towards zero
# A grid for each slice along an axis is tried only where it adds fewer scales than this share of the values.
MAX_SCALE_SHARE = 0.02


def quantize(name: str, values: Floats, bits: int) -> QuantizedTensor:
    """Put `values` on the min/max grid of 2**bits levels with the smaller mean absolute error.

    The candidates are one grid for the whole tensor and one for each slice along each axis. Raises
    `ValueError` for values that are not finite or beyond 16-bit float.
    """
    axes = [i for i, size in enumerate(values.shape) if 1 < size < MAX_SCALE_SHARE * values.size]
    candidates = [_quantize_along(name, values, bits, axis) for axis in (None, *axes)]
    return min(candidates, key=lambda tensor: float(np.abs(dequantize(tensor) - values).mean()))


def grid_axis(shape: Sequence[int]) -> int | None:
    """The first axis along which a grid for each slice costs little; None where there is none."""
    return next((i for i, size in enumerate(shape) if 1 < size < MAX_SCALE_SHARE * prod(shape)), None)


def quantize_on(name: str, values: Floats, steps: Floats, deadzone: float = 0) -> QuantizedTensor:
    """The nearest multiples of `steps`, 16-bit floats that broadcast to `values` and differ along one axis at most.

    With a `deadzone` of 0 to 0.5, magnitudes are rounded down up to a remainder of (0.5 + `deadzone`) steps. Raises
    `ValueError` where a multiple is beyond 16 bits or 16-bit float.
    """
    axis = next((i for i, size in enumerate(steps.shape) if size > 1), None)
    multiples = np.rint(values / steps)
    if deadzone:
        scaled = np.abs(values / steps)
        multiples = np.sign(values) * np.ceil(scaled - np.float32(0.5 + deadzone)).clip(0)
    zero_bits = int(np.abs(multiples).max()).bit_length()
    if zero_bits >= MAX_BITS:
        raise ValueError(f"{name}: steps of {steps.min():g} are too small for values up to {np.abs(values).max():g}")
    scales = steps.astype(np.float16).ravel()
    zero = 1 << zero_bits  # a power of two, so that zero lies on the grid exactly
    return QuantizedTensor(
        name=name,
        shape=values.shape,
        bits=zero_bits + 1,
        symbols=(multiples + zero).astype(np.uint16).ravel(),
        scales=scales,
        offsets=-scales * np.float16(zero),
        axis=axis,
    )


def dequantize(tensor: QuantizedTensor) -> Floats:
    """The values a decoder uses, computed in float32."""
    scales, offsets = (
        _along(grid.astype(np.float32), tensor.axis, len(tensor.shape)) for grid in (tensor.scales, tensor.offsets)
    )
    symbols = tensor.symbols.reshape(tensor.shape).astype(np.float32)
    return np.asarray(offsets + scales * symbols, dtype=np.float32)


def array(tensor: Tensor) -> Floats:
    """A tensor, of any device, as an array on the host."""
    values: Floats = tensor.detach().cpu().contiguous().numpy()
    return values


def round_up(values: Tensor) -> Tensor:
    """16-bit floats, as 32-bit ones, that are positive and not below `values`: steps that a file can hold."""
    half = values.half().float()
    above = (half * (1 + 2**-10)).half().float()
    return torch.where(half < values, above, half).clamp_min(2**-24)


def _quantize_along(name: str, values: Floats, bits: int, axis: int | None) -> QuantizedTensor:
    others = None if axis is None else tuple(i for i in range(values.ndim) if i != axis)
    least, greatest = values.min(axis=others), values.max(axis=others)
    levels = (1 << bits) - 1
    offsets = -_round_up(-np.atleast_1d(least))
    reach = np.atleast_1d(greatest) - offsets.astype(np.float32)
    scales = _round_up((reach / levels).astype(np.float32))
    scale, offset = (_along(grid.astype(np.float32), axis, values.ndim) for grid in (scales, offsets))
    symbols = np.rint((values - offset) / np.where(scale > 0, scale, 1)).clip(0, levels)
    return QuantizedTensor(
        name=name,
        shape=values.shape,
        bits=bits,
        symbols=symbols.astype(np.uint16).ravel(),
        scales=scales,
        offsets=offsets,
        axis=axis,
    )


def _round_up(values: Floats) -> npt.NDArray[np.float16]:
    """The least 16-bit floats that are not below `values`: a grid made of them leaves no value outside."""
    with np.errstate(over="ignore"):
        nearest = values.astype(np.float16)
    return np.where(nearest < values, np.nextafter(nearest, np.float16(np.inf)), nearest)


def _along(grid: Floats, axis: int | None, dims: int) -> Floats:
    """Shape a grid so that it broadcasts along `axis` of a tensor with `dims` axes."""
    return grid.reshape([-1 if i == axis else 1 for i in range(dims)])
