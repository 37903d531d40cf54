"""What a file is to come to, in bytes or in quality: a user's wish."""

from dataclasses import dataclass
from typing import Literal, get_args

from snerv_codec.bitstream.types import VideoInfo
from snerv_codec.errors import SettingsError

TargetKind = Literal["size", "bpp", "bitrate", "psnr", "vmaf"]
GREATEST: dict[TargetKind, float] = {"psnr": 100.0, "vmaf": 100.0}


@dataclass(frozen=True, slots=True)
class Target:
    """`value` bytes ("size"), bits a pixel of all frames ("bpp"), or bits a second ("bitrate"); sound included.

    Or a quality: mean RGB PSNR of the frames in dB ("psnr"), or their mean VMAF ("vmaf").
    """

    kind: TargetKind
    value: float

    def __post_init__(self) -> None:
        if self.kind not in get_args(TargetKind):
            raise SettingsError(f"target {self.kind!r} is not one of {', '.join(get_args(TargetKind))}")
        if not 0 < self.value < 1e15:
            raise SettingsError(f"target {self.kind} {self.value:g} is not a positive number")
        if self.value > GREATEST.get(self.kind, self.value):
            raise SettingsError(f"target {self.kind} {self.value:g} is above {GREATEST[self.kind]:g}")

    @property
    def of_quality(self) -> bool:
        """Whether it bounds the quality from below, not the size from above."""
        return self.kind in ("psnr", "vmaf")

    def bytes(self, info: VideoInfo) -> int | None:
        """The greatest size of the file, in bytes, that meets the target for this video; None for a quality."""
        if self.of_quality:
            return None
        if self.kind == "bpp":
            return int(self.value * info.width * info.height * info.frame_count / 8)
        if self.kind == "bitrate":
            return int(self.value * info.duration / 8)
        return int(self.value)

    def __str__(self) -> str:
        return {
            "size": f"{self.value:,.0f} bytes",
            "bpp": f"{self.value:g} bpp",
            "bitrate": f"{self.value / 1e3:g} kbit/s",
            "psnr": f"PSNR {self.value:g} dB",
            "vmaf": f"VMAF {self.value:g}",
        }[self.kind]
