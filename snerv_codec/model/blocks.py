"""The layers that the encoder and the decoder are made of (paper, section 3.2 and supplement A)."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

LEAKY_SLOPE = 0.1
LAYER_SCALE = 1e-6
NORM_EPS = 1e-6


def place(network: nn.Module, device: torch.device) -> None:
    """Move a network to `device`, its 2D kernels with channels last, where such convolutions are fastest."""
    network.to(device)
    for parameter in network.parameters():
        if parameter.dim() == 4:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)


class ChannelNorm(nn.LayerNorm):
    """LayerNorm over the channels of (N, C, H, W), at every pixel."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, eps=NORM_EPS)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class ConvNeXtBlock(nn.Module):
    """7x7 depthwise convolution, LayerNorm, 1x1 to 4x the width, GELU, 1x1 back, layer scale, identity."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(channels, channels, 7, padding=3, groups=channels)
        self.norm = nn.LayerNorm(channels, eps=NORM_EPS)
        self.expand = nn.Linear(channels, 4 * channels)
        self.project = nn.Linear(4 * channels, channels)
        self.scale = nn.Parameter(torch.full((channels,), LAYER_SCALE))

    def forward(self, x: Tensor) -> Tensor:
        y = self.depthwise(x).permute(0, 2, 3, 1)  # (N, H, W, C): the linear layers act on the last axis
        y = self.project(F.gelu(self.expand(self.norm(y)))) * self.scale
        out: Tensor = x + y.permute(0, 3, 1, 2)
        return out


class UpBlock(nn.Module):
    """A NeRV block: convolution to out·stride² channels, PixelShuffle, GELU."""

    def __init__(self, in_channels: int, out_channels: int, *, stride: int, kernel: int) -> None:
        super().__init__()
        self.stride = stride
        self.conv = nn.Conv2d(in_channels, out_channels * stride**2, kernel, padding=kernel // 2)

    def forward(self, x: Tensor) -> Tensor:
        return F.gelu(F.pixel_shuffle(self.conv(x), self.stride))


class ResidualBlock(nn.Module):
    """3x3 convolution, LeakyReLU, 3x3 convolution, plus the identity; no normalisation."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + self.conv2(F.leaky_relu(self.conv1(x), LEAKY_SLOPE))
        return out


class FusionBlock(nn.Module):
    """One step of the multi-resolution fusion unit (paper, equation 1).

    The coarser features are up-sampled, joined with the finer ones, merged to the finer width, and
    refined by residual blocks.
    """

    def __init__(self, coarse_channels: int, fine_channels: int, *, stride: int, blocks: int) -> None:
        super().__init__()
        self.up = nn.ConvTranspose2d(coarse_channels, coarse_channels, stride, stride)
        self.merge = nn.Conv2d(coarse_channels + fine_channels, fine_channels, 3, padding=1)
        self.residuals = nn.Sequential(*(ResidualBlock(fine_channels) for _ in range(blocks)))

    def forward(self, coarse: Tensor, fine: Tensor) -> Tensor:
        joined: Tensor = _Join.apply(self.up(coarse), fine)  # type: ignore[no-untyped-call]
        merged: Tensor = self.residuals(self.merge(joined))
        return merged


class _Join(torch.autograd.Function):
    """Features after each other. Their gradients are copies, since GELU's derivative is slow on a slice."""

    @staticmethod
    def forward(ctx: Any, coarse: Tensor, fine: Tensor) -> Tensor:
        ctx.widths = [coarse.shape[1], fine.shape[1]]
        return torch.cat((coarse, fine), dim=1)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, ...]:
        parts = torch.split(grad, ctx.widths, dim=1)
        return tuple(part.contiguous(memory_format=torch.channels_last) for part in parts)


class HighBands(nn.Module):
    """High-frequency restorer: LH, HL and HH from the fused features (paper, equation 2).

    Each band has a branch of its own: 1x1 convolution, LeakyReLU, 3x3 convolution to RGB. The branches
    read the same input, so they are computed as one convolution and one with three groups.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.split = nn.Conv2d(channels, 3 * channels, 1)
        self.restore = nn.Conv2d(3 * channels, 9, 3, padding=1, groups=3)

    def forward(self, x: Tensor) -> Tensor:
        bands: Tensor = self.restore(F.leaky_relu(self.split(x), LEAKY_SLOPE))
        return bands  # (N, 9, h, w): RGB of LH, of HL, of HH
