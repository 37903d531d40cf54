"""Global magnitude pruning: which of the decoder's weights to keep."""

import torch
from torch import Tensor, nn


def magnitude_masks(decoder: nn.Module, share: float) -> dict[str, Tensor]:
    """Boolean masks, by parameter name, that drop the `share` of convolution weights nearest to zero.

    One threshold serves all convolutions; biases are kept. Applied to weights that were pruned so
    before, it drops the same ones.
    """
    weights = {name: p.detach() for name, p in decoder.named_parameters() if p.dim() > 1}
    magnitudes = torch.cat([weight.abs().flatten() for weight in weights.values()])
    dropped = round(share * magnitudes.numel())
    if dropped == 0:
        return {name: torch.ones_like(weight, dtype=torch.bool) for name, weight in weights.items()}
    threshold = magnitudes.kthvalue(dropped).values
    return {name: weight.abs() > threshold for name, weight in weights.items()}
