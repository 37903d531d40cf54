"""The fitting loss (paper, section 3.3): L1 and SSIM, on the frame and on its subbands."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from snerv_codec.model.decoder import Prediction

WINDOW = 11
SIGMA = 1.5
C1, C2 = 0.01**2, 0.03**2  # for a data range of 1


def fitting_loss(
    prediction: Prediction, target: Prediction, alpha: float, *, bands: bool = True, squared: bool = False
) -> Tensor:
    """L(frame) + L(bands), a scalar; L(bands) is L(LL scaled to [0, 1]) + L(LH, HL, HH stacked).

    Without `bands` it is L(frame) alone.
    """
    loss = mixed_loss(prediction.frame, target.frame, alpha, squared=squared)
    if not bands:
        return loss
    low = mixed_loss(prediction.low, target.low, alpha, squared=squared)
    return loss + low + mixed_loss(prediction.high, target.high, alpha, squared=squared)


def mixed_loss(image: Tensor, target: Tensor, alpha: float, *, squared: bool = False) -> Tensor:
    """alpha · mean|a − b| + (1 − alpha) · (1 − SSIM(a, b)) of (N, C, H, W), data range 1; or mean (a − b)²."""
    distance = F.mse_loss(image, target) if squared else F.l1_loss(image, target)
    return alpha * distance + (1 - alpha) * (1 - ssim(image, target)) if alpha < 1 else distance


def ssim(image: Tensor, target: Tensor) -> Tensor:
    """Mean SSIM with an 11x11 Gaussian window (σ = 1.5), no padding; the window shrinks on tiny images.

    Differentiable in `image` alone.
    """
    value: Tensor = _Ssim.apply(image, target)  # type: ignore[no-untyped-call]
    return value


class _Ssim(torch.autograd.Function):
    """SSIM with its derivative written out: a third of the blurs that differentiating step by step takes.

    The maps to blur lie along the batch axis, channels last: so that depthwise convolution is fast on a
    CPU, and the arithmetic on a map runs over memory without gaps.
    """

    @staticmethod
    def forward(ctx: Any, image: Tensor, target: Tensor) -> Tensor:
        x, y = (tensor.contiguous(memory_format=torch.channels_last) for tensor in (image, target))
        sizes = tuple(_window(side) for side in x.shape[2:])
        mu_x, mu_y, xx, yy, xy = _blur(torch.cat((x, y, x * x, y * y, x * y)), sizes).chunk(5)
        mu_xy, mu_sum = mu_x * mu_y, mu_x * mu_x + mu_y * mu_y
        a1, a2 = 2 * mu_xy + C1, 2 * (xy - mu_xy) + C2
        b1, b2 = mu_sum + C1, xx + yy - mu_sum + C2
        value = (a1 * a2) / (b1 * b2)
        ctx.sizes = sizes
        ctx.save_for_backward(x, y, mu_x, mu_y, a1, a2, b1, b2, value)
        return value.mean()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        x, y, mu_x, mu_y, a1, a2, b1, b2, value = ctx.saved_tensors
        by_xy = 2 * a1 / (b1 * b2)
        by_xx = -value / b2
        by_mu = mu_y * (2 * a2 / (b1 * b2) - by_xy) - 2 * mu_x * (value / b1 + by_xx)
        to_mu, to_xx, to_xy = _spread(torch.cat((by_mu, by_xx, by_xy)), ctx.sizes).chunk(3)
        return (to_mu + 2 * x * to_xx + y * to_xy) * (grad / value.numel()), None


def _blur(maps: Tensor, sizes: tuple[int, ...]) -> Tensor:
    """Gaussian windows of `sizes` without padding: (N, C, H, W) to (N, C, H − 10, W − 10)."""
    return _filter(maps, sizes, (0, 0))


def _spread(maps: Tensor, sizes: tuple[int, ...]) -> Tensor:
    """The adjoint of `_blur`: (N, C, H − 10, W − 10) to (N, C, H, W)."""
    channels = maps.shape[1]
    if channels % 4 and channels < 8:  # wide padding is several times slower on three channels than on four
        maps = F.pad(maps, (0, 0, 0, 0, 0, -channels % 4))
    return _filter(maps, sizes, tuple(size - 1 for size in sizes))[:, :channels]


def _filter(maps: Tensor, sizes: tuple[int, ...], padding: tuple[int, ...]) -> Tensor:
    """Convolve every channel with a Gaussian along the height, then with one along the width."""
    channels = maps.shape[1]
    tall = _gaussian(sizes[0], maps).view(1, 1, -1, 1).expand(channels, -1, -1, -1)
    wide = _gaussian(sizes[1], maps).view(1, 1, 1, -1).expand(channels, -1, -1, -1)
    maps = F.conv2d(maps, tall, padding=(padding[0], 0), groups=channels)
    return F.conv2d(maps, wide, padding=(0, padding[1]), groups=channels)


def _gaussian(size: int, like: Tensor) -> Tensor:
    x = torch.arange(size, dtype=like.dtype, device=like.device) - size // 2
    window = torch.exp(-(x**2) / (2 * SIGMA**2))
    return window / window.sum()


def _window(side: int) -> int:
    """Size of the window along a side: odd, and no larger than the side."""
    return min(WINDOW, side - 1 + side % 2)
