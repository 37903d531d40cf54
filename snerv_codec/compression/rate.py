"""What values in units of their step will cost: the entropy coder's code lengths, differentiable between symbols.

All that changes when curves are fitted anew lies in buffers that stay where they are, so that a captured training step
reads the new curves. The state of these modules is small: curves, not what they give each value.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from snerv_codec.bitstream.bits import BitWriter
from snerv_codec.bitstream.curve import Curve
from snerv_codec.bitstream.fitting import entropy, fit_all
from snerv_codec.bitstream.rangecoder import TOTAL
from snerv_codec.compression.quantize import MOST_STEPS

Floats = npt.NDArray[np.float32]

MARGIN = 8  # symbols beyond those seen for which code lengths are extrapolated
EDGE_BITS = 4  # that a symbol beyond those seen costs more than its neighbour
FALL = 2.0 ** (-EDGE_BITS * np.arange(1, MARGIN + 1))
MOST_SYMBOLS = 2 * MOST_STEPS + 1  # that differ, of a tensor; of differences between its rows, almost twice as many


class LineRate(nn.Module):
    """Bits of several tensors, of `sizes` symbols, that are concatenated here and coded symbol by symbol."""

    def __init__(self, sizes: Sequence[int], device: torch.device) -> None:
        super().__init__()
        self.count, self.lengths = sum(sizes), CodeLengths(sizes, device)

    def fit(self, symbols: Tensor) -> None:
        """Fit a curve to each tensor's symbols."""
        self.lengths.fit(symbols)

    def bits(self, scaled: Tensor) -> Tensor:
        """Bits of values in units of their step."""
        lengths: Tensor = self.lengths(scaled)
        return lengths.mean() * self.count

    def total(self, symbols: Tensor) -> float:
        """Bits of symbols, the curves included."""
        return float(self.lengths(symbols).sum() + self.lengths.table_bits)


class RowRate(nn.Module):
    """Bits of a tensor with a row for each frame, each row coded as it is or as the difference from the one before.

    Which of the two takes fewer bits is found when the curves are fitted. A training step sees some rows only; in the
    place of their neighbours it takes the symbols that those had at that time.
    """

    symbols: Tensor
    follows: Tensor  # 1 where rows are differences, 0 where they are coded as they are

    def __init__(self, shape: Sequence[int], device: torch.device) -> None:
        super().__init__()
        self.register_buffer("symbols", torch.zeros(*shape, device=device))
        self.register_buffer("follows", torch.zeros((), device=device))
        self.count, row = self.symbols.numel(), [self.symbols[0].numel()]
        self.first, self.rest = CodeLengths(row, device), CodeLengths(row, device, 2 * MOST_SYMBOLS)

    def fit(self, symbols: Tensor) -> None:
        """Fit the curves to the symbols of all rows."""
        self.symbols.copy_(symbols)
        rows = symbols.cpu().numpy()
        follows = len(rows) > 1 and following_bits(rows) < order0_bits(rows)
        self.follows.fill_(follows)
        self.first.fit(symbols[0] if follows else symbols)
        self.rest.fit(symbols[1:] - symbols[:-1] if follows else symbols)

    def entropy(self, rows: Floats) -> float:
        """Bits of all rows at their entropy, coded in the way that was found."""
        return following_bits(rows) if self.follows else order0_bits(rows)

    def bits(self, scaled: Tensor, rows: Tensor) -> Tensor:
        """Bits of all rows, of which `scaled`, in steps, are those at `rows`.

        The gradient is also that of the rows that follow these and are coded as differences from them.
        """
        last = len(self.symbols) - 1
        shape = (-1, *[1] * (scaled.dim() - 1))
        is_first, is_last = (rows == 0).view(shape), (rows == last).view(shape)
        before, after = self.symbols[(rows - 1).clamp_min(0)], self.symbols[(rows + 1).clamp_max(last)]
        own = torch.where(is_first, self.first(scaled), self.rest(scaled - self.follows * before))
        ahead = self.follows * self.rest(after - scaled).masked_fill(is_last, 0)
        bits: Tensor = own + ahead - ahead.detach()
        return bits.mean() * self.count

    def total(self, symbols: Tensor) -> float:
        """Bits of all rows, the curves included."""
        first, rest = self.first(symbols[0]), self.rest(symbols[1:] - self.follows * symbols[:-1])
        table_bits = self.follows * self.first.table_bits + self.rest.table_bits
        return float(first.sum() + rest.sum() + table_bits)


class CodeLengths(nn.Module):
    """Bits that symbols take under the curve fitted to them, or under one for each of several concatenated tensors.

    `sizes` are the numbers of symbols of these tensors; with a single one, calls may bring any number of them. `most`
    is how many different symbols a tensor may have.

    Between symbols it is the probability that is linear, as if rounding were noise. Beyond them code lengths grow by
    `EDGE_BITS` a symbol.
    """

    shares: Tensor  # probabilities of symbols, one curve after the other
    curves: Tensor  # (3, curves): where the shares of each start, its first symbol, and how many follow that one
    table_bits: Tensor  # that the curves themselves take in the file
    start: Tensor  # the rows of `curves`, repeated for each symbol
    first: Tensor
    last: Tensor
    each: Tensor  # the numbers of symbols of the tensors

    def __init__(self, sizes: Sequence[int], device: torch.device, most: int = MOST_SYMBOLS) -> None:
        super().__init__()
        self.sizes, count = list(sizes), len(sizes)
        each = torch.tensor(sizes if count > 1 else [1], device=device)

        def zeros(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
            return torch.zeros(shape, dtype=dtype, device=device)

        self.register_buffer("curves", zeros(3, count, dtype=torch.int32))
        self.register_buffer("table_bits", zeros(dtype=torch.int64))
        length = sum(sizes) if count > 1 else 1
        for name, buffer in (
            ("shares", zeros(count * (most + 2 * MARGIN))),
            ("start", zeros(length, dtype=torch.int32)),
            ("first", zeros(length)),
            ("last", zeros(length)),
            ("each", each),
        ):
            self.register_buffer(name, buffer, persistent=False)

    def fit(self, symbols: Tensor) -> None:
        """Fit the curves to symbols, whole numbers."""
        line = symbols.detach().flatten().cpu().numpy().astype(np.int64)
        least, curves = zip(*fit_curves(np.split(line, np.cumsum(self.sizes)[:-1])), strict=True)
        table_bits, parts = 0, []
        for curve in curves:
            shares = np.ones(1)
            if curve is not None:
                table = BitWriter()
                shares = curve.frequencies() / TOTAL
                curve.write(table)
                table_bits += 8 * len(table.finish())
            parts.append(np.concatenate((shares[0] * FALL[::-1], shares, shares[-1] * FALL)))
        lengths = np.array([len(part) for part in parts])
        starts = np.cumsum(lengths) - lengths
        self.table_bits.fill_(table_bits)
        self.curves.copy_(torch.from_numpy(np.stack((starts, np.array(least) - MARGIN, lengths - 1))))
        self.set_extra_state(torch.from_numpy(np.concatenate(parts).astype(np.float32)))

    def get_extra_state(self) -> Tensor:
        """The shares that are in use, for `nn.Module.state_dict`."""
        start, _, length = self.curves[:, -1].tolist()
        return self.shares[: start + length + 1]

    def set_extra_state(self, state: Tensor) -> None:
        """Take the shares of `curves`."""
        self.shares[: len(state)] = state
        for buffer, row in zip((self.start, self.first, self.last), self.curves, strict=True):
            buffer.copy_(torch.repeat_interleave(row, self.each))

    def forward(self, scaled: Tensor) -> Tensor:
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
