"""The frames of a video as the fitting sees them: uint8 in memory, floats one batch at a time."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from snerv_codec.bitstream.models import MOTION_SHAPE, DecoderConfig
from snerv_codec.model.canvas import scene_numbers
from snerv_codec.model.decoder import Prediction, scale_low, to_pixels
from snerv_codec.model.variants import FORMAT, Variant, makes_subbands
from snerv_codec.model.wavelet import dwt, low_in_time
from snerv_codec.training.camera import camera_motion

CHUNK = 8


class Batch(NamedTuple):
    """What one step needs of its frames."""

    # Of the encoder, (N, 3, h, w) each in [0, 1]: padded LL or pixels, low bands in time, or the camera's motion last;
    # none where it rests.
    inputs: tuple[Tensor, ...]
    side: Tensor  # (N, 2): least and greatest LL value; or (N, 1): which canvas it has of several; or (N, 0)
    target: Prediction  # the true frame, and subbands where the network makes some, without the padded border
    rows: Tensor  # (N,): places of the frames among the fitted ones; meaningless for others
    known: Prediction | None = None  # where there is a mask: which values of the target are true

    def judged(self, prediction: Prediction) -> Prediction:
        """The prediction, with the target's values where nothing is known, so that the loss is nil there."""
        if self.known is None:
            return prediction
        parts = zip(self.known, prediction, self.target, strict=True)
        shown = [torch.where(k, p, t) for k, p, t in parts if k is not None and p is not None and t is not None]
        return Prediction(*shown)


class FrameSet:
    """RGB frames, uint8 (T, H, W, 3), kept where they are: on `device`, which computes, or on the host.

    Frames are padded to the decoder's size by repeating the last row and column; `crop` removes that border from a
    prediction, so the loss does not see it.

    For the temporal models a frame comes with its neighbours: all three LL bands are scaled by their common range, and
    the encoder gets their low bands in time too. At an end, the neighbour that exists stands in for the other.

    What the decoder takes of them besides embeddings is in `sides`, a row a frame as in `Batch`. Networks that make
    pixels see pixels. Where a canvas moves with the camera, its `motion` is found here, (T, 8, 1, 1), and goes to the
    encoder with the pixels.

    `known`, (T or 1, H, W), is false where a pixel is missing. There the frames are filled in from around, so that the
    encoder sees nothing strange, and the loss leaves the pixel out. `fitted` numbers the frames to fit; None is all.
    """

    def __init__(
        self,
        frames: Tensor,
        config: DecoderConfig,
        device: torch.device | None = None,
        *,
        variant: Variant = FORMAT,
        known: Tensor | None = None,
        fitted: range | None = None,
    ) -> None:
        self.frames, self.variant = frames, variant
        self.device = frames.device if device is None else device
        self.height, self.width = frames.shape[1:3]
        self.temporal, self.subbands = config.layout.temporal, makes_subbands(config, variant)
        height, width = config.padded_size
        self.border = (0, width - self.width, 0, height - self.height)
        self.fitted = torch.tensor(fitted or range(len(frames)), device=frames.device)
        self.known = None if known is None else known.to(frames.device).expand(len(frames), -1, -1)
        if self.known is not None:
            self.frames = self._filled(self.known)
        self.sides = self._find_ranges() if self.subbands else scene_numbers(config, len(frames)).to(self.device)
        self.motion = None
        if config.layout.moving:
            motion = camera_motion(self.frames, config.padded_size, self.device, scenes=config.scenes)
            self.motion = motion.view(-1, *MOTION_SHAPE)

    def __len__(self) -> int:
        return len(self.frames)

    def batch(self, indices: Tensor, *, encoded: bool = True) -> Batch:
        """The frames at `indices`, a 1-D integer tensor on the device of `frames`; without inputs unless `encoded`."""
        frame, side = self._padded(indices), self.sides[indices.to(self.device)]
        rows, known = torch.searchsorted(self.fitted, indices).to(self.device), self._known(indices)
        if not self.subbands:
            inputs = self._inputs(frame, indices, side) if encoded else ()
            return Batch(inputs, side, self.crop(Prediction(frame)), rows, known)
        ll, high = _split(frame)
        low = scale_low(ll, side)
        inputs = self._inputs(low, indices, side) if encoded else ()
        return Batch(inputs, side, self.crop(Prediction(frame, low, high)), rows, known)

    def _inputs(self, low: Tensor, indices: Tensor, side: Tensor) -> tuple[Tensor, ...]:
        """What the encoder sees of frames whose scaled LL is `low`, or whose pixels are."""
        if self.motion is not None:
            return low, self.motion[indices.to(self.device)]
        if not self.temporal:
            return (low,)
        others = (scale_low(_split(self._padded(each))[0], side) for each in self._neighbours(indices))
        return low, *(low_in_time(low, other) / 2 for other in others)  # stays below 1

    def crop(self, prediction: Prediction) -> Prediction:
        """The prediction without the padded border; views, no copies."""
        frame, *bands = prediction
        sides = slice((self.height + 1) // 2), slice((self.width + 1) // 2)
        shown = (None if band is None else band[..., *sides] for band in bands)
        return Prediction(frame[..., : self.height, : self.width], *shown)

    def _padded(self, indices: Tensor) -> Tensor:
        """The frames at the decoder's size, (N, 3, H, W) in [0, 1]."""
        frame = self.frames[indices].to(self.device, non_blocking=True).permute(0, 3, 1, 2).float() / 255
        if any(self.border):
            frame = F.pad(frame, self.border, mode="replicate")
        return frame

    def _known(self, indices: Tensor) -> Prediction | None:
        """Which values of the frames, and of their subbands where there are some, follow from known pixels alone."""
        if self.known is None:
            return None
        known = F.pad(self._known_pixels(indices), self.border, mode="replicate")
        if not self.subbands:
            return self.crop(Prediction(known > 0))
        band = 1 - F.max_pool2d(1 - known, 2)
        return self.crop(Prediction(known > 0, band > 0, band > 0))

    def _known_pixels(self, indices: Tensor) -> Tensor:
        assert self.known is not None
        return self.known[indices].to(self.device)[:, None].float()  # (N, 1, H, W)

    def _filled(self, known: Tensor) -> Tensor:
        """The frames with the pixels that are not known made up from those around them."""
        frames = torch.empty_like(self.frames)
        for indices in torch.split(torch.arange(len(known), device=known.device), CHUNK):
            pixels = self.frames[indices].to(self.device).permute(0, 3, 1, 2).float() / 255
            weight = self._known_pixels(indices)
            frames[indices] = to_pixels(_fill(pixels * weight, weight)).permute(0, 2, 3, 1).to(frames.device)
        return frames

    def _find_ranges(self) -> Tensor:
        """Each frame's LL range, (T, 2), at the precision of the file: 16-bit float."""
        least, greatest = [], []
        every = torch.arange(len(self), device=self.frames.device)
        for indices in torch.split(every, CHUNK):
            ll, _ = _split(self._padded(indices))
            least.append(ll.amin(dim=(1, 2, 3)))
            greatest.append(ll.amax(dim=(1, 2, 3)))
        low, high = torch.cat(least), torch.cat(greatest)
        if self.temporal:
            before, after = self._neighbours(every.to(self.device))
            low = torch.stack((low[before], low, low[after])).amin(dim=0)
            high = torch.stack((high[before], high, high[after])).amax(dim=0)
        return torch.stack((low, high), dim=1).half().float()

    def _neighbours(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        """The frames before and after, mirrored at the ends; a single frame is its own neighbour."""
        last = len(self) - 1
        before, after = (indices - 1).abs(), last - (indices + 1 - last).abs()
        return before.clamp_max(last), after.clamp_min(0)


def _split(frame: Tensor) -> tuple[Tensor, Tensor]:
    """LL (N, 3, H/2, W/2), and LH, HL and HH one after the other, (N, 9, H/2, W/2)."""
    ll, *details = dwt(frame)
    return ll, torch.cat(details, dim=1)


def _fill(values: Tensor, weight: Tensor) -> Tensor:
    """Weighted means, and where there is no weight those of a coarser scale, down to one pixel for all.

    `values` (N, C, H, W) have the `weight` (N, 1, H, W) on them already.
    """
    mean = values / weight.clamp_min(1e-9)
    if bool((weight > 0).all()):
        return mean
    coarser = _fill(F.avg_pool2d(values, 2, ceil_mode=True), F.avg_pool2d(weight, 2, ceil_mode=True))
    smooth = F.interpolate(coarser, size=mean.shape[2:], mode="bilinear", align_corners=False)
    return torch.where(weight > 0, mean, smooth)
