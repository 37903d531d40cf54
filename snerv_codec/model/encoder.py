"""The encoder: a frame's low band to its embedding. It serves the fitting and is never transmitted."""

from collections.abc import Sequence

from torch import Tensor, nn

from snerv_codec.model.blocks import ChannelNorm, ConvNeXtBlock

WIDTH = 64
INIT_STD = 0.02


class DownStage(nn.Module):
    """Patchify convolution (kernel = stride) with a LayerNorm, then one ConvNeXt block.

    The norm comes after the convolution in the stem and before it in the later stages.
    """

    def __init__(self, in_channels: int, out_channels: int, *, stride: int, stem: bool) -> None:
        super().__init__()
        patchify = nn.Conv2d(in_channels, out_channels, stride, stride)
        norm = ChannelNorm(out_channels if stem else in_channels)
        self.patchify = nn.Sequential(patchify, norm) if stem else nn.Sequential(norm, patchify)
        self.block = ConvNeXtBlock(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.block(self.patchify(x))
        return y


class Encoder(nn.Sequential):
    """ConvNeXt stages from (N, 3, h·P, w·P), P the product of `strides`, to (N, channels, h, w).

    The input is the LL band, each frame's scaled to [0, 1]. Paper, section 3.2; HNeRV's encoder.
    """

    def __init__(self, strides: Sequence[int], channels: int) -> None:
        widths = (3, *(WIDTH for _ in strides[1:]), channels)
        super().__init__(
            *(DownStage(widths[i], widths[i + 1], stride=stride, stem=i == 0) for i, stride in enumerate(strides))
        )
        self.apply(_initialize)


def _initialize(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d | nn.Linear):
        nn.init.trunc_normal_(module.weight, std=INIT_STD)
        assert module.bias is not None
        nn.init.zeros_(module.bias)
