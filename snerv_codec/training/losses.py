"""The fitting loss (paper, section 3.3): L1 and SSIM, on the frame and on its subbands."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from snerv_codec.model.decoder import Prediction

WINDOW = 11
SIGMA = 1.5
C1, C2 = 0.01**2, 0.03**2  # for a data range of 1


def fitting_loss(prediction: Prediction, target: Prediction, alpha: float) -> Tensor:
    """L(frame) + L(bands), a scalar; L(bands) is L(LL scaled to [0, 1]) + L(LH, HL, HH stacked)."""
    return (
        mixed_loss(prediction.frame, target.frame, alpha)
        + mixed_loss(prediction.low, target.low, alpha)
        + mixed_loss(prediction.high, target.high, alpha)
    )


def mixed_loss(image: Tensor, target: Tensor, alpha: float) -> Tensor:
    """alpha · mean|a − b| + (1 − alpha) · (1 − SSIM(a, b)) of (N, C, H, W), data range 1."""
    return alpha * F.l1_loss(image, target) + (1 - alpha) * (1 - ssim(image, target))


def ssim(image: Tensor, target: Tensor) -> Tensor:
    """Mean SSIM with an 11x11 Gaussian window (σ = 1.5), no padding; the window shrinks on tiny images.

    Differentiable in `image` alone.
    """
    value: Tensor = _Ssim.apply(image, target)  # type: ignore[no-untyped-call]
    return value


class _Ssim(torch.autograd.Function):
    """SSIM with its derivative written out: a third of the blurs that differentiating step by step takes."""

    @staticmethod
    def forward(ctx: Any, image: Tensor, target: Tensor) -> Tensor:
        x, y = (tensor.contiguous(memory_format=torch.channels_last) for tensor in (image, target))
        maps = _blur(torch.cat((x, y, x * x, y * y, x * y), dim=1))
        mu_x, mu_y, xx, yy, xy = maps.split(x.shape[1], dim=1)
        mu_xy, mu_sum = mu_x * mu_y, mu_x * mu_x + mu_y * mu_y
        a1, a2 = 2 * mu_xy + C1, 2 * (xy - mu_xy) + C2
        b1, b2 = mu_sum + C1, xx + yy - mu_sum + C2
        value = (a1 * a2) / (b1 * b2)
        ctx.save_for_backward(x, y, mu_x, mu_y, a1, a2, b1, b2, value)
        return value.mean()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        x, y, mu_x, mu_y, a1, a2, b1, b2, value = ctx.saved_tensors
        by_xy = 2 * a1 / (b1 * b2)
        by_xx = -value / b2
        by_mu = 2 * mu_y * a2 / (b1 * b2) - mu_y * by_xy - 2 * mu_x * (value / b1 + by_xx)
        to_mu, to_xx, to_xy = _spread(torch.cat((by_mu, by_xx, by_xy), dim=1), x.shape).split(x.shape[1], dim=1)
        return (to_mu + 2 * x * to_xx + y * to_xy) * (grad / value.numel()), None


def _blur(maps: Tensor) -> Tensor:
    """Gaussian windows without padding: (N, C, H, W) to (N, C, H − 10, W − 10)."""
    for axis in (2, 3):
        maps = _filter(maps, axis, size=_window(maps.shape[axis]))
    return maps


def _spread(maps: Tensor, shape: torch.Size) -> Tensor:
    """The adjoint of `_blur`, which gave `maps` from images of `shape`."""
    count = maps.shape[1]
    # Depthwise convolution with wide padding is several times slower on a CPU beside whole vectors of channels.
    maps = F.pad(maps, (0, 0, 0, 0, 0, -count % 16))
    for axis in (2, 3):
        size = _window(shape[axis])
        maps = _filter(maps, axis, size=size, padding=size - 1)
    return maps[:, :count]


def _filter(maps: Tensor, axis: int, *, size: int, padding: int = 0) -> Tensor:
    x = torch.arange(size, dtype=maps.dtype, device=maps.device) - size // 2
    window = torch.exp(-(x**2) / (2 * SIGMA**2))
    shape, pads = ((1, 1, -1, 1), (padding, 0)) if axis == 2 else ((1, 1, 1, -1), (0, padding))
    weight = (window / window.sum()).view(shape).expand(maps.shape[1], -1, -1, -1)
    return F.conv2d(maps, weight, padding=pads, groups=maps.shape[1])


def _window(side: int) -> int:
    """Size of the window along a side: odd, and no larger than the side."""
    return min(WINDOW, side - 1 + side % 2)
