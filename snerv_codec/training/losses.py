"""The fitting loss (paper, section 3.3): L1 and SSIM, on the frame and on its subbands."""

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
    """Mean SSIM with an 11x11 Gaussian window (σ = 1.5), no padding; the window shrinks on tiny images."""
    channels = image.shape[1]
    maps = torch.cat((image, target, image * image, target * target, image * target), dim=1)
    mu_x, mu_y, xx, yy, xy = _blur(maps).split(channels, dim=1)
    mu_xx, mu_yy, mu_xy = mu_x * mu_x, mu_y * mu_y, mu_x * mu_y
    luminance = (2 * mu_xy + C1) / (mu_xx + mu_yy + C1)
    structure = (2 * (xy - mu_xy) + C2) / (xx - mu_xx + yy - mu_yy + C2)
    return (luminance * structure).mean()


def _blur(maps: Tensor) -> Tensor:
    channels, height, width = maps.shape[1:]
    maps = maps.contiguous(memory_format=torch.channels_last)  # where depthwise convolution is fast
    for axis, side in ((2, height), (3, width)):
        window = _gaussian(min(WINDOW, side - 1 + side % 2), maps)
        shape = (1, 1, -1, 1) if axis == 2 else (1, 1, 1, -1)
        weight = window.view(shape).expand(channels, *(-1 for _ in shape[1:]))
        maps = F.conv2d(maps, weight, groups=channels)
    return maps


def _gaussian(size: int, like: Tensor) -> Tensor:
    x = torch.arange(size, dtype=like.dtype, device=like.device) - size // 2
    window = torch.exp(-(x**2) / (2 * SIGMA**2))
    return window / window.sum()
