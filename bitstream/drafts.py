"""Choosing how symbols are coded: the encoder's side of `bitstream.entropy`.

A draft is one way to code a tensor, without its curves yet. Those of all drafts are fitted together, which is
much faster; then the shortest draft of each tensor is coded.
"""

from collections.abc import Iterator, Sequence
from math import log
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from . import prediction, rangecoder
from .bits import BitWriter
from .curve import Curve
from .entropy import NARROW, Coder, Grid, encode_raw, kinds_of, least_size
from .fields import Writer
from .fitting import Counts, entropy, fit_all
from .rangecoder import Frequencies, Symbols
from .types import QuantizedTensor

CLASS_BITS = 150  # about what a class costs that the entropy of its symbols does not tell
MIN_ROW = 64  # symbols of a row with classes: shorter ones would take long to decode


def encode_tensors(tensors: Sequence[QuantizedTensor]) -> list[tuple[Coder, bytes]]:
    """Code the symbols of each tensor with the cheapest coder."""
    drafts = [_drafts(tensor) for tensor in tensors]
    chosen = _choose(drafts)
    return [_finish(draft, tensor.symbols, tensor.bits) for draft, tensor in zip(chosen, tensors, strict=True)]


def encode_tensor(tensor: QuantizedTensor) -> tuple[Coder, bytes]:
    """Code the symbols of one tensor with the cheapest coder."""
    return encode_tensors([tensor])[0]


def encode_symbols(symbols: Symbols, bits: int) -> tuple[Coder, bytes]:
    """Code a flat, non-empty array of symbols below 2**bits (1..16) by RAW or CURVE."""
    return _finish(_choose([_curve_drafts(Coder.CURVE, symbols)])[0], symbols, bits)


class _Class(NamedTuple):
    """Symbols that share a model: the least of them, and how often it and each one above it occur."""

    least: int
    counts: Counts

    @classmethod
    def of(cls, symbols: Symbols) -> "_Class":
        least, greatest = (int(symbols.min()), int(symbols.max())) if symbols.size else (0, 0)
        return cls(least, np.bincount(symbols, minlength=greatest + 1)[least:])

    @property
    def span(self) -> int:
        return len(self.counts) - 1


class _Draft(NamedTuple):
    """Symbols in rows, each under the model of its class; all of class 0 where there are no `kinds`."""

    coder: Coder
    head: bytes
    rows: Symbols
    kinds: npt.NDArray[np.intp] | None
    classes: list[_Class]


class _Priced(NamedTuple):
    """A draft with its models: `front` is all that comes before its range-coded symbols."""

    draft: _Draft
    front: bytes
    frequencies: list[Frequencies | None]
    bits: float

    def finish(self) -> bytes:
        """All of its bytes."""
        encoder, (_, _, rows, kinds, classes) = rangecoder.RangeEncoder(), self.draft
        models = [None if each is None else rangecoder.make_model(each) for each in self.frequencies]
        for number, row in enumerate(rows):
            for kind, (model, (least, _)) in enumerate(zip(models, classes, strict=True)):
                if model is not None:
                    symbols = row if kinds is None else row[kinds[number] == kind]
                    encoder.put(symbols - np.uint16(least), model)
        runs = len(rows) * len(classes) if kinds is not None else 0
        spans = [each.span for each in classes]
        counted = rows.size if any(spans) or self.draft.coder == Coder.DIFFERENCE else 0
        least_bytes = least_size(counted, spans, runs)
        return (self.front + encoder.finish()).ljust(least_bytes, b"\0")


def _choose(drafts: list[list[_Draft]]) -> list[_Priced | None]:
    """The cheapest of each list; None of an empty one."""
    classes = [each for several in drafts for draft in several for each in draft.classes]
    curves = iter(fit_all([each.counts for each in classes if each.span]))
    priced = [[_price(draft, curves) for draft in several] for several in drafts]
    return [min(several, key=lambda draft: draft.bits, default=None) for several in priced]


def _price(draft: _Draft, curves: Iterator[Curve]) -> _Priced:
    """A draft with the next curves."""
    out, bits, models = Writer(), 0.0, list[Frequencies | None]()
    out.raw(draft.head)
    for each in draft.classes:
        out.varint(each.least)
        out.varint(each.span)
        if not each.span:
            models.append(None)
            continue
        curve, table = next(curves), BitWriter()
        curve.write(table)
        out.raw(table.finish())
        frequencies = curve.frequencies()
        models.append(frequencies)
        bits += float(each.counts @ (rangecoder.PRECISION - np.log2(frequencies)))
    return _Priced(draft, out.finish(), models, bits + 8 * len(out))


def _finish(draft: _Priced | None, symbols: Symbols, bits: int) -> tuple[Coder, bytes]:
    """The coded draft, or plain symbols where that is no longer."""
    if draft is not None:
        data = draft.finish()
        if len(data) < -(-len(symbols) * bits // 8):
            return draft.draft.coder, data
    return Coder.RAW, encode_raw(symbols, bits)


def _drafts(tensor: QuantizedTensor) -> list[_Draft]:
    """Those worth a curve: with a prediction only where the residuals have less entropy."""
    grid = Grid(tensor.shape, tensor.bits, tensor.scales, tensor.offsets, tensor.axis)
    drafts, plain = _curve_drafts(Coder.CURVE, tensor.symbols), _cost(tensor.symbols)
    if grid.axis is not None:
        residuals = prediction.subtract(tensor.symbols.reshape(grid.shape), grid.zeros(), grid.bits).ravel()
        if _cost(residuals) < plain:
            drafts += _curve_drafts(Coder.CENTRED, residuals)
    if grid.shape[0] > 1:
        rows = tensor.symbols.reshape(grid.shape[0], -1)
        residuals = prediction.subtract(rows[1:], rows[:-1], grid.bits)
        if _cost(rows[0]) + _cost(residuals) + CLASS_BITS < plain:
            drafts += _difference_drafts(rows[0], residuals, grid.bits)
    return drafts


def _curve_drafts(coder: Coder, symbols: Symbols) -> list[_Draft]:
    """One, or none where symbols lie too far apart for a curve."""
    only = _Class.of(symbols)
    return [] if only.span > _max_span(len(symbols)) else [_Draft(coder, b"", symbols[None], None, [only])]


def _difference_drafts(first: Symbols, residuals: Symbols, bits: int) -> list[_Draft]:
    """One or none; `residuals` are those of the rows after the first, (rows - 1, symbols)."""
    bounds, out = _choose_bounds(residuals, bits), Writer()
    coder, head = encode_symbols(first, bits)
    out.uint(len(bounds), 1)
    for bound in bounds:
        out.varint(bound)
    out.uint(coder, 1)
    out.blob(head, len(head))
    kinds = _kinds(residuals, bounds, bits)
    classes = [_Class.of(residuals[kinds == kind]) for kind in range(len(bounds) + 1)]
    if any(each.span > _max_span(len(first) + residuals.size) for each in classes):
        return []
    rows, kinds_or_none = (residuals, kinds) if bounds else (residuals.reshape(1, -1), None)
    return [_Draft(Coder.DIFFERENCE, out.finish(), rows, kinds_or_none, classes)]


def _max_span(count: int) -> int:
    """How far apart the least and the greatest of `count` symbols may be for a curve to be tried."""
    return max(NARROW, count)


def _cost(symbols: Symbols) -> float:
    """Bits of symbols at their entropy, and what that leaves out for having been told by so few (Miller, 1955)."""
    counts = np.bincount(symbols.ravel())
    return entropy(counts) + np.count_nonzero(counts) / log(4)


def _kinds(residuals: Symbols, bounds: list[int], bits: int) -> npt.NDArray[np.intp]:
    """The classes of all differences; those of the first row are 0."""
    kinds = np.zeros(residuals.shape, np.intp)
    kinds[1:] = kinds_of(residuals[:-1], bounds, bits)
    return kinds


def _choose_bounds(residuals: Symbols, bits: int) -> list[int]:
    """The bounds under which the differences have the least entropy, of a few."""
    if residuals.shape[1] < MIN_ROW or len(residuals) < 2:
        return []
    quantiles = np.quantile(prediction.magnitudes(residuals, bits), (0.25, 0.5, 0.8))
    low, middle, high = (max(1, int(bound)) for bound in quantiles)
    choices = [sorted(set(choice)) for choice in ((), (middle,), (middle, high), (low, middle, high))]

    def cost(bounds: list[int]) -> float:
        kinds = _kinds(residuals, bounds, bits)
        return sum(CLASS_BITS + _cost(residuals[kinds == kind]) for kind in range(len(bounds) + 1))

    return min(choices, key=cost)
