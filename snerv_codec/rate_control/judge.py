"""How good a segment looks once it is decoded."""

import zlib
from collections.abc import Iterator
from dataclasses import replace
from statistics import fmean
from weakref import ref

import torch

from snerv_codec.bitstream.types import Segment
from snerv_codec.decoding import SegmentPlayer
from snerv_codec.encoding.footage import Clip
from snerv_codec.evaluation.metrics import mean_quality
from snerv_codec.evaluation.vmaf import find_ffmpeg, open_vmaf
from snerv_codec.media.color import Converter, measured_in
from snerv_codec.media.picture import Pixels
from snerv_codec.rate_control.targets import TargetKind


class ClipJudge:
    """Compares segments, as they decode on `device`, with the `clip` that they were fitted to.

    It remembers what their frames came to for as long as somebody keeps them, so that one that was judged need not be
    decoded for its checksums.
    """

    def __init__(self, clip: Clip, device: torch.device) -> None:
        self._clip, self._device = clip, device
        self._decoded: list[tuple[ref[Segment], list[int]]] = []

    def quality(self, segment: Segment, kind: TargetKind) -> float:
        """Mean of the frames' PSNR in dB ("psnr") or of their VMAF ("vmaf")."""
        return self._vmaf(segment) if kind == "vmaf" else self._psnr(segment)

    def checksums(self, segment: Segment) -> list[int]:
        """The CRC-32 of each frame that the segment decodes to here."""
        for known, checksums in self._decoded:
            if known() is segment:
                return checksums
        for _ in self._pictures(segment):
            pass
        return self._decoded[-1][1]

    def _psnr(self, segment: Segment) -> float:
        """Over what is known of the frames, as `encode` reports it."""
        pictures = self._pictures(segment)
        return mean_quality(self._clip.frames, pictures, known=self._clip.known, multiscale=False).psnr

    def _vmaf(self, segment: Segment) -> float:
        """As `evaluate` reports it."""
        info, converter = self._clip.info, Converter()
        color = replace(measured_in(info.color, info.chroma), full_range=False)  # what its model was trained on
        with open_vmaf(info.width, info.height, find_ffmpeg()) as meter:
            for pair in zip(self._clip.frames, self._pictures(segment), strict=True):
                meter.add(*(converter.to_planes(frame, color) for frame in pair))
            return fmean(meter.result().scores)

    def _pictures(self, segment: Segment) -> Iterator[Pixels]:
        """What the frames decode to; once all are taken, their checksums are known."""
        player, checksums = SegmentPlayer(segment, self._clip.info, self._device), []
        for picture in player.play(player.numbers):
            checksums.append(zlib.crc32(picture.data))
            yield picture
        self._decoded.append((ref(segment), checksums))
