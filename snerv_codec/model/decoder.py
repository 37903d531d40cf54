"""The decoder: a frame's embeddings to the frame. Its weights are what a `.snrv` file holds.

embedding (N, E, h, w), five blocks as in the paper (there may be 3 to 6; the last three features are fused)
  │ stem 1x1, GELU                                     C_0
  │ up.0, up.1, up.2                 strides s_1 s_2 s_3 → u_3, C_3
  ├─ up.3                            s_4 → u_4, C_4   ─┐
  ├─ up.4                            s_5 → u_5, C_5   ─┤
  └─ fuse.0(u_3, u_4), fuse.1(·, u_5)                ←─┘  m, C_5 at LL size
       ├─ low:  3x3, (tanh + 1)/2 → LL scaled to [0, 1] → LL by the frame's range
       └─ high: LH, HL, HH
            inverse DWT → frame (N, 3, 2·LL height, 2·LL width)

Models "t" and "t2d" differ in `up` alone (`model.temporal`). Others have no subbands (`model.pixel`).
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from snerv_codec.bitstream.models import DecoderConfig
from snerv_codec.model.blocks import FusionBlock, HighBands, UpBlock
from snerv_codec.model.canvas import Canvas
from snerv_codec.model.wavelet import idwt

RANGE_STEP = 2**-10  # of 16-bit floats between 1 and 2; a frame of a lesser range is flat


class Prediction(NamedTuple):
    """What the decoder says of a batch of frames: RGB in [0, 1] (not clamped), and the subbands that it is made of."""

    frame: Tensor  # (N, 3, H, W)
    low: Tensor | None = None  # (N, 3, H/2, W/2), LL scaled to [0, 1]; None where the network makes pixels
    high: Tensor | None = None  # (N, 9, H/2, W/2), RGB of LH, of HL, of HH; None as above


class SpatialPath(nn.ModuleList):
    """The backbone's NeRV blocks, one for each stride."""

    def __init__(self, strides: Sequence[int], widths: Sequence[int], kernels: Sequence[int]) -> None:
        super().__init__(
            UpBlock(narrow, wide, stride=stride, kernel=kernel)
            for narrow, wide, stride, kernel in zip(widths[:-1], widths[1:], strides, kernels, strict=True)
        )

    def forward(self, x: Tensor, canvas: Canvas | None = None, *how: Tensor) -> list[Tensor]:
        """(N, C_0, h, w) to the output of each block; from the canvas's on, with the canvas, laid as `how` says."""
        features = []
        for stage, block in enumerate(self, start=1):
            x = block(x)
            if canvas is not None and stage == canvas.stage:
                x = canvas(x, *how)
            features.append(x)  # (N, C_i, h·s_1···s_i, w·s_1···s_i)
        return features


class FusionUnit(nn.ModuleList):
    """Multi-resolution fusion unit: each block takes the next finer of the last three features."""

    def __init__(self, strides: Sequence[int], widths: Sequence[int], *, blocks: int) -> None:
        super().__init__(
            FusionBlock(widths[i], widths[i + 1], stride=strides[i], blocks=blocks)
            for i in range(len(strides) - 2, len(strides))
        )

    def forward(self, features: list[Tensor]) -> Tensor:
        """u_3, u_4 and u_5, perhaps after others, to one (N, C_5, LL height, LL width)."""
        fused, *finer = features[-len(self) - 1 :]
        for fuse, fine in zip(self, finer, strict=True):
            fused = fuse(fused, fine)
        return fused


class SubbandDecoder(nn.Module):
    """SNeRV's decoder (paper, sections 3.2 and 3.3), determined by `config` and the way `up` that its model has."""

    def __init__(self, config: DecoderConfig, up: nn.Module) -> None:
        super().__init__()
        strides, widths = config.strides, config.widths
        self.stem = nn.Conv2d(config.embedding_shape[0], widths[0], 1)
        self.up = up
        self.fuse: nn.Module = FusionUnit(strides, widths, blocks=config.blocks)
        self.low = nn.Conv2d(widths[-1], 3, 3, padding=1)
        self.high: nn.Module = HighBands(widths[-1])

    def forward(self, embeddings: Sequence[Tensor], ll_range: Tensor) -> Prediction:
        """A tensor (N, *shape) for each of `config.embedding_shapes`, and the frames' LL ranges, (N, 2)."""
        embedding, *temporal = embeddings
        fused = self.fuse(self.up(F.gelu(self.stem(embedding)), *temporal))
        # Where the rest computes with 16 bits, the heads do not: it would show in the pixels.
        with torch.autocast("cuda" if fused.is_cuda else "cpu", enabled=False):
            fused = fused.float() if fused.dtype.itemsize == 2 else fused
            low = (torch.tanh(self.low(fused)) + 1) / 2
            high = self.high(fused)
            least, greatest = ll_range[:, :, None, None, None].unbind(1)
            frame = idwt(least + low * (greatest - least), *high.chunk(3, dim=1))
        return Prediction(frame, low, high)


def scale_low(ll: Tensor, ll_range: Tensor) -> Tensor:
    """LL (N, 3, h, w) to [0, 1] by the range (N, 2) of each frame: what the decoder undoes."""
    least, greatest = ll_range[:, :, None, None, None].unbind(1)
    return ((ll - least) / (greatest - least).clamp_min(RANGE_STEP)).clamp(0, 1)


def to_pixels(frame: Tensor) -> Tensor:
    """RGB in [0, 1], clamped, as uint8: the nearest code value, ties to even."""
    return (frame * 255).round().clamp(0, 255).to(torch.uint8)
