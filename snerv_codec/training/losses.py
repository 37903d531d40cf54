"""The fitting loss (paper, section 3.3): L1 and SSIM, on the frame and on its subbands."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from snerv_codec.model.decoder import Prediction

WINDOW = 11
SIGMA = 1.5
C1, C2 = 0.01**2, 0.03**2  # for a data range of 1
BLOCK = 32  # columns that are blurred at a time


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
    """SSIM with its derivative written out: a third of the blurs that differentiating step by step takes."""

    @staticmethod
    def forward(ctx: Any, image: Tensor, target: Tensor) -> Tensor:
        sizes = tuple(_window(side) for side in image.shape[2:])
        maps = image.new_empty(5, *image.shape)
        maps[0], maps[1] = image, target
        x, y = maps[0], maps[1]
        for i, (a, b) in enumerate(((x, x), (y, y), (x, y)), start=2):
            torch.mul(a, b, out=maps[i])
        mu_x, mu_y, xx, yy, xy = _filter(maps, sizes)
        mu_xy, mu_sum = mu_x * mu_y, mu_x * mu_x + mu_y * mu_y
        a1, a2 = 2 * mu_xy + C1, 2 * (xy - mu_xy) + C2
        b1, b2 = mu_sum + C1, xx + yy - mu_sum + C2
        value = (a1 * a2) / (b1 * b2)
        ctx.sizes = sizes
        ctx.save_for_backward(x, y, mu_x, mu_y, a1, a2, b1, b2, value)
        mean: Tensor = value.mean()
        return mean

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        x, y, mu_x, mu_y, a1, a2, b1, b2, value = ctx.saved_tensors
        maps = value.new_empty(3, *value.shape)
        by_mu, by_xx, by_xy = maps
        torch.div(2 * a1, b1 * b2, out=by_xy)
        torch.div(-value, b2, out=by_xx)
        torch.mul(mu_y, 2 * a2 / (b1 * b2) - by_xy, out=by_mu)
        by_mu -= 2 * mu_x * (value / b1 + by_xx)
        to_mu, to_xx, to_xy = _filter(maps, ctx.sizes, adjoint=True)
        return (to_mu + 2 * x * to_xx + y * to_xy) * (grad / value.numel()), None


def _filter(maps: Tensor, sizes: tuple[int, ...], *, adjoint: bool = False) -> Tensor:
    """Gaussian windows of `sizes` without padding: contiguous (K, N, C, H, W) to (K, N, C, H − 10, W − 10).

    The adjoint goes the other way. On a CPU, convolving a few channels leaves most of each vector unit idle. There
    the columns of a map take the place of channels for the one direction; the other is a product with a banded matrix.
    """
    padding = [size - 1 if adjoint else 0 for size in sizes]
    tall, wide = (_gaussian(size, maps) for size in sizes)
    if maps.is_cuda:
        planes = maps.flatten(0, 1)
        channels = planes.shape[1]
        planes = F.conv2d(
            planes, tall.view(1, 1, -1, 1).repeat(channels, 1, 1, 1), None, 1, (padding[0], 0), 1, channels
        )
        planes = F.conv2d(
            planes, wide.view(1, 1, 1, -1).repeat(channels, 1, 1, 1), None, 1, (0, padding[1]), 1, channels
        )
    else:
        planes = _along_width(_along_height(maps.flatten(0, 2), tall, padding[0]), wide, padding[1])
    return planes.reshape(*maps.shape[:3], *planes.shape[-2:])


def _along_height(planes: Tensor, window: Tensor, padding: int) -> Tensor:
    """Convolve the columns of planes (P, H, W): a depthwise convolution with W channels, channels last."""
    count, height, width = planes.shape
    columns = planes.view(count, height, 1, width).permute(0, 3, 1, 2)
    kernel = window.view(1, 1, -1, 1).expand(width, -1, -1, -1)
    return F.conv2d(columns, kernel, padding=(padding, 0), groups=width).permute(0, 2, 3, 1).reshape(count, -1, width)


def _along_width(planes: Tensor, window: Tensor, padding: int) -> Tensor:
    """Convolve the rows of planes (P, H, W): products of a few columns at a time with a banded matrix."""
    (count, height, width), size = planes.shape, len(window)
    # Each row of the band's transpose is the window, one place further to the right.
    band = F.pad(window, (0, BLOCK)).repeat(BLOCK)[: BLOCK * (BLOCK + size - 1)].view(BLOCK, -1).t()
    rows, length = planes.reshape(count * height, width), width + 2 * padding - size + 1
    out = rows.new_empty(len(rows), length)
    for start in range(0, length, BLOCK):
        stop, first = min(start + BLOCK, length), start - padding
        left, right = max(first, 0), min(stop + size - 1 - padding, width)
        torch.mm(rows[:, left:right], band[left - first : right - first, : stop - start], out=out[:, start:stop])
    return out.view(count, height, length)


def _gaussian(size: int, like: Tensor) -> Tensor:
    x = torch.arange(size, dtype=like.dtype, device=like.device) - size // 2
    window = torch.exp(-(x**2) / (2 * SIGMA**2))
    return window / window.sum()


def _window(side: int) -> int:
    """Size of the window along a side: odd, and no larger than the side."""
    return min(WINDOW, side - 1 + side % 2)
