"""What the training asks of a rate control."""

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

from torch import Tensor

from snerv_codec.compression.values import Values
from snerv_codec.training.quantizers import RateQuantizer
from snerv_codec.training.settings import Phase


class Moment(NamedTuple):
    """Where a training for rate stands before an epoch: what a controller is shown.

    `values` are all that the file would hold, by name, the embeddings those of all frames; the quantiser's curves
    have just been fitted to them. `psnr` computes the mean PSNR (dB) of all frames, as the file would give them.
    """

    phase: Phase
    epoch: int  # that is about to run, from 0
    quantizer: RateQuantizer
    values: Values[Tensor]
    psnr: Callable[[], float]


class Controller(Protocol):
    """Decides before each epoch how much a bit weighs in the loss, and may change the quantiser's steps."""

    def before_epoch(self, moment: Moment) -> float:
        """The weight of the rate term, which is in bits a value, for the epoch that is about to run."""

    def state(self) -> Any:
        """All that `restore` needs, for JSON."""

    def restore(self, state: Any) -> None:
        """Go on from where `state` was taken."""


class ConstantRate:
    """The controller that controls nothing: one weight of the rate term throughout."""

    def __init__(self, rate_weight: float) -> None:
        self.rate_weight = rate_weight

    def before_epoch(self, moment: Moment) -> float:
        """The same weight each time."""
        return self.rate_weight

    def state(self) -> None:
        """Nothing to keep."""

    def restore(self, state: None) -> None:
        """Nothing to go on from."""
