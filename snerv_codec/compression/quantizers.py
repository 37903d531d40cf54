"""Quantisation inside the training: networks that learn with the values a file will hold.

A quantiser takes all that a file holds of a model, by name: the decoder's parameters and the embeddings. It
returns the values on their grids, differentiable by the straight-through estimator, and tells what they cost. Its
grids are symmetric, multiples of a step that is a 16-bit float, so packing them changes nothing.
"""

import math
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn

from bitstream.bits import BitWriter
from bitstream.fitting import fit
from bitstream.rangecoder import TOTAL
from snerv_codec.compression.quantize import EMBEDDINGS, grid_axis

Values = Mapping[str, Tensor]

MOST_STEPS = 2**13  # from zero to the greatest value: a tensor that hardly varies gets no finer grid
START_BITS, START_VECTOR_BITS = 6.0, 8.0  # entropy of a Gaussian on the first steps; the second for biases
CHANNELS = 1  # the axis of embeddings along which steps differ
MARGIN = 8  # symbols beyond those seen for which code lengths are extrapolated
STRETCH = 1.1  # of steps, to see what larger and smaller ones cost
EDGE_BITS = 4  # that a symbol beyond those seen costs more than its neighbour


class Quantizer(nn.Module):
    """What the trainer asks of a quantiser."""

    def prepare(self, values: Values) -> None:
        """At the start of an epoch, with the values as they are and the embeddings of all frames."""

    def steps(self, values: Values) -> dict[str, Tensor]:
        """The step of each tensor, shaped so that it broadcasts: along one axis at most it has several."""
        raise NotImplementedError

    def forward(self, values: Values) -> dict[str, Tensor]:
        """The values on their grids; the embeddings may be those of some frames only."""
        raise NotImplementedError

    def bits(self, values: Values, rows: Tensor) -> Tensor:
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
    def steps(self, values: Values) -> dict[str, Tensor]:
        """Steps that reach from zero to the greatest magnitude."""
        steps = {}
        for name, tensor in values.items():
            axis = CHANNELS if name in EMBEDDINGS else grid_axis(tensor.shape)
            others = [i for i in range(tensor.dim()) if i != axis]
            greatest = tensor.abs().amax(dim=others, keepdim=True) if others else tensor.abs()
            levels = 2 ** ((self.embed_bits if name in EMBEDDINGS else self.weight_bits) - 1) - 1
            steps[name] = round_up(greatest / levels)
        return steps

    def prepare(self, values: Values) -> None:
        """Fix the steps of the embeddings, which a batch does not show, for an epoch."""
        steps = self.steps({name: values[name] for name in EMBEDDINGS if name in values})
        for name, step in steps.items():
            self.register_buffer(name, step, persistent=False)

    def forward(self, values: Values) -> dict[str, Tensor]:
        """Quantise, a share of the values in training and all of them else."""
        steps = self.steps({name: tensor for name, tensor in values.items() if name not in EMBEDDINGS})
        steps |= {name: self.get_buffer(name) for name in EMBEDDINGS if name in values}
        return {name: self._mix(tensor, steps[name]) for name, tensor in values.items()}

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
    """

    def __init__(self, values: Values) -> None:
        super().__init__()
        self.names = tuple(values)
        self.log_steps = nn.ParameterList(_first_step(name, tensor).log() for name, tensor in values.items())
        self.rates: dict[str, Rate] = {}
        self.savings: dict[str, Tensor] = {}  # bits that an e-fold of a tensor's steps saves

    def steps(self, values: Values) -> dict[str, Tensor]:
        """The learned steps, at the file's precision; never so small that symbols would not fit it."""
        steps = {}
        for name, log_step in zip(self.names, self.log_steps, strict=True):
            least = round_up(values[name].detach().abs().amax() / MOST_STEPS)
            steps[name] = torch.maximum(_through_half(log_step.exp()), least)
        return steps

    @torch.no_grad()
    def prepare(self, values: Values) -> None:
        """Fit the curves to the symbols as they are."""
        for name, step in self.steps(values).items():
            scaled = values[name] / step
            symbols = scaled.round()
            follows = name in EMBEDDINGS and len(symbols) > 1 and _following_bits(symbols) < _entropy_bits(symbols)
            self.rates[name] = FollowingRate(symbols) if follows else Rate(symbols)
            bits = _following_bits if follows else _entropy_bits
            finer, coarser = (bits((scaled * factor).round()) for factor in (STRETCH, 1 / STRETCH))
            self.savings[name] = (finer - coarser) / (2 * math.log(STRETCH))

    def forward(self, values: Values) -> dict[str, Tensor]:
        """Quantise."""
        quantized = {}
        for name, step in self.steps(values).items():
            scaled = values[name] / step
            quantized[name] = (scaled + (scaled.round() - scaled).detach()) * step
        return quantized

    def bits(self, values: Values, rows: Tensor) -> Tensor:
        """Mean number of bits a value."""
        parts = []
        for name, step in self.steps(values).items():
            growth = step.log().mean()
            saved = self.savings[name] * (growth - growth.detach())
            parts.append(self.rates[name].bits(values[name] / step.detach(), rows) - saved)
        return torch.stack(parts).sum() / self.count

    @property
    def count(self) -> int:
        """Number of all values."""
        return sum(rate.count for rate in self.rates.values())

    @torch.no_grad()
    def approach(self, values: Values, budget: float, limit: float) -> float:
        """Scale all steps so that `values`, all frames', take `budget` bytes, by e**±limit at most; the exponent.

        It takes `prepare` before, and leaves the curves fitted to the new steps.
        """
        savings = torch.stack([*self.savings.values()]).sum().item() / 8
        wanted = (self.believed_bytes(values) - budget) / max(savings, 1e-9)
        exponent = min(max(wanted, -limit), limit)
        self.scale(values, exponent)
        return exponent

    @torch.no_grad()
    def scale(self, values: Values, exponent: float) -> None:
        """Scale all steps by e**exponent, and fit the curves to `values`, all frames', on the new ones."""
        for log_step in self.log_steps:
            log_step += exponent
        self.prepare(values)

    @torch.no_grad()
    def believed_bytes(self, values: Values) -> float:
        """What the coder will make of `values`, all frames', by the curves of the last `prepare`."""
        steps = self.steps(values).items()
        return sum(self.rates[name].total((values[name] / step).round()) for name, step in steps) / 8


class Rate:
    """Bits of a tensor whose symbols are coded one by one."""

    def __init__(self, symbols: Tensor) -> None:
        self.count = symbols.numel()
        self.lengths = CodeLengths(symbols)

    def bits(self, scaled: Tensor, rows: Tensor) -> Tensor:
        """Bits of all values, of which `scaled`, in steps, are some."""
        return self.lengths(scaled).mean() * self.count

    def total(self, symbols: Tensor) -> float:
        """Bits of all symbols, the table included."""
        return self.lengths(symbols).sum().item() + self.lengths.table_bits


class FollowingRate(Rate):
    """Bits of a tensor whose rows are coded as differences, each from the row before."""

    def __init__(self, symbols: Tensor) -> None:
        self.count, self.symbols = symbols.numel(), symbols
        self.first, self.lengths = CodeLengths(symbols[0]), CodeLengths(symbols[1:] - symbols[:-1])

    def bits(self, scaled: Tensor, rows: Tensor) -> Tensor:
        """Bits of all rows; the gradient is also that of the rows that follow these."""
        last = len(self.symbols) - 1
        shape = (-1, *[1] * (scaled.dim() - 1))
        is_first, is_last = (rows == 0).view(shape), (rows == last).view(shape)
        before, after = self.symbols[(rows - 1).clamp_min(0)], self.symbols[(rows + 1).clamp_max(last)]
        own = torch.where(is_first, self.first(scaled), self.lengths(scaled - before))
        ahead = self.lengths(after - scaled).masked_fill(is_last, 0)
        return (own + ahead - ahead.detach()).mean() * self.count

    def total(self, symbols: Tensor) -> float:
        """Bits of all rows, the tables included."""
        first, rest = self.first(symbols[0]), self.lengths(symbols[1:] - symbols[:-1])
        return (first.sum() + rest.sum()).item() + self.first.table_bits + self.lengths.table_bits


class CodeLengths:
    """Bits that a symbol takes under the curve fitted to some symbols.

    Between symbols it is the probability that is linear, as if rounding were noise.
    """

    def __init__(self, symbols: Tensor) -> None:
        least, greatest = (int(bound) for bound in torch.stack(torch.aminmax(symbols)).tolist())
        self.first = least - MARGIN
        if least == greatest:
            shares, self.table_bits = np.ones(1), 0
        else:
            counts = torch.bincount((symbols - least).flatten().long(), minlength=greatest - least + 1)
            curve, table = fit(counts.cpu().numpy().astype(np.int64)), BitWriter()
            shares = curve.frequencies() / TOTAL
            curve.write(table)
            self.table_bits = 8 * len(table.finish())
        fall = 2.0 ** (-EDGE_BITS * np.arange(1, MARGIN + 1))
        extended = np.concatenate((shares[0] * fall[::-1], shares, shares[-1] * fall)).astype(np.float32)
        self.shares = torch.from_numpy(extended).to(symbols.device)

    def __call__(self, scaled: Tensor) -> Tensor:
        """Bits for values in units of the step."""
        place = (scaled - self.first).clamp(0, len(self.shares) - 1)
        index = place.detach().long().clamp_max(len(self.shares) - 2)
        here = self.shares[index]
        beyond = (scaled - self.first - place).abs()
        return EDGE_BITS * beyond - (here + (place - index) * (self.shares[index + 1] - here)).log2()


def _entropy_bits(symbols: Tensor) -> Tensor:
    """Bits of symbols, at order 0."""
    counts = torch.bincount((symbols - symbols.min()).flatten().long())
    bits: Tensor = torch.special.entr(counts / symbols.numel()).sum() * symbols.numel() / math.log(2)
    return bits


def _following_bits(symbols: Tensor) -> Tensor:
    """Bits of rows of symbols as differences, the first one as it is."""
    return _entropy_bits(symbols[0]) + _entropy_bits(symbols[1:] - symbols[:-1])


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


def round_up(values: Tensor) -> Tensor:
    """16-bit floats that are not below `values`, and positive."""
    half = values.half().float()
    above = (half * (1 + 2**-10)).half().float()
    return torch.where(half < values, above, half).clamp_min(2**-24)
