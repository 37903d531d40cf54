"""Global magnitude pruning: which of the decoder's weights to keep."""

from typing import Literal

import torch
from torch import Tensor, nn

KERNEL_DIMS = 4  # and more has the weight of a convolution
Score = Literal["magnitude", "relative"]


def magnitude_masks(decoder: nn.Module, share: float, score: Score = "magnitude") -> dict[str, Tensor]:
    """Boolean masks, by parameter name, that drop the `share` of convolution weights with the lowest score.

    The score is the magnitude, or ("relative", HiNeRV's) the magnitude over the square root of the number
    of weights in the layer. One threshold serves all convolutions; biases are kept. Applied to weights that
    were pruned so before, it drops the same ones.
    """
    weights = {name: p.detach() for name, p in decoder.named_parameters() if p.dim() >= KERNEL_DIMS}
    scores = {name: w.abs() / (w.numel() ** 0.5 if score == "relative" else 1) for name, w in weights.items()}
    pooled = torch.cat([each.flatten() for each in scores.values()])
    dropped = round(share * pooled.numel())
    if dropped == 0:
        return {name: torch.ones_like(weight, dtype=torch.bool) for name, weight in weights.items()}
    threshold = pooled.kthvalue(dropped).values
    return {name: each > threshold for name, each in scores.items()}
