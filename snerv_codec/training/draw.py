"""Which frames an epoch takes, and in which order.

A network makes a frame the better, the more like it are fitted with it. At a border inside a scene those of one side
are missing, and quality falls towards it over some five frames: by about 1 dB, a pulse in every border. Frames there
are taken more often in exchange for the others, of which there are many (`benchmarks.trials.borders`).
"""

import torch
from torch import Tensor

from snerv_codec.training.settings import NO_BORDERS, Borders

AT_BORDER, REACH = 2.0, 5  # how often the frame at a border is taken beside others, and where that has fallen to once


class Draw:
    """The frames of an epoch, by their places among `count` that are fitted: as many as these, in a random order.

    Each comes once, or where there are `borders` so often as it weighs in the mean of epochs: in one, that number
    rounded up or down.
    """

    def __init__(self, count: int, borders: Borders = NO_BORDERS) -> None:
        self._count = count
        self._weights = _weights(count, borders) if any(borders) else None

    def __call__(self, generator: torch.Generator) -> Tensor:
        """The places of an epoch, int64 (count,), as `generator` has them."""
        order = torch.randperm(self._count, generator=generator)
        if self._weights is None:
            return order
        ends = self._weights[order].cumsum(0)  # of each one's part of the line along which places are taken
        ends *= self._count / ends[-1]
        taken = torch.arange(self._count) + torch.rand((), generator=generator, dtype=torch.float64)
        chosen = order[torch.searchsorted(ends, taken).clamp_max(self._count - 1)]
        return chosen[torch.randperm(self._count, generator=generator)]


def _weights(count: int, borders: Borders) -> Tensor:
    """How much each frame weighs, float64 (count,): it falls in a line from a border."""
    before, after = torch.arange(count), torch.arange(count - 1, -1, -1)
    far = torch.full((count,), REACH)
    nearest = torch.minimum(before if borders[0] else far, after if borders[1] else far)
    return 1 + (AT_BORDER - 1) * (1 - nearest.clamp_max(REACH).double() / REACH)
