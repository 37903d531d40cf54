"""All that a file holds of a model, by name: the decoder's weights, and the embeddings of its frames."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from torch import Tensor, nn

T = TypeVar("T")
U = TypeVar("U")

# Names of the tensors for `DecoderConfig.embedding_shapes`; the second is that of model "t", or a camera's motion.
EMBEDDINGS = ("embeddings", "temporal")


@dataclass(frozen=True, slots=True)
class Values(Generic[T]):
    """One T for each tensor of a file: its values, or what belongs to them (steps, bits, symbols).

    Iterated over, it gives (name, T) in the file's order: the decoder's parameters, then the embeddings, which are
    (T, *shape) each, a row a frame.
    """

    weights: Mapping[str, T]
    embeddings: Mapping[str, T]

    def __iter__(self) -> Iterator[tuple[str, T]]:
        yield from self.weights.items()
        yield from self.embeddings.items()

    def __getitem__(self, name: str) -> T:
        return self.embeddings[name] if name in self.embeddings else self.weights[name]

    def map(self, work: Callable[[str, T], U]) -> "Values[U]":
        """`work` of each name and T."""
        return Values(
            {name: work(name, each) for name, each in self.weights.items()},
            {name: work(name, each) for name, each in self.embeddings.items()},
        )


def values_of(decoder: nn.Module, embeddings: Sequence[Tensor]) -> Values[Tensor]:
    """The parameters of `decoder`, not copied, and embeddings (T, *shape) for each of its embedding shapes."""
    return Values(dict(decoder.named_parameters()), dict(zip(EMBEDDINGS, embeddings, strict=False)))
