"""The layers that the encoder and the decoder are made of (paper, section 3.2 and supplement A)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

LEAKY_SLOPE = 0.1
LAYER_SCALE = 1e-6


class LayerNorm2d(nn.LayerNorm):
    """LayerNorm over the channels of (N, C, H, W)."""

    def forward(self, x: Tensor) -> Tensor:
        x = x.permute(0, 2, 3, 1)
        x = F.layer_norm(x, self.normalized_shape, self.weight, self.bias, self.eps)
        return x.permute(0, 3, 1, 2)


class ConvNeXtBlock(nn.Module):
    """7x7 depthwise convolution, LayerNorm, 1x1 to 4x the width, GELU, 1x1 back, layer scale, residual."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(channels, channels, 7, padding=3, groups=channels)
        self.norm = nn.LayerNorm(channels, eps=1e-6)
        self.expand = nn.Linear(channels, 4 * channels)
        self.project = nn.Linear(4 * channels, channels)
        self.scale = nn.Parameter(self.norm.weight.new_full((channels,), LAYER_SCALE))

    def forward(self, x: Tensor) -> Tensor:
        y = self.depthwise(x).permute(0, 2, 3, 1)  # (N, H, W, C): the linear layers act on the last axis
        y = self.project(F.gelu(self.expand(self.norm(y)))) * self.scale
        return x + y.permute(0, 3, 1, 2)


class UpBlock(nn.Module):
    """A NeRV block: convolution to out x stride^2 channels, PixelShuffle, GELU."""

    def __init__(self, in_channels: int, out_channels: int, stride: int, kernel: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels * stride**2, kernel, padding=kernel // 2)
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        return F.gelu(F.pixel_shuffle(self.conv(x), self.stride))


class ResidualBlock(nn.Module):
    """3x3 convolution, LeakyReLU, 3x3 convolution, plus identity."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv2(F.leaky_relu(self.conv1(x), LEAKY_SLOPE))


class FusionBlock(nn.Module):
    """One block of the multi-resolution fusion unit, m_{i+1} = RB(CT(m_i) with u_{i+3}) (paper, equation 1)."""

    def __init__(self, coarse_channels: int, fine_channels: int, stride: int, residual_blocks: int) -> None:
        super().__init__()
        self.up = nn.ConvTranspose2d(coarse_channels, coarse_channels, stride, stride)
        self.merge = nn.Conv2d(coarse_channels + fine_channels, fine_channels, 3, padding=1)
        self.residuals = nn.Sequential(*(ResidualBlock(fine_channels) for _ in range(residual_blocks)))

    def forward(self, coarse: Tensor, fine: Tensor) -> Tensor:
        merged = self.merge(torch.cat((self.up(coarse), fine), dim=1))
        return self.residuals(merged)  # type: ignore[no-any-return]
