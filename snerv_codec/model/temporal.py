"""The temporal extension's way up: what replaces the five NeRV blocks in models "t" and "t2d".

embedding (N, 16, h, w), after the stem                     temporal (N, 2·3, h_t, w_t): with the frame before, after
  │ blocks.0, blocks.1            strides s_1 s_2 → u_2, C_2     │ enter 1x1, GELU, grow: to u_2's size, C_2 each
  └───────────────────────────┬─────────────────────────────────┘
                    before, current, after, stacked on channels: 3·C_2
                              │ blocks.2                         → 3·C_3, of which the middle is u_3
                              │ blocks.3                         → 3·C_4, of which the middle is u_4
                              │ blocks.4                         → u_5, C_5
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from snerv_codec.bitstream.models import DecoderConfig
from snerv_codec.model.blocks import LEAKY_SLOPE

MOMENTS = 3  # before, current, after
STILL_BLOCKS = 2  # blocks that see the current moment alone
WIDENING = 2


class TimeConv(nn.Conv3d):
    """3x3x3 convolution over three moments: (N, 3·C, H, W) to (N, 3·C', H, W), or to (N, C', H, W) for the middle one.

    Beyond the three moments there are zeros. Over so few, a 3D convolution is a 2D one whose weights form a
    band, and as that it runs ten times faster on a CPU.
    """

    def __init__(self, in_channels: int, out_channels: int, *, moments_out: int = MOMENTS) -> None:
        super().__init__(in_channels, out_channels, 3)
        self.moments_out = moments_out

    def forward(self, x: Tensor) -> Tensor:
        padded = F.pad(self.weight, (0, 0, 0, 0, 1, 1))  # (C', C, 5, 3, 3)
        first = (MOMENTS - self.moments_out) // 2
        rows = [padded[:, :, 2 - t : 5 - t] for t in range(first, first + self.moments_out)]
        weight = torch.stack(rows).transpose(2, 3)  # (moments out, C', moments in, C, 3, 3)
        assert self.bias is not None
        return F.conv2d(x, weight.flatten(2, 3).flatten(0, 1), self.bias.repeat(self.moments_out), padding=1)


class ResidualUpBlock(nn.Module):
    """The extension's up-sampling block, with one moment or three (then a TUB; paper, section 3.3, supplement A.2).

    A transposed convolution lifts each moment; two convolutions widen and narrow them together, and their result is
    added to what was lifted. Moments are stacked on channels; `moments_out` 1 of 3 keeps the middle.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        stride: int,
        moments: int = 1,
        moments_out: int = 1,
        over_time: bool = False,
        widening: int = WIDENING,
    ) -> None:
        super().__init__()
        self.moments, self.moments_out = moments, moments_out
        # One transposed convolution for each moment, computed as groups of one.
        self.lift = nn.ConvTranspose2d(moments * in_channels, moments * out_channels, stride, stride, groups=moments)
        wide = widening * out_channels
        self.widen: nn.Module
        self.narrow: nn.Module
        if over_time and moments > 1:
            self.widen = TimeConv(out_channels, wide)
            self.narrow = TimeConv(wide, out_channels, moments_out=moments_out)
        else:
            self.widen = nn.Conv2d(moments * out_channels, moments * wide, 3, padding=1)
            self.narrow = nn.Conv2d(moments * wide, moments_out * out_channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        lifted: Tensor = self.lift(x)
        change = _leaky(self.narrow(_leaky(self.widen(lifted))))
        return change + (lifted if self.moments_out == self.moments else middle(lifted))


class TemporalPath(nn.Module):
    """The features of blocks 3, 4 and 5 from the stem's output and the temporal embeddings."""

    def __init__(self, config: DecoderConfig, *, over_time: bool, widening: int = WIDENING) -> None:
        super().__init__()
        self.over_time, widths = over_time, config.widths
        assert config.temporal_shape is not None
        width = widths[STILL_BLOCKS]
        self.enter = nn.Conv2d(config.temporal_shape[0], width, 1)
        factors = prime_factors(config.temporal_scale)
        self.grow = nn.Sequential(*(nn.ConvTranspose2d(width, width, factor, factor) for factor in factors))
        last = len(config.strides) - 1
        self.blocks = nn.ModuleList(
            ResidualUpBlock(
                widths[i],
                widths[i + 1],
                stride=stride,
                moments=1 if i < STILL_BLOCKS else MOMENTS,
                moments_out=1 if i < STILL_BLOCKS or i == last else MOMENTS,
                over_time=over_time,
                widening=WIDENING if i < STILL_BLOCKS else widening,
            )
            for i, stride in enumerate(config.strides)
        )

    def forward(self, x: Tensor, temporal: Tensor) -> list[Tensor]:
        """(N, C_0, h, w) and (N, 2·3, h_t, w_t) to u_3, u_4, u_5 of the current moment."""
        for block in self.blocks[:STILL_BLOCKS]:
            x = block(x)
        before, after = (self.grow(F.gelu(self.enter(half))) for half in temporal.chunk(2, dim=1))
        x = torch.cat((before, x, after), dim=1)
        features = []
        for block in self.blocks[STILL_BLOCKS:]:
            x = block(x)
            features.append(x if block.moments_out == 1 else middle(x))
        return features


def middle(x: Tensor) -> Tensor:
    """The current moment of three that are stacked on channels."""
    return x.chunk(MOMENTS, dim=1)[1]


def prime_factors(number: int) -> list[int]:
    """The prime factors of a positive number, greatest first."""
    factors, divisor = [], 2
    while number > 1:
        if divisor * divisor > number:
            divisor = number
        while number % divisor == 0:
            factors.append(divisor)
            number //= divisor
        divisor += 1
    return factors[::-1]


def _leaky(x: Tensor) -> Tensor:
    return F.leaky_relu(x, LEAKY_SLOPE)
