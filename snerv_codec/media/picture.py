"""What a picture is: how its samples lie in memory, how deep they are, and what black and white are."""

from dataclasses import dataclass
from math import prod

import numpy as np
import numpy.typing as npt

from snerv_codec.bitstream.types import Chroma

Pixels = npt.NDArray[np.uint8]  # 8-bit samples of one picture, or of several along a first axis

PLANES = {"400": 1, "444": 3}  # of pictures whose planes are all of one size


@dataclass(frozen=True, slots=True)
class PictureFormat:
    """How pictures lie in memory: RGB interleaved, (height, width, 3); grey and 4:4:4 a plane after another.

    Samples have `depth` bits. In the `full_range` they are 0 for black and `peak` for white; otherwise as ITU-R
    BT.601 and BT.709 have it, 16 and 235 in 8 bits.
    """

    height: int
    width: int
    chroma: Chroma = "rgb"
    depth: int = 8
    full_range: bool = True

    def __post_init__(self) -> None:
        if self.chroma != "rgb" and self.chroma not in PLANES:
            raise ValueError(f"pictures in {self.chroma} have planes of several sizes and are no single array")

    @property
    def peak(self) -> int:
        """The greatest value of a sample."""
        return (1 << self.depth) - 1

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape of one picture's array."""
        if self.chroma == "rgb":
            return self.height, self.width, 3
        return PLANES[self.chroma], self.height, self.width

    @property
    def size(self) -> int:
        """Bytes of one picture."""
        return prod(self.shape) * (1 if self.depth <= 8 else 2)

    def empty(self, count: int) -> Pixels:
        """Room for `count` pictures, (count, *shape), not filled."""
        room: Pixels = np.empty((count, *self.shape), np.uint8 if self.depth <= 8 else np.uint16)
        return room


RGB8 = PictureFormat(1, 1)  # one pixel of what the codec fits and decodes
