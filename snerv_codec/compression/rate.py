"""What values in units of their step will cost: the entropy coder's code lengths, differentiable between symbols."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from bitstream.bits import BitWriter
from bitstream.curve import Curve
from bitstream.fitting import entropy, fit_all
from bitstream.rangecoder import TOTAL

Floats = npt.NDArray[np.float32]

MARGIN = 8  # symbols beyond those seen for which code lengths are extrapolated
EDGE_BITS = 4  # that a symbol beyond those seen costs more than its neighbour
FALL = 2.0 ** (-EDGE_BITS * np.arange(1, MARGIN + 1))


class Rate:
    """Bits of symbols that are coded one by one: those of one tensor, or of tensors of `sizes` in a line."""

    def __init__(self, symbols: Tensor, sizes: Sequence[int] | None = None) -> None:
        self.count = symbols.numel()
        self.lengths = CodeLengths(symbols, sizes)

    def bits(self, scaled: Tensor, rows: Tensor) -> Tensor:
        """Bits of all values, of which `scaled`, in steps, are some."""
        return self.lengths(scaled).mean() * self.count

    def total(self, symbols: Tensor) -> float:
        """Bits of all symbols, the tables included."""
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
    """Bits that symbols take under the curve fitted to them, or under one for each of `sizes` in a line.

    Between symbols it is the probability that is linear, as if rounding were noise. With several curves it is called
    with a whole line.
    """

    def __init__(self, symbols: Tensor, sizes: Sequence[int] | None = None) -> None:
        sizes = [symbols.numel()] if sizes is None else sizes
        line = symbols.detach().flatten().cpu().numpy().astype(np.int64)
        least, curves = zip(*fit_curves(np.split(line, np.cumsum(sizes)[:-1])), strict=True)
        self.table_bits, parts = 0, []
        for curve in curves:
            shares = np.ones(1)
            if curve is not None:
                table = BitWriter()
                shares = curve.frequencies() / TOTAL
                curve.write(table)
                self.table_bits += 8 * len(table.finish())
            parts.append(np.concatenate((shares[0] * FALL[::-1], shares, shares[-1] * FALL)))
        lengths = np.array([len(part) for part in parts])
        each = sizes if len(sizes) > 1 else 1
        device = symbols.device
        self.shares = torch.from_numpy(np.concatenate(parts).astype(np.float32)).to(device)
        # Of each symbol's curve: its place among the shares, its first symbol, and where it ends from there.
        self.start = torch.from_numpy(np.repeat((np.cumsum(lengths) - lengths).astype(np.int32), each)).to(device)
        self.first = torch.from_numpy(np.repeat((np.array(least) - MARGIN).astype(np.float32), each)).to(device)
        self.last = torch.from_numpy(np.repeat((lengths - 1).astype(np.float32), each)).to(device)

    def __call__(self, scaled: Tensor) -> Tensor:
        """Bits for values in units of the step."""
        with torch.no_grad():
            offset = scaled - self.first
            place = torch.minimum(offset.clamp_min(0), self.last)
            below = torch.minimum(place.floor(), self.last - 1)
            index = self.start + below.nan_to_num(0).int()  # a fit that diverges is told by its loss
            here = self.shares[index]
            rise = self.shares[index + 1] - here
            share = here + (place - below) * rise
            beyond = offset - place
            bits = EDGE_BITS * beyond.abs() - share.log2()
            slope = torch.where(beyond == 0, rise / (share * -np.log(2)), EDGE_BITS * beyond.sign())
        return bits + slope * (scaled - scaled.detach())


def fit_curves(groups: Iterable[npt.NDArray[Any]]) -> list[tuple[int, Curve | None]]:
    """For each group of symbols, whole numbers, the least of them and their curve; None where all are alike."""
    least, counts = [], []
    for symbols in groups:
        least.append(int(symbols.min()))
        counts.append(np.bincount((symbols - least[-1]).ravel().astype(np.int64)))
    curves = iter(fit_all([count for count in counts if len(count) > 1]))
    return [(low, next(curves) if len(count) > 1 else None) for low, count in zip(least, counts, strict=True)]


def order0_bits(symbols: Floats) -> float:
    """Bits of symbols at their entropy."""
    whole = symbols.ravel().astype(np.int64)
    return entropy(np.bincount(whole - whole.min()))


def following_bits(symbols: Floats) -> float:
    """Bits of rows of symbols as differences, the first one as it is."""
    return order0_bits(symbols[0]) + order0_bits(symbols[1:] - symbols[:-1])
