"""The canvas: features of each place that all frames share, laid under a frame as the camera saw it.

MPEG-4 calls such a picture a sprite, and the points that say how it lies under a frame warping points (ISO/IEC 14496-2,
7.8). Here these are the frame's corners; between them displacements are mixed bilinearly.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from snerv_codec.bitstream.models import DecoderConfig
from snerv_codec.model.wavelet import smooth_idwt

CORNERS = 4  # top left, top right, bottom left, bottom right
FARTHEST = 2.0  # from a picture's middle, in halves of it: all that lies beyond its border is like the border


class Canvas(nn.Module):
    """A map of `shape`, (channels, height, width), mixed to `width` channels and added to the features of a `stage`.

    That is the up-sampling block, from 1, whose output has the map's height and width. Of several `scenes` each has a
    map, one after the other among the channels.
    """

    def __init__(self, shape: Sequence[int], width: int, stage: int, scenes: int = 1) -> None:
        super().__init__()
        self.stage = stage
        self.map = nn.Parameter(torch.zeros(scenes * shape[0], *shape[1:]))
        self.mix = nn.Conv2d(shape[0], width, 1)

    def forward(self, x: Tensor, *how: Tensor) -> Tensor:
        """Features of the stage, (N, channels, height, width), with the canvas added; there is one way to lay it."""
        mixed: Tensor = self.mix(self.map[None])
        return x + mixed


class Sprite(Canvas):
    """A canvas that moves with the camera, and that what stands before it covers. A place is `step` pixels of a frame.

    Its parameters are subbands, as it is halved `levels` times: what is alike from place to place is said once, and
    zeros say where there is no detail. `details` are LH, HL and HH of each level, the finest first, `map` the LL left.
    Of several `scenes` each has a canvas of that `shape`, and its part of every subband.
    """

    def __init__(
        self, shape: tuple[int, int, int], width: int, stage: int, step: int, levels: int, scenes: int = 1
    ) -> None:
        channels, *size = shape
        sizes = [[-(-side >> level) for side in size] for level in range(levels + 1)]
        super().__init__((channels, *sizes[-1]), width, stage, scenes)
        self.step, self.sizes, self.scenes = step, sizes, scenes
        self.details = nn.ParameterList(torch.zeros(3 * scenes * channels, *half) for half in sizes[1:])
        self.gate = nn.Conv2d(width, channels, 1)
        for parameter in self.gate.parameters():
            nn.init.zeros_(parameter)  # shown everywhere, at first

    def forward(self, x: Tensor, *how: Tensor) -> Tensor:
        """As a frame sees it: moved by its motion, (N, 8, 1, 1) as in `warp`, and shown as the features tell.

        Its scene's number, (N, 1), says which canvas that is, where there are several.
        """
        motion, scene = how
        # 16 bits are too few for places, where the rest computes with them.
        with torch.autocast("cuda" if x.is_cuda else "cpu", enabled=False):
            seen = warp(self.pictures(scene), motion.flatten(1), self.step)
        mixed: Tensor = self.mix(2 * torch.sigmoid(self.gate(x)) * seen)
        return x + mixed

    def pictures(self, scene: Tensor) -> Tensor:
        """The whole canvas of each `scene`, (N, 1), or the only one: (N or 1, channels, height, width).

        Between two numbers it is a mix of their canvases. A level larger than twice the next is cut at its end.
        """
        whole = self._chosen(self.map, scene)
        for (height, width), details in zip(reversed(self.sizes[:-1]), reversed(self.details), strict=True):
            bands = (self._chosen(band, scene) for band in details.chunk(3))
            whole = smooth_idwt(whole, *bands)[..., :height, :width]
        return whole

    def _chosen(self, subband: Tensor, scene: Tensor) -> Tensor:
        """What is each scene's of a subband of all: (N or 1, channels, h, w)."""
        each = subband.view(self.scenes, -1, *subband.shape[1:])
        if self.scenes == 1:
            return each
        first = scene.flatten().long()
        second = (first + 1).clamp_max(self.scenes - 1)
        share = (scene.flatten() - first).view(-1, 1, 1, 1)
        return torch.lerp(each.index_select(0, first), each.index_select(0, second), share)


def scene_numbers(config: DecoderConfig, frames: int) -> Tensor:
    """The number of each frame's canvas where there are several, float32 (frames, 1); else nothing, (frames, 0)."""
    numbers = torch.tensor([[config.canvas_of(frame)] for frame in range(frames)], dtype=torch.float32)
    return numbers if config.scenes else numbers[:, :0]


def corner_weights(picture: Tensor, share: tuple[float, float] = (1, 1)) -> Tensor:
    """How much each corner's displacement counts at each place of a picture (..., height, width): (4, height, width).

    The picture covers the `share` of the frame's height and width from the top left on.
    """
    height, width = picture.shape[-2:]
    down = (torch.arange(height, device=picture.device, dtype=picture.dtype) + 0.5) / height * share[0]
    right = (torch.arange(width, device=picture.device, dtype=picture.dtype) + 0.5) / width * share[1]
    rows, columns = torch.stack((1 - down, down)), torch.stack((1 - right, right))
    return (rows[:, None, :, None] * columns[None, :, None, :]).flatten(0, 1)


def warp(pictures: Tensor, motion: Tensor, step: int, weights: Tensor | None = None) -> Tensor:
    """Each place of N frames looks at its own place of `pictures`, (N or 1, C, height, width): (N, C, height, width).

    `motion`, (N, 8), says how far the frame's corners are moved to look, in pixels of the frame, `step` of which are a
    place of the picture: the four of `CORNERS` down, then to the right. Between places there is cubic convolution, and
    beyond the border what is there goes on. The pictures cover the frame, unless the `weights` of its corners differ.
    """
    height, width = pictures.shape[-2:]
    weights = corner_weights(pictures) if weights is None else weights
    moved = torch.einsum("nak,khw->nahw", motion.view(-1, 2, CORNERS), weights) / step  # in places
    down = (2 * (moved[:, 0] + torch.arange(height, device=motion.device)[:, None]) + 1) / height - 1
    right = (2 * (moved[:, 1] + torch.arange(width, device=motion.device)) + 1) / width - 1
    places = torch.stack((right, down), dim=-1).clamp(-FARTHEST, FARTHEST)
    shared = pictures.expand(len(motion), -1, -1, -1)
    return F.grid_sample(shared, places, mode="bicubic", padding_mode="border", align_corners=False)
