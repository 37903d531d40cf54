"""The frames of a video as the fitting sees them: uint8 in memory, floats one batch at a time."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from bitstream.types import DecoderConfig
from snerv_codec.model.decoder import Prediction
from snerv_codec.model.wavelet import dwt

CHUNK = 8
RANGE_STEP = 2**-10  # of 16-bit floats between 1 and 2; a frame of a lesser range is flat


class Batch(NamedTuple):
    """What one step needs of its frames."""

    low: Tensor  # (N, 3, h, w): padded LL scaled to [0, 1], the encoder's input
    ll_range: Tensor  # (N, 2): least and greatest LL value
    target: Prediction  # the true frame and subbands, without the padded border


class FrameSet:
    """`frames` is uint8 (T, H, W, 3), RGB; it stays so, where it is: on `device`, which computes, or on the host.

    Frames are padded to the decoder's size by repeating the last row and column; `crop` removes that
    border from a prediction, so it weighs nothing in the loss.
    """

    def __init__(self, frames: Tensor, config: DecoderConfig, device: torch.device | None = None) -> None:
        self.frames = frames
        self.device = frames.device if device is None else device
        self.height, self.width = frames.shape[1:3]
        height, width = config.padded_size
        self.border = (0, width - self.width, 0, height - self.height)
        self.ll_ranges = self._find_ranges()

    def __len__(self) -> int:
        return len(self.frames)

    def batch(self, indices: Tensor) -> Batch:
        """The frames at `indices`, a 1-D integer tensor on the device of `frames`."""
        frame, ll, high = self._bands(indices)
        ll_range = self.ll_ranges[indices.to(self.device)]
        least, greatest = ll_range[:, :, None, None, None].unbind(1)
        low = ((ll - least) / (greatest - least).clamp_min(RANGE_STEP)).clamp(0, 1)
        return Batch(low, ll_range, self.crop(Prediction(frame, low, high)))

    def crop(self, prediction: Prediction) -> Prediction:
        """The prediction without the padded border; views, no copies."""
        half_height, half_width = (self.height + 1) // 2, (self.width + 1) // 2
        return Prediction(
            prediction.frame[..., : self.height, : self.width],
            prediction.low[..., :half_height, :half_width],
            prediction.high[..., :half_height, :half_width],
        )

    def _bands(self, indices: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        frame = self.frames[indices].to(self.device, non_blocking=True).permute(0, 3, 1, 2).float() / 255
        if any(self.border):
            frame = F.pad(frame, self.border, mode="replicate")
        ll, *details = dwt(frame)
        return frame, ll, torch.cat(details, dim=1)

    def _find_ranges(self) -> Tensor:
        """Each frame's LL range, (T, 2), at the precision of the file: 16-bit float."""
        ranges = []
        for indices in torch.split(torch.arange(len(self), device=self.frames.device), CHUNK):
            _, ll, _ = self._bands(indices)
            ranges.append(torch.stack((ll.amin(dim=(1, 2, 3)), ll.amax(dim=(1, 2, 3))), dim=1))
        return torch.cat(ranges).half().float()
