"""Rounding that knows what it does to the frames, for networks that were not trained to be rounded.

A value that is off by δ adds s·δ² to the mean squared error of the frames, where s is its entry on the diagonal of
the Gauss-Newton matrix JᵀJ of the pixels. For random signs v on the pixels the mean of (Jᵀv)² is that diagonal
(Hutchinson, 1989), so a backward pass a frame tells all of it, and no original frame is needed.

With a bit worth λ, the best step of a tensor is where d(s·step²/12)/d(bits) = -λ: the less a tensor matters the
coarser. Then each value takes the one of its two neighbours on the grid that costs less in s·δ² + λ·bits, by the
code lengths of the curve that its tensor's symbols will have. At three bits a value and more it is the steps that
gain; the choice adds next to nothing (benchmarks.rounding).
"""

from collections.abc import Iterable, Mapping, Sequence
from math import log
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from bitstream.rangecoder import PRECISION
from bitstream.types import QuantizedTensor
from snerv_codec.compression.quantize import EMBEDDINGS, MOST_STEPS, Floats, dequantize, quantize, quantize_on
from snerv_codec.compression.rate import fit_curves

PROBES = 2  # random signs a frame
PASSES = 2  # of choosing neighbours, each by the code lengths that the one before leads to
HALVINGS = 12  # in the search for λ
WIDEST = 2.0**-6, 2.0**6  # what λ is searched between, in the mean distortion of a value
UNSEEN_BITS = 20.0  # of a symbol that is not in a tensor yet


class Weighed(NamedTuple):
    """Values of a tensor, and what the square of an error in each adds to the frames' mean squared error."""

    values: Floats
    weights: Floats


def weigh(
    decoder: nn.Module, embeddings: Sequence[Tensor], ll_ranges: Tensor, size: tuple[int, int]
) -> dict[str, Weighed]:
    """All that a file holds of a model, by name; arguments as of `sensitivities`."""
    weights = sensitivities(decoder, embeddings, ll_ranges, size)
    values = {**dict(decoder.named_parameters()), **dict(zip(EMBEDDINGS, embeddings, strict=False))}
    return {name: Weighed(_array(values[name]), _array(weights[name])) for name in weights}


def sensitivities(
    decoder: nn.Module, embeddings: Sequence[Tensor], ll_ranges: Tensor, size: tuple[int, int], *, probes: int = PROBES
) -> dict[str, Tensor]:
    """Diagonal of JᵀJ / (samples of all frames), for the decoder's parameters and the embeddings (T, *shape).

    Frames count as far as `size` (height, width). Twice a backward pass for each of T frames, by default.
    """
    parameters = dict(decoder.named_parameters())
    total = {name: torch.zeros_like(parameter) for name, parameter in parameters.items()}
    embedded = [torch.zeros_like(values) for values in embeddings]
    generator = torch.Generator(ll_ranges.device).manual_seed(0)
    for row in range(len(ll_ranges)):
        inputs = [values[row : row + 1].detach().requires_grad_() for values in embeddings]
        frame = decoder(inputs, ll_ranges[row : row + 1]).frame[..., : size[0], : size[1]]
        for probe in range(probes):
            signs = torch.randint(0, 2, frame.shape, generator=generator, device=frame.device) * 2.0 - 1
            sought = [*parameters.values(), *inputs]
            found = torch.autograd.grad(frame, sought, signs, retain_graph=probe + 1 < probes)
            for value, gradient in zip([*total.values(), *(e[row : row + 1] for e in embedded)], found, strict=True):
                value += gradient.square() / (probes * frame.numel() * len(ll_ranges))
    return {**total, **dict(zip(EMBEDDINGS, embedded, strict=False))}


def round_for_rate(
    weighed: Mapping[str, Weighed], bit_value: float, *, choose: bool = True
) -> dict[str, QuantizedTensor]:
    """All tensors on symmetric grids, where a bit is worth `bit_value` of the frames' mean squared error.

    Without `choose` each value goes to the nearest multiple of its step.
    """
    steps = {name: _step(*tensor, bit_value) for name, tensor in weighed.items()}
    scaled = {name: tensor.values / steps[name] for name, tensor in weighed.items()}
    multiples = {name: np.rint(values) for name, values in scaled.items()}
    for _ in range(PASSES if choose else 0):
        lengths = _code_lengths(multiples.values())
        for (name, values), bits in zip(scaled.items(), lengths, strict=True):
            errors = weighed[name].weights * steps[name] ** 2 / bit_value  # of a whole step, in bits
            multiples[name] = _cheapest(values, errors, *bits)
    return {
        name: quantize_on(name, multiples[name] * step, np.full([1] * multiples[name].ndim, step))
        for name, step in steps.items()
    }


def round_as_good(weighed: Mapping[str, Weighed], bits: Mapping[str, int]) -> dict[str, QuantizedTensor]:
    """All tensors at about the fewest bytes that do no more harm than the plain grids of so many bits a value."""
    allowed = sum(_harm(tensor, quantize(name, tensor.values, bits[name])) for name, tensor in weighed.items())
    count = sum(tensor.values.size for tensor in weighed.values())
    low, high = (log(allowed / count * bound) for bound in WIDEST)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        rounded = round_for_rate(weighed, np.exp(middle))
        harm = sum(_harm(weighed[name], tensor) for name, tensor in rounded.items())
        low, high = (middle, high) if harm <= allowed else (low, middle)
    return round_for_rate(weighed, np.exp(low))


def _array(tensor: Tensor) -> Floats:
    array: Floats = tensor.detach().cpu().contiguous().numpy()
    return array


def _harm(tensor: Weighed, rounded: QuantizedTensor) -> float:
    """The mean squared error that the frames gain."""
    return float((tensor.weights * np.square(dequantize(rounded) - tensor.values)).sum())


def _step(values: Floats, weights: Floats, bit_value: float) -> np.float32:
    """The best step of a tensor, a 16-bit float; at least so large that symbols fit, at most that all are zero."""
    greatest = float(np.abs(values).max())
    weight = float(weights[values != 0].mean()) if greatest else 0.0  # zeros are on any grid
    best = np.sqrt(6 / log(2) * bit_value / max(weight, 1e-30))
    step = np.float16(np.clip(best, max(greatest / MOST_STEPS, 2.0**-24), max(2.5 * greatest, 2.0**-23)))
    return np.float32(step)


def _code_lengths(many: Iterable[Floats]) -> list[tuple[int, Floats]]:
    """For each tensor the least of its symbols, and the bits that it and those above it take in its curve."""
    return [
        (least, (np.zeros(1) if curve is None else PRECISION - np.log2(curve.frequencies())).astype(np.float32))
        for least, curve in fit_curves(many)
    ]


def _cheapest(values: Floats, errors: Floats, least: int, bits: Floats) -> Floats:
    """Of the multiples on either side of each of `values`, in steps, the one of less error and bits."""

    def cost(multiples: Floats) -> Floats:
        place = (multiples - least).astype(np.int64)
        seen = (place >= 0) & (place < len(bits))
        rate = np.where(seen, bits[place.clip(0, len(bits) - 1)], UNSEEN_BITS)
        return np.asarray(errors * np.square(values - multiples) + rate, np.float32)

    below, above = np.floor(values), np.ceil(values)
    return np.where(cost(below) <= cost(above), below, above)
