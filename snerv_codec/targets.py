"""How large a file may become: a user's wish, and what it is in bytes."""

from dataclasses import dataclass
from typing import Literal

from bitstream.types import VideoInfo
from snerv_codec.errors import SettingsError

TargetKind = Literal["size", "bpp", "bitrate"]


@dataclass(frozen=True, slots=True)
class Target:
    """`value` bytes ("size"), bits a pixel of all frames ("bpp"), or bits a second ("bitrate"); sound included."""

    kind: TargetKind
    value: float

    def __post_init__(self) -> None:
        if self.kind not in ("size", "bpp", "bitrate"):
            raise SettingsError(f"target {self.kind!r} is not size, bpp or bitrate")
        if not 0 < self.value < 1e15:
            raise SettingsError(f"target {self.kind} {self.value:g} is not positive")

    def bytes(self, info: VideoInfo) -> int:
        """The greatest size of the file, in bytes, that meets the target for this video."""
        if self.kind == "bpp":
            return int(self.value * info.width * info.height * info.frame_count / 8)
        if self.kind == "bitrate":
            return int(self.value * info.duration / 8)
        return int(self.value)
