"""Models "pixel", "canvas" and "sprite": up-sampling blocks to the frame's own size, and a head that makes RGB.

embedding (N, E, h, w)
  │ stem 1x1, GELU                    C_0
  │ up.0 ... up.{S-1}                 strides s_1 ... s_S → u_S, C_S, at the frame's size
  │   └ canvas, after one of them     a map that all frames share, 1x1, added to u_k
  └─ head 3x3, (tanh + 1)/2           frame (N, 3, h·s_1···s_S, w·s_1···s_S)

The decoder of HNeRV (Chen et al., 2023) with its proportions left open. Without wavelet, fusion and restorer all
parameters are in the way up, and with fine embeddings more of them in its last blocks, where they count most.

A convolution's weights serve every place of a picture alike. What stays where it is, such as a background, can be said
once for each place instead, by the canvas of the model of that name. That of model "sprite" moves with the camera: a
frame brings eight values that say where its corners lie on it (`model.canvas`).
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from snerv_codec.bitstream.models import DecoderConfig
from snerv_codec.model.canvas import Canvas
from snerv_codec.model.decoder import Prediction, SpatialPath
from snerv_codec.model.encoder import DownPath

LARGEST_PATCH = 9  # pixels along a side, of what the encoder's first convolution reads


class PixelEncoder(nn.Module):
    """The way down that `PixelDecoder` comes back: a stage for each stride, the first two in one while they are small.

    Full-sized features of 64 channels would take more arithmetic than the whole decoder.
    """

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()
        first, *others = config.strides
        while len(others) > 1 and first * others[0] <= LARGEST_PATCH:
            first *= others.pop(0)
        self.path = DownPath((first, *others), config.embedding_shape[0])

    def forward(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """RGB, (N, 3, H, W) in [0, 1], to embeddings (N, E, h, w); the camera's motion, if there is any, as it is."""
        frames, *motion = inputs
        return self.path(frames), *motion


class PixelDecoder(nn.Module):
    """A stem for embeddings of `channels`, a NeRV block for each stride, and the head.

    `widths` are C_0, after the stem, and those after each block; `kernels` the blocks'. A `canvas` has its place among
    the blocks.
    """

    def __init__(
        self,
        channels: int,
        strides: Sequence[int],
        widths: Sequence[int],
        kernels: Sequence[int],
        canvas: Canvas | None = None,
    ) -> None:
        super().__init__()
        self.stem = nn.Conv2d(channels, widths[0], 1)
        self.up = SpatialPath(strides, widths, kernels)
        self.canvas = canvas
        self.head = nn.Conv2d(widths[-1], 3, 3, padding=1)

    def forward(self, embeddings: Sequence[Tensor], side: Tensor) -> Prediction:
        """Embeddings (N, E, h, w), and perhaps motion (N, 8, 1, 1), to frames.

        Where each scene has a canvas, `side`, (N, 1), holds its number, else nothing, (N, 0).
        """
        embedding, *motion = embeddings
        how = (*motion, side) if motion else ()
        x = self.up(F.gelu(self.stem(embedding)), self.canvas, *how)[-1]
        # Where the rest computes with 16 bits, the head does not: it would show in the pixels.
        with torch.autocast("cuda" if x.is_cuda else "cpu", enabled=False):
            x = x.float() if x.dtype.itemsize == 2 else x
            return Prediction((torch.tanh(self.head(x)) + 1) / 2)
