"""Files of a quality: how good a segment looks once it is decoded, and the most rounding that looks good enough."""

from collections.abc import Iterator
from dataclasses import replace
from statistics import fmean
from typing import NamedTuple, Protocol

import torch

from snerv_codec.bitstream.types import Segment
from snerv_codec.compression.quantize import MAX_DEADZONE
from snerv_codec.decoding import SegmentPlayer
from snerv_codec.encoding.footage import Footage
from snerv_codec.evaluation.metrics import mean_quality
from snerv_codec.evaluation.vmaf import find_ffmpeg, open_vmaf
from snerv_codec.media.color import Converter, measured_in
from snerv_codec.media.picture import Pixels
from snerv_codec.rate_control.targets import Target

HALVINGS = 8
CLOSE = 0.03  # dB, or of VMAF: this far above a target there is nothing left to search for
AIM = 0.1  # dB above a target that training goes for; what it misses it by, rounding makes up for
PROBE = 6.0  # times coarser, to see how VMAF goes with PSNR
VMAF_A_DB = (1.0, 10.0)  # assumed bounds of that slope


class Pack(Protocol):
    """Packs a fit: with steps so many times as coarse as its own, and values rounded so far towards zero."""

    def __call__(self, *, deadzone: float = 0, scale: float | None = None) -> Segment: ...


class Packed(NamedTuple):
    """A segment and its quality, in the target's unit."""

    segment: Segment
    quality: float


class Judge:
    """Compares segments of `footage`, as they decode on `device`, with a target of quality."""

    def __init__(self, target: Target, footage: Footage, device: torch.device) -> None:
        self.target, self.footage, self.device = target, footage, device

    def goal(self, pack: Pack) -> float:
        """The PSNR (dB) to train for: the target, or where that is VMAF, about what goes with it.

        That is told from a line through the model as it is and a coarser one. How far off it is shows in the end
        only, and `pack` makes up for it.
        """
        if self.target.kind == "psnr":
            return self.target.value + AIM
        fine, coarse = pack(scale=1), pack(scale=PROBE)
        psnr, vmaf = self._psnr(fine), self._vmaf(fine)
        slope = (vmaf - self._vmaf(coarse)) / max(psnr - self._psnr(coarse), 1e-3)
        return AIM + psnr + (self.target.value - vmaf) / min(max(slope, VMAF_A_DB[0]), VMAF_A_DB[1])

    def pack(self, pack: Pack) -> Packed:
        """The segment with the most rounding towards zero (`deadzone`) whose quality is not below the target.

        Other steps than those of training would be no help: networks have learned to live with how their values
        are rounded, and finer ones round them otherwise.
        """
        best, low, high = self._packed(pack, 0), 0.0, MAX_DEADZONE
        for _ in range(HALVINGS):
            if best.quality <= self.target.value + CLOSE:
                break
            middle = (low + high) / 2
            candidate = self._packed(pack, middle)
            if candidate.quality >= self.target.value:
                low, best = middle, candidate
            else:
                high = middle
        return best

    def _packed(self, pack: Pack, deadzone: float) -> Packed:
        segment = pack(deadzone=deadzone)
        return Packed(segment, self._vmaf(segment) if self.target.kind == "vmaf" else self._psnr(segment))

    def _psnr(self, segment: Segment) -> float:
        """Mean over frames, over what is known of them, as `encode` reports it."""
        pictures = self._pictures(segment)
        return mean_quality(self.footage.frames, pictures, known=self.footage.known, multiscale=False).psnr

    def _vmaf(self, segment: Segment) -> float:
        """Mean over frames, as `evaluate` reports it."""
        info, converter = self.footage.info, Converter()
        color = replace(measured_in(info.color, info.chroma), full_range=False)  # what its model was trained on
        with open_vmaf(info.width, info.height, find_ffmpeg()) as meter:
            for pair in zip(self.footage.frames, self._pictures(segment), strict=True):
                meter.add(*(converter.to_planes(frame, color) for frame in pair))
            return fmean(meter.result().scores)

    def _pictures(self, segment: Segment) -> Iterator[Pixels]:
        """What the frames decode to."""
        player = SegmentPlayer(segment, self.footage.info, self.device)
        return player.play(player.numbers)
