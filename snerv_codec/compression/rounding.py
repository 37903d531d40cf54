"""How the values of a fit become the symbols of a file: one strategy for each way to round them."""

from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol

from torch import Tensor

from snerv_codec.bitstream import nnc
from snerv_codec.bitstream.types import NncTensors, QuantizedTensor
from snerv_codec.compression.quantize import Floats, array, quantize, quantize_on, round_up
from snerv_codec.compression.sensitivity import Weighed, round_as_good
from snerv_codec.compression.values import Values


class Rounded(NamedTuple):
    """All values as a file holds them; those of the decoder in `tensors`, or in `nnc`."""

    tensors: tuple[QuantizedTensor, ...]
    embeddings: tuple[QuantizedTensor, ...]
    nnc: NncTensors | None = None

    @classmethod
    def of(cls, values: Values[QuantizedTensor]) -> "Rounded":
        """Where every tensor is on a grid of its own."""
        return cls(tuple(values.weights.values()), tuple(values.embeddings.values()))


class Rounding(Protocol):
    """A strategy: from values to symbols. Raises `ValueError` for values that its grids cannot hold."""

    def __call__(self, values: Values[Floats]) -> Rounded: ...


@dataclass(frozen=True, slots=True)
class Plain:
    """Min/max grids of 2**bits levels (see `quantize`): the paper's, for networks that know of no grid."""

    weight_bits: int = 8
    embed_bits: int = 6

    def __call__(self, values: Values[Floats]) -> Rounded:
        """Each value to the nearest level."""
        bits = self.bits(values)
        return Rounded.of(values.map(lambda name, each: quantize(name, each, bits[name])))

    def bits(self, values: Values[Floats]) -> Values[int]:
        """Bits a value, by tensor."""
        return Values(
            dict.fromkeys(values.weights, self.weight_bits), dict.fromkeys(values.embeddings, self.embed_bits)
        )


@dataclass(frozen=True, slots=True)
class Learned:
    """Multiples of the steps that a training on grids ended with.

    With a `deadzone` of 0 to 0.5 steps more values go towards zero, which takes fewer bytes (see `quantize_on`).
    """

    steps: Values[Tensor]
    deadzone: float = 0

    def __call__(self, values: Values[Floats]) -> Rounded:
        """Each value to the nearest multiple, or towards zero."""
        return Rounded.of(
            values.map(lambda name, each: quantize_on(name, each, array(self.steps[name]), self.deadzone))
        )

    def coarser(self, factor: float) -> "Learned":
        """On steps `factor` times as large."""
        return replace(self, steps=self.steps.map(lambda _, step: round_up(factor * step)))


@dataclass(frozen=True, slots=True)
class RateDistortion:
    """Steps and symbols by what they cost and what they do to the frames, at fewer bytes than `plain` for no more harm.

    For networks that know of no grid. `sensitivities` are those of `compression.sensitivity`.
    """

    sensitivities: Values[Tensor]
    plain: Plain

    def __call__(self, values: Values[Floats]) -> Rounded:
        """Each value to the neighbour on its grid that costs less."""
        weighed = values.map(lambda name, each: Weighed(each, array(self.sensitivities[name])))
        return Rounded.of(round_as_good(weighed, self.plain.bits(values)))


@dataclass(frozen=True, slots=True)
class Nnc:
    """The decoder as an ISO/IEC 15938-17 bitstream, which has grids of its own; the embeddings on plain ones.

    Raises `MissingExtra` where nncodec is not installed.
    """

    qp: int = nnc.DEFAULT_QP
    embed_bits: int = 6

    def __call__(self, values: Values[Floats]) -> Rounded:
        """Weights by NNC's dependent quantisation, embeddings to the nearest level."""
        embeddings = tuple(quantize(name, each, self.embed_bits) for name, each in values.embeddings.items())
        return Rounded((), embeddings, nnc.encode(dict(values.weights), qp=self.qp))
