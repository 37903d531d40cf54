"""How much each value matters to the frames, and rounding by it, for networks that were not trained to be rounded.

A value that is off by δ adds s·δ² to the mean squared error of the frames, where s is its entry on the diagonal of
the Gauss-Newton matrix JᵀJ of the pixels. For random signs v on the pixels the mean of (Jᵀv)² is that diagonal
(Hutchinson, 1989), so a backward pass a frame tells all of it, and no original frame is needed.

With a bit worth λ, the best step of a tensor is where d(s·step²/12)/d(bits) = -λ: the less a tensor matters the
coarser. Then each value takes the one of its two neighbours on the grid that costs less in s·δ² + λ·bits, by the
code lengths of the curve that its tensor's symbols will have. At three bits a value and more it is the steps that
gain; the choice adds next to nothing (benchmarks.trials.rounding).
"""

from collections.abc import Iterable, Mapping, Sequence
from math import exp, log
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from snerv_codec.bitstream.rangecoder import PRECISION
from snerv_codec.bitstream.types import QuantizedTensor
from snerv_codec.compression.quantize import MOST_STEPS, Floats, array, dequantize, quantize, quantize_on
from snerv_codec.compression.rate import fit_curves
from snerv_codec.compression.search import bisect
from snerv_codec.compression.values import Values, values_of

PROBES = 2  # random signs a frame
PASSES = 2  # of choosing neighbours, each by the code lengths that the one before leads to
WIDEST = 2.0**-6, 2.0**6  # what λ is searched between, in the mean distortion of a value
UNSEEN_BITS = 20.0  # code length of a symbol that does not occur in a tensor yet


class Weighed(NamedTuple):
    """Values of a tensor, and what the square of an error in each adds to the frames' mean squared error."""

    values: Floats
    weights: Floats


def sensitivities(
    decoder: nn.Module, embeddings: Sequence[Tensor], sides: Tensor, size: tuple[int, int], *, probes: int = PROBES
) -> Values[Tensor]:
    """Diagonal of JᵀJ / (samples of all frames), for the decoder's parameters and the embeddings (T, *shape).

    Of what the decoder makes, the frame is the top left `size` (height, width); `sides` are those of a `FrameSet`.
    It takes `probes` backward passes for each of the T frames.
    """
    values = values_of(decoder, embeddings)
    total = values.map(lambda _, each: torch.zeros_like(each))
    generator = torch.Generator(sides.device).manual_seed(0)
    for row in range(len(sides)):
        inputs = [each[row : row + 1].detach().requires_grad_() for each in embeddings]
        frame = decoder(inputs, sides[row : row + 1]).frame[..., : size[0], : size[1]]
        sums = [*total.weights.values(), *(each[row : row + 1] for each in total.embeddings.values())]
        for probe in range(probes):
            signs = torch.randint(0, 2, frame.shape, generator=generator, device=frame.device) * 2.0 - 1
            sought = [*values.weights.values(), *inputs]
            found = torch.autograd.grad(frame, sought, signs, retain_graph=probe + 1 < probes)
            for each, gradient in zip(sums, found, strict=True):
                each += gradient.square() / (probes * frame.numel() * len(sides))
    return total


def weigh(values: Values[Tensor], found: Values[Tensor]) -> Values[Weighed]:
    """Values, with what `sensitivities` found for them."""
    return values.map(lambda name, each: Weighed(array(each), array(found[name])))


def round_for_rate(weighed: Values[Weighed], bit_value: float, *, choose: bool = True) -> Values[QuantizedTensor]:
    """All tensors on symmetric grids, where a bit is worth `bit_value` of the frames' mean squared error.

    Without `choose` each value goes to the nearest multiple of its step.
    """
    steps = weighed.map(lambda _, each: _step(*each, bit_value))
    scaled = weighed.map(lambda name, each: each.values / steps[name])
    multiples = scaled.map(lambda _, each: np.rint(each))
    for _ in range(PASSES if choose else 0):
        lengths = dict(zip((name for name, _ in multiples), _code_lengths(each for _, each in multiples), strict=True))

        def cheapest(name: str, each: Floats, lengths: Mapping[str, tuple[int, Floats]] = lengths) -> Floats:
            errors = weighed[name].weights * steps[name] ** 2 / bit_value  # of a whole step, in bits
            return _cheapest(each, errors, *lengths[name])

        multiples = scaled.map(cheapest)
    return multiples.map(
        lambda name, each: quantize_on(name, each * steps[name], np.full([1] * each.ndim, steps[name]))
    )


def round_as_good(weighed: Values[Weighed], bits: Values[int]) -> Values[QuantizedTensor]:
    """All tensors at about the fewest bytes that do no more harm than the plain grids of so many bits a value."""
    allowed = sum(_harm(each, quantize(name, each.values, bits[name])) for name, each in weighed)
    count = sum(each.values.size for _, each in weighed)
    low, high = (log(allowed / count * bound) for bound in WIDEST)

    def at(log_value: float) -> Values[QuantizedTensor]:
        return round_for_rate(weighed, exp(log_value))

    def harmless(rounded: Values[QuantizedTensor]) -> bool:
        return sum(_harm(weighed[name], each) for name, each in rounded) <= allowed

    return bisect(at, low, high, at(low), holds=harmless)


def _harm(tensor: Weighed, rounded: QuantizedTensor) -> float:
    """The mean squared error that the frames gain."""
    return float((tensor.weights * np.square(dequantize(rounded) - tensor.values)).sum())


def _step(values: Floats, weights: Floats, bit_value: float) -> np.float32:
    """The best step of a tensor, a 16-bit float: large enough for symbols to fit, no larger than makes all zero."""
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
