"""Training for rate that ends at a number of bytes or at a quality: how coarse the steps are, how dear a bit."""

import math
from collections.abc import Callable
from typing import Any

from torch import Tensor

from snerv_codec.compression.values import Values
from snerv_codec.training.loop import Moment
from snerv_codec.training.quantizers import RateQuantizer
from snerv_codec.training.settings import Phase

# Steps grow or shrink at the start of every epoch: over this share of a phase by so many e-folds at most, and the
# rate weight with them, by this power.
SHARE, REACH, POWER = 0.3, 3.0, 2.0
# Of a phase, from where to where steps are scaled: towards bytes, and towards a quality. Before, a fit does not tell
# where it will end; later, networks would not learn again to live with how their values are rounded.
TO_BYTES, TO_QUALITY = (0.0, 0.95), (0.3, 0.85)
# What is still to come of a rising PSNR, in what its rise over the last third would bring if it went on.
SLOWING, LOOK_BACK = 0.7, 1 / 3
RANGE = 3.0  # dB off a goal from where on steps change as fast as they may
MOST_BITS = 8  # bits a value, beyond which finer steps bring no quality


class Steering:
    """The rate weight, and what it is steered by: a `budget` in bytes, a `goal` in dB, or neither.

    `find_goal` tells the goal once the fit has come far enough to know it.
    """

    def __init__(self, rate_weight: float) -> None:
        self.rate_weight = rate_weight
        self.budget: float | None = None
        self.goal: float | None = None
        self.find_goal: Callable[[], float] | None = None
        self.seen: list[float] = []  # PSNR in dB before each epoch

    def before_epoch(self, moment: Moment) -> float:
        """Move towards the budget or the goal; the weight of the rate term from there on."""
        self._steer(*moment)
        return self.rate_weight

    def _steer(
        self, phase: Phase, epoch: int, quantizer: RateQuantizer, values: Values[Tensor], psnr: Callable[[], float]
    ) -> None:
        done, limit = epoch / phase.epochs, REACH / max(1, SHARE * phase.epochs)
        if self.budget is not None:
            if done >= TO_BYTES[1]:
                return
            exponent = quantizer.approach(values, self.budget, limit)
        elif self.find_goal is not None:
            self.seen.append(psnr())
            if done < TO_QUALITY[0]:
                return
            self.goal = self.find_goal() if self.goal is None else self.goal
            bits = 8 * quantizer.estimated_bytes(values) / quantizer.count
            least = min((bits - MOST_BITS) * math.log(2), 0)
            surplus = self._forecast(phase.epochs) - self.goal
            exponent = max(limit * min(max(surplus / RANGE, -1), 1), least)
            if done < TO_QUALITY[1]:
                quantizer.scale(values, exponent)
        else:
            return
        self.rate_weight *= math.exp(POWER * exponent)

    def _forecast(self, epochs: int) -> float:
        """The PSNR that a phase of so many `epochs` will about end with, as things stand."""
        now = len(self.seen) - 1
        back = max(1, round(LOOK_BACK * now))
        rise = (self.seen[now] - self.seen[max(now - back, 0)]) / back
        return self.seen[now] + SLOWING * max(rise, 0) * (epochs - now)

    def state(self) -> list[Any]:
        """What `restore` takes, for JSON."""
        return [self.rate_weight, self.budget, self.goal, self.seen]

    def restore(self, state: list[Any]) -> None:
        """Go on from where `state` was taken."""
        self.rate_weight, self.budget, self.goal, self.seen = state
