"""Quantisation inside the training: networks that learn with the values a file will hold.

A quantiser takes all that a file holds of a model, by name: the decoder's parameters and the embeddings. It
returns the values on their grids, differentiable by the straight-through estimator, and tells what they cost. Its
grids are symmetric, multiples of a step that is a 16-bit float, so packing them changes nothing.
"""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from snerv_codec.compression.quantize import MOST_STEPS, grid_axis, round_up
from snerv_codec.compression.rate import FollowingRate, Rate, following_bits, order0_bits
from snerv_codec.compression.values import EMBEDDINGS, Values

START_BITS, START_VECTOR_BITS = 6.0, 8.0  # entropy of a Gaussian on the first steps; the second for biases
CHANNELS = 1  # the axis of embeddings along which steps differ
LARGEST_STEP = torch.finfo(torch.float16).max
WEIGHTS = "weights"  # their rate, all together
STRETCH = 1.1  # of steps, to see what larger and smaller ones cost


class Quantizer(nn.Module):
    """What the trainer asks of a quantiser."""

    def prepare(self, values: Values[Tensor]) -> None:
        """At the start of an epoch, with the values as they are and the embeddings of all frames."""

    def steps(self, values: Values[Tensor]) -> Values[Tensor]:
        """The step of each tensor, shaped so that it broadcasts: along one axis at most it has several."""
        raise NotImplementedError

    def forward(self, values: Values[Tensor]) -> Values[Tensor]:
        """The values on their grids; the embeddings may be those of some frames only."""
        raise NotImplementedError

    def bits(self, values: Values[Tensor], rows: Tensor) -> Tensor:
        """Bits a value that all of `values` will cost; the embeddings are those of the frames `rows`."""
        return torch.zeros((), device=rows.device)


class NoisyQuantizer(Quantizer):
    """Grids of 2**bits levels up to each slice's greatest magnitude (HiNeRV's recipe, "quantisation noise").

    In training a random `share` of the values is on the grid; the rest is not, and takes a clean gradient.
    """

    def __init__(self, weight_bits: int, embed_bits: int, share: float) -> None:
        super().__init__()
        self.weight_bits, self.embed_bits, self.share = weight_bits, embed_bits, share

    @torch.no_grad()
    def steps(self, values: Values[Tensor]) -> Values[Tensor]:
        """Steps that reach from zero to the greatest magnitude."""
        return values.map(self._step)

    def prepare(self, values: Values[Tensor]) -> None:
        """Fix the steps of the embeddings, which a batch does not show, for an epoch."""
        for name, tensor in values.embeddings.items():
            self.register_buffer(name, self._step(name, tensor), persistent=False)

    def forward(self, values: Values[Tensor]) -> Values[Tensor]:
        """Quantise, a share of the values in training and all of them else."""
        return values.map(lambda name, tensor: self._mix(tensor, self._known_step(name, tensor)))

    def _known_step(self, name: str, values: Tensor) -> Tensor:
        return self.get_buffer(name) if name in EMBEDDINGS else self._step(name, values)

    @torch.no_grad()
    def _step(self, name: str, values: Tensor) -> Tensor:
        embedding = name in EMBEDDINGS
        axis = CHANNELS if embedding else grid_axis(values.shape)
        others = [i for i in range(values.dim()) if i != axis]
        greatest = values.abs().amax(dim=others, keepdim=True) if others else values.abs()
        return round_up(greatest / (2 ** ((self.embed_bits if embedding else self.weight_bits) - 1) - 1))

    def _mix(self, values: Tensor, step: Tensor) -> Tensor:
        on_grid = (values / step).round() * step
        if self.training:
            on_grid = torch.where(torch.rand_like(values) < self.share, on_grid, values)
        return values + (on_grid - values).detach()


class RateQuantizer(Quantizer):
    """Steps learned with the values, and the rate under the very curves that the entropy coder will use.

    Distortion sees rounded values (straight through). Rate sees the code lengths of values that are not
    rounded, by curves that are fitted at the start of every epoch. What larger steps save no curve tells
    that stays the same (a flat one has no slope at all), so that is measured then too.

    Weights are treated as one line of values, since most tensors alone are less work than the overhead of it.
    """

    def __init__(self, values: Values[Tensor]) -> None:
        super().__init__()
        first = values.map(_first_step)
        self.shapes = first.map(lambda _, step: step.shape)
        self.log_steps = nn.Parameter(torch.cat([step.log().flatten() for _, step in first]))
        self.sizes = [tensor.numel() for tensor in values.weights.values()]
        self.counts = torch.tensor(self.sizes, dtype=torch.int64, device=self.log_steps.device)
        self.least = self._least_steps(values)
        self.rates: dict[str, Rate] = {}
        self.savings = torch.zeros_like(self.least)  # bits that an e-fold of each step saves

    def steps(self, values: Values[Tensor]) -> Values[Tensor]:
        """The learned steps, at the file's precision; never so small that what `prepare` saw would not fit it."""
        return self._by_name(self._steps())

    @torch.no_grad()
    def prepare(self, values: Values[Tensor]) -> None:
        """Fit the curves to the symbols as they are."""
        self.least = self._least_steps(values)
        savings = []
        for name, scaled in self._scaled(values):
            symbols, array, bits = scaled.round(), scaled.cpu().numpy(), order0_bits
            parts, rounded = [array], array.round()
            if name == WEIGHTS:
                self.rates[name], parts = Rate(symbols, self.sizes), np.split(array, np.cumsum(self.sizes)[:-1])
            elif len(symbols) > 1 and following_bits(rounded) < order0_bits(rounded):
                self.rates[name], bits = FollowingRate(symbols), following_bits
            else:
                self.rates[name] = Rate(symbols)
            count = 1 if name == WEIGHTS else self.shapes[name].numel()
            for part in parts:
                finer, coarser = (bits((part * factor).round()) for factor in (STRETCH, 1 / STRETCH))
                savings += [(finer - coarser) / (2 * math.log(STRETCH)) / count] * count
        self.savings = self.savings.new_tensor(savings)

    def forward(self, values: Values[Tensor]) -> Values[Tensor]:
        """Quantise."""
        all_steps, weights, embeddings = self._steps(), {}, {}
        if self.sizes:
            line = _round(self._line(values), all_steps[: len(self.sizes)], self.counts, self.sizes)
            for (name, tensor), part in zip(values.weights.items(), torch.split(line, self.sizes), strict=True):
                weights[name] = _from_line(part, tensor.shape)
        steps = self._by_name(all_steps)
        for name, tensor in values.embeddings.items():
            scaled = tensor / steps[name]
            embeddings[name] = (scaled + (scaled.round() - scaled).detach()) * steps[name]
        return Values(weights, embeddings)

    def bits(self, values: Values[Tensor], rows: Tensor) -> Tensor:
        """Mean number of bits a value."""
        growth = self._steps().log()
        saved = (self.savings * (growth - growth.detach())).sum()
        parts = [self.rates[name].bits(scaled, rows) for name, scaled in self._scaled(values)]
        return (torch.stack(parts).sum() - saved) / self.count

    @property
    def count(self) -> int:
        """Number of all values."""
        return sum(rate.count for rate in self.rates.values())

    @torch.no_grad()
    def approach(self, values: Values[Tensor], budget: float, limit: float) -> float:
        """Scale all steps so that `values`, all frames', take `budget` bytes, by e**±limit at most; the exponent.

        It takes `prepare` before, and leaves the curves fitted to the new steps.
        """
        savings = self.savings.sum().item() / 8
        wanted = (self.estimated_bytes(values) - budget) / max(savings, 1e-9)
        exponent = min(max(wanted, -limit), limit)
        self.scale(values, exponent)
        return exponent

    @torch.no_grad()
    def scale(self, values: Values[Tensor], exponent: float) -> None:
        """Scale all steps by e**exponent, and fit the curves to `values`, all frames', on the new ones."""
        self.log_steps.add_(exponent)
        self.prepare(values)

    @torch.no_grad()
    def estimated_bytes(self, values: Values[Tensor]) -> float:
        """What the coder will make of `values`, all frames', by the curves of the last `prepare`."""
        return sum(self.rates[name].total(scaled.round()) for name, scaled in self._scaled(values)) / 8

    def _steps(self) -> Tensor:
        """The weights' steps, one each, and after them the embeddings'."""
        return torch.maximum(_through_half(self.log_steps.exp()), self.least).clamp_max(LARGEST_STEP)

    @torch.no_grad()
    def _least_steps(self, values: Values[Tensor]) -> Tensor:
        greatest = [values[name].abs().amax().expand(shape.numel()) for name, shape in self.shapes]
        return round_up(torch.cat(greatest) / MOST_STEPS)

    def _by_name(self, steps: Tensor) -> Values[Tensor]:
        """What `_steps` gives, by tensor."""
        parts = iter(torch.split(steps, [shape.numel() for _, shape in self.shapes]))
        return self.shapes.map(lambda _, shape: next(parts).view(shape))

    def _line(self, values: Values[Tensor]) -> Tensor:
        return torch.cat([_to_line(tensor) for tensor in values.weights.values()])

    def _scaled(self, values: Values[Tensor]) -> Iterator[tuple[str, Tensor]]:
        """The line of weights and each tensor of embeddings in units of the steps as they are."""
        all_steps = self._steps().detach()
        if self.sizes:
            line = self._line(values)
            yield WEIGHTS, line / _spread(all_steps[: len(self.sizes)], self.counts, len(line))
        steps = self._by_name(all_steps)
        yield from ((name, tensor / steps[name]) for name, tensor in values.embeddings.items())


class _Round(torch.autograd.Function):
    """Values of several tensors in a line to the nearest multiples of their tensor's step.

    Values take the gradient straight through, steps that of what rounding adds (Esser et al., 2020, equation 3).
    """

    @staticmethod
    def forward(ctx: Any, line: Tensor, steps: Tensor, counts: Tensor, sizes: list[int]) -> Tensor:
        spread = _spread(steps, counts, len(line))
        scaled = line / spread
        symbols = scaled.round()
        ctx.sizes = sizes
        ctx.save_for_backward(symbols - scaled)
        return symbols * spread

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None, None]:
        (added,) = ctx.saved_tensors
        return grad, torch.stack([part.sum() for part in torch.split(grad * added, ctx.sizes)]), None, None


def _round(line: Tensor, steps: Tensor, counts: Tensor, sizes: list[int]) -> Tensor:
    on_grid: Tensor = _Round.apply(line, steps, counts, sizes)  # type: ignore[no-untyped-call]
    return on_grid


def _spread(steps: Tensor, counts: Tensor, length: int) -> Tensor:
    return torch.repeat_interleave(steps, counts, output_size=length)


def _to_line(tensor: Tensor) -> Tensor:
    """All values in a row, those of a 2D kernel with channels last, as they lie in memory (`model.blocks.place`)."""
    return (tensor.permute(0, 2, 3, 1) if tensor.dim() == 4 else tensor).reshape(-1)


def _from_line(line: Tensor, shape: torch.Size) -> Tensor:
    """What `_to_line` made a row of."""
    if len(shape) != 4:
        return line.view(shape)
    return line.view(shape[0], *shape[2:], shape[1]).permute(0, 3, 1, 2)


def _first_step(name: str, values: Tensor) -> Tensor:
    """The step at which a Gaussian of the same spread has an entropy of so many bits."""
    values = values.detach()
    if name in EMBEDDINGS:
        spread = values.std(dim=[i for i in range(values.dim()) if i != CHANNELS], keepdim=True, correction=0)
    else:
        spread = values.std(correction=0)
    bits = START_BITS if values.dim() > 1 else START_VECTOR_BITS
    return spread.clamp_min(1e-5) * math.sqrt(2 * math.pi * math.e) / 2**bits


def _through_half(values: Tensor) -> Tensor:
    return values + (values.detach().half().float() - values.detach())
