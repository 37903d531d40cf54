"""The encoder: a frame's low bands to its embeddings. It serves the fitting and is never transmitted."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from snerv_codec.bitstream.models import DecoderConfig
from snerv_codec.model.blocks import ChannelNorm, ConvNeXtBlock
from snerv_codec.model.temporal import STILL_BLOCKS, prime_factors

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


class DownPath(nn.Sequential):
    """ConvNeXt stages from (N, 3, h·P, w·P), P the product of `strides`, to (N, channels, h, w); HNeRV's encoder."""

    def __init__(self, strides: Sequence[int], channels: int) -> None:
        widths = (3, *(WIDTH for _ in strides[1:]), channels)
        super().__init__(
            *(DownStage(widths[i], widths[i + 1], stride=stride, stem=i == 0) for i, stride in enumerate(strides))
        )
        self.apply(_initialize)


class Encoder(nn.Module):
    """One path for each low band: the frame's own, then for models "t" and "t2d" those of its two pairs in time.

    Paper, sections 3.2 and 3.3.
    """

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()
        self.paths = nn.ModuleList([DownPath(config.strides, config.embedding_shape[0])])
        if config.temporal_shape is not None:
            strides, channels = pair_strides(config), config.temporal_shape[0]
            self.paths.extend(DownPath(strides, channels) for _ in range(2))

    def forward(self, lows: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Low bands (N, 3, LL height, LL width) in [0, 1] to embeddings, as `config.embedding_shapes` has them."""
        embedding, *pairs = (path(low) for path, low in zip(self.paths, lows, strict=True))
        return (embedding, torch.cat(pairs, dim=1)) if pairs else (embedding,)


def pair_strides(config: DecoderConfig) -> tuple[int, ...]:
    """Strides from LL to the temporal embeddings: the decoder's beyond block 2, and what block 2 has over them.

    Twos of the latter go in pairs, as fours (paper, table 7b).
    """
    extra = prime_factors(config.temporal_scale)
    twos = extra.count(2)
    extra = [factor for factor in extra if factor > 2] + [4] * (twos // 2) + [2] * (twos % 2)
    return tuple(sorted((*config.strides[STILL_BLOCKS:], *extra), reverse=True))


def _initialize(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d | nn.Linear):
        nn.init.trunc_normal_(module.weight, std=INIT_STD)
        assert module.bias is not None
        nn.init.zeros_(module.bias)
