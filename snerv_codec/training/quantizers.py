"""Quantisation inside the training: networks that learn with the values a file will hold.

A quantiser takes all values of a file and returns them on their grids, differentiable by the straight-through
estimator; and it tells what they cost. Its grids are symmetric, multiples of steps that are 16-bit floats, so packing
them changes nothing. What it learns or fixes for an epoch lies in parameters and buffers that stay where they are: a
captured step reads them, and a state of the fit is their `state_dict`.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from snerv_codec.compression.quantize import MOST_STEPS, Floats, grid_axis, round_up
from snerv_codec.compression.rate import LineRate, RowRate, order0_bits
from snerv_codec.compression.values import EMBEDDINGS, Values
from snerv_codec.training.settings import Phase

START_BITS, START_VECTOR_BITS = 6.0, 8.0  # entropy of a Gaussian on the first steps; the second for biases
CHANNELS = 1  # the axis of embeddings along which steps differ
LARGEST_STEP = torch.finfo(torch.float16).max
NOISE_SHARE = 0.9  # of values on the grid in a step of HiNeRV's recipe
STRETCH = 1.1  # of steps, to measure what coarser and finer ones cost
# Bits that a value costs by the square of its distance from its symbol, in steps, at the end of a phase; they rise from
# none at this share of it.
PULL, PULL_FROM = 10.0, 0.6


class Quantizer(nn.Module):
    """What a training step and its loop ask of a quantiser."""

    def prepare(self, values: Values[Tensor], seed: int = 0) -> None:
        """Called at the start of an epoch with the values as they are, the embeddings those of all frames.

        What is random in the epoch comes from `seed`.
        """

    def steps(self, values: Values[Tensor]) -> Values[Tensor]:
        """The step of each tensor, shaped so that it broadcasts: along one axis at most it has several."""
        raise NotImplementedError

    def forward(self, values: Values[Tensor]) -> Values[Tensor]:
        """The values on their grids; the embeddings may be those of some frames only."""
        raise NotImplementedError

    @property
    def generators(self) -> tuple[torch.Generator, ...]:
        """The generators that calls draw random numbers from."""
        return ()


def quantizer_for(phase: Phase, values: Values[Tensor]) -> Quantizer:
    """The quantiser of a phase with grids, made for `values`, all that the file would hold."""
    return RateQuantizer(values) if phase.grids == "learned" else NoisyQuantizer(values, *phase.bits, NOISE_SHARE)


@torch.no_grad()
def first_steps(values: Values[Tensor]) -> Values[Tensor]:
    """The steps that learning them starts from."""
    return RateQuantizer(values).steps(values)


class NoisyQuantizer(Quantizer):
    """Grids of 2**bits levels up to each slice's greatest magnitude (HiNeRV's recipe, "quantisation noise").

    In training a random `share` of the values is on the grid; the others stay as they are. Which ones is drawn from a
    generator of its own.
    """

    def __init__(self, values: Values[Tensor], weight_bits: int, embed_bits: int, share: float) -> None:
        super().__init__()
        self.weight_bits, self.embed_bits, self.share = weight_bits, embed_bits, share
        for name, tensor in values.embeddings.items():
            self.register_buffer(name, self._step(name, tensor))
        self._generator = torch.Generator(next(iter(values))[1].device)

    @property
    def generators(self) -> tuple[torch.Generator, ...]:
        """The one that says which values are on the grid."""
        return (self._generator,)

    @torch.no_grad()
    def steps(self, values: Values[Tensor]) -> Values[Tensor]:
        """Steps that reach from zero to the greatest magnitude."""
        return values.map(self._step)

    def prepare(self, values: Values[Tensor], seed: int = 0) -> None:
        """Fix the steps of the embeddings, which a batch does not show, for an epoch."""
        for name, tensor in values.embeddings.items():
            self.get_buffer(name).copy_(self._step(name, tensor))
        self._generator.manual_seed(seed)

    def forward(self, values: Values[Tensor]) -> Values[Tensor]:
        """Quantise, a share of the values in training and all of them else."""
        return values.map(lambda name, tensor: self._mix(tensor, self._known_step(name, tensor)))

    def get_extra_state(self) -> Tensor:
        """Where the noise stands, for `nn.Module.state_dict`."""
        return self._generator.get_state()

    def set_extra_state(self, state: Tensor) -> None:
        """Go on with the noise from there."""
        self._generator.set_state(state.cpu())

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
            drawn = torch.empty_like(values).uniform_(generator=self._generator)
            on_grid = torch.where(drawn < self.share, on_grid, values)
        return values + (on_grid - values).detach()


class RateQuantizer(Quantizer):
    """Steps learned with the values, and the rate under the very curves that the entropy coder will use.

    Distortion sees rounded values (straight through). Rate sees the code lengths of values that are not rounded, under
    curves that are fitted at the start of every epoch. A fixed curve cannot show what coarser steps save, so that is
    measured at the same time: on steps a little finer and a little coarser.

    Rate pushes a value down to where it is rounded up, and distortion pushes it up from there: many would come to rest
    on that threshold and change their symbols at random to the end. So towards the end values are pulled to the symbols
    that they have (dampening: Nagel et al., "Overcoming Oscillations in Quantization-Aware Training", 2022).

    Weights are concatenated, because calls for each tensor cost more than their arithmetic.
    """

    counts: Tensor  # values of each tensor of weights
    least: Tensor  # steps at which symbols just fit the format
    savings: Tensor  # bits that a growth of each step by a factor of e saves
    pull: Tensor  # bits by the square of the distance of a value from its symbol

    def __init__(self, values: Values[Tensor]) -> None:
        super().__init__()
        first = values.map(_first_step)
        self.shapes = first.map(lambda _, step: step.shape)
        self.log_steps = nn.Parameter(torch.cat([step.log().flatten() for _, step in first]))
        self.sizes, device = [tensor.numel() for tensor in values.weights.values()], self.log_steps.device
        self.register_buffer("counts", torch.tensor(self.sizes, dtype=torch.int64, device=device), persistent=False)
        self.register_buffer("least", self._least_steps(values))
        self.register_buffer("savings", torch.zeros_like(self.least))
        self.register_buffer("pull", torch.zeros((), device=device))
        self.line = LineRate(self.sizes, device) if self.sizes else None
        self.rows = nn.ModuleDict({name: RowRate(each.shape, device) for name, each in values.embeddings.items()})

    def steps(self, values: Values[Tensor]) -> Values[Tensor]:
        """The learned steps, at the file's precision; never so small that what `prepare` saw would not fit it."""
        return self._by_name(self._steps())

    @torch.no_grad()
    def prepare(self, values: Values[Tensor], seed: int = 0) -> None:
        """Fit the curves to the symbols as they are."""
        self.least.copy_(self._least_steps(values))
        line, rows = self._scaled(values)
        savings: list[float] = []
        if self.line is not None and line is not None:
            line = _within_format(line)
            self.line.fit(line.round())
            parts = np.split(line.cpu().numpy(), np.cumsum(self.sizes)[:-1])
            savings += (_saving(order0_bits, part) for part in parts)
        for name, scaled in rows.items():
            rate, count, scaled = self._row_rate(name), self.shapes[name].numel(), _within_format(scaled)
            rate.fit(scaled.round())
            savings += [_saving(rate.entropy, scaled.cpu().numpy()) / count] * count
        self.savings.copy_(torch.tensor(savings))

    def forward(self, values: Values[Tensor]) -> Values[Tensor]:
        """Quantise."""
        all_steps, weights, embeddings = self._steps(), {}, {}
        if self.sizes:
            line = _round(_line(values), all_steps[: len(self.sizes)], self.counts, self.sizes)
            for (name, tensor), part in zip(values.weights.items(), torch.split(line, self.sizes), strict=True):
                weights[name] = _from_line(part, tensor.shape)
        steps = self._by_name(all_steps)
        for name, tensor in values.embeddings.items():
            scaled = tensor / steps[name]
            embeddings[name] = (scaled + (scaled.round() - scaled).detach()) * steps[name]
        return Values(weights, embeddings)

    def bits(self, values: Values[Tensor], rows: Tensor) -> Tensor:
        """Mean bits a value of the whole file; of the embeddings, those of the frames at `rows` stand for all.

        The gradient is also that of the distances of values from their symbols.
        """
        growth = self._steps().log()
        saved = (self.savings * (growth - growth.detach())).sum()
        line, embeddings = self._scaled(values)
        parts = [] if self.line is None or line is None else [self.line.bits(line)]
        parts += (self._row_rate(name).bits(scaled, rows) for name, scaled in embeddings.items())
        pulled = self.pull * self._distance(line, embeddings)
        return (torch.stack(parts).sum() - saved + (pulled - pulled.detach())) / self.count

    def settle(self, done: float) -> None:
        """Pull values to their symbols as hard as is due once the share `done` of a phase is over."""
        self.pull.fill_(PULL * max(0.0, done - PULL_FROM) / (1 - PULL_FROM))

    @property
    def count(self) -> int:
        """Number of all values."""
        return sum(self.sizes) + sum(self._row_rate(name).count for name in self.rows)

    @property
    def saving(self) -> float:
        """Bytes that steps larger by a factor of e would save, by the last `prepare`."""
        return self.savings.sum().item() / 8

    @torch.no_grad()
    def scale(self, values: Values[Tensor], exponent: float) -> None:
        """Scale all steps by e**exponent, and fit the curves to `values`, all frames', on the new ones."""
        self.log_steps.add_(exponent)
        self.prepare(values)

    @torch.no_grad()
    def estimated_bytes(self, values: Values[Tensor]) -> float:
        """Bytes that the coder will make of `values`, all frames', by the curves of the last `prepare`."""
        line, rows = self._scaled(values)
        bits = 0.0 if self.line is None or line is None else self.line.total(line.round())
        return (bits + sum(self._row_rate(name).total(scaled.round()) for name, scaled in rows.items())) / 8

    def _distance(self, line: Tensor | None, embeddings: dict[str, Tensor]) -> Tensor:
        """Of all values, in steps, the sum of the squares of how far they are from their symbols."""
        parts = [(scaled - scaled.detach().round()).square() for scaled in embeddings.values()]
        sums = [part.mean() * self._row_rate(name).count for name, part in zip(embeddings, parts, strict=True)]
        if line is not None:
            sums.append((line - line.detach().round()).square().sum())
        return torch.stack(sums).sum()

    def _row_rate(self, name: str) -> RowRate:
        rate = self.rows[name]
        assert isinstance(rate, RowRate)
        return rate

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

    def _scaled(self, values: Values[Tensor]) -> tuple[Tensor | None, dict[str, Tensor]]:
        """The line of weights, and each tensor of embeddings, in units of the steps as they are."""
        all_steps, line = self._steps().detach(), None
        if self.sizes:
            line = _line(values)
            line = line / _spread(all_steps[: len(self.sizes)], self.counts, len(line))
        steps = self._by_name(all_steps)
        return line, {name: tensor / steps[name] for name, tensor in values.embeddings.items()}


def _within_format(scaled: Tensor) -> Tensor:
    """Values in units of their step, also those of a fit that diverges, which is told by its loss."""
    return scaled.nan_to_num(0).clamp(-MOST_STEPS, MOST_STEPS)


def _saving(bits: Callable[[Floats], float], scaled: Floats) -> float:
    """Bits that a growth of the step by a factor of e saves, measured on slightly finer and slightly coarser ones."""
    finer, coarser = (bits((scaled * factor).round()) for factor in (STRETCH, 1 / STRETCH))
    return (finer - coarser) / (2 * math.log(STRETCH))


def _line(values: Values[Tensor]) -> Tensor:
    return torch.cat([_to_line(tensor) for tensor in values.weights.values()])


class _Round(torch.autograd.Function):
    """Values of several tensors, concatenated, to the nearest multiples of their tensor's step.

    The gradient goes straight through to the values, and to the steps as in LSQ (Esser et al., 2020, equation 3).
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
