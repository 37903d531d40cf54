"""Training for rate that ends at a number of bytes or at a quality: how coarse the steps are, how dear a bit."""

import math
from collections.abc import Callable

from snerv_codec.compression.quantizers import RateQuantizer, Values
from snerv_codec.training.settings import Phase

# Steps grow or shrink at the start of every epoch: over this share of a phase by so many e-folds at most, and the
# rate weight with them, by this power.
SHARE, REACH, POWER = 0.3, 3.0, 2.0
SETTLING = 1.0  # dB that come while the learning rate falls from its peak
RANGE = 3.0  # dB off a goal from where on steps change as fast as they may
SCALING_SHARE = 0.5  # of a phase; later networks would not learn again to live with how their values are rounded
MOST_BITS = 8  # bits a value, beyond which finer steps bring no quality


class Steering:
    """The rate weight, and what it is steered by: a `budget` in bytes, a `goal` in dB, or neither."""

    def __init__(self, rate_weight: float) -> None:
        self.rate_weight = rate_weight
        self.budget: float | None = None
        self.goal: float | None = None

    def steer(
        self, quantizer: RateQuantizer, values: Values, phase: Phase, epoch: int, psnr: Callable[[], float]
    ) -> None:
        """Before an `epoch` of `phase`: towards the budget or the goal, with what the file would hold, all frames'."""
        limit = REACH / max(1, SHARE * phase.epochs)
        if self.budget is not None:
            exponent = quantizer.approach(values, self.budget, limit)
        elif self.goal is not None:
            bits = 8 * quantizer.believed_bytes(values) / quantizer.count
            least = min((bits - MOST_BITS) * math.log(2), 0)
            to_come = SETTLING * phase.rate(epoch / phase.epochs) / phase.learning_rate
            surplus = psnr() + to_come - self.goal
            exponent = max(limit * min(max(surplus / RANGE, -1), 1), least)
            if epoch < SCALING_SHARE * phase.epochs:
                quantizer.scale(values, exponent)
        else:
            return
        self.rate_weight *= math.exp(POWER * exponent)

    def state(self) -> list[float | None]:
        """What `restore` takes."""
        return [self.rate_weight, self.budget, self.goal]

    def restore(self, state: list[float | None]) -> None:
        """Go on from where `state` was taken."""
        weight, self.budget, self.goal = state
        assert weight is not None
        self.rate_weight = weight
