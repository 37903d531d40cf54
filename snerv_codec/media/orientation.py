"""How stored pictures are turned and mirrored before they are shown: display matrices of MP4, EXIF and the like."""

import struct
from dataclasses import dataclass
from typing import Any

import numpy as np
from av.sidedata.sidedata import Type

from snerv_codec.media.picture import Pixels
from snerv_codec.media.sidedata import side_data

NEGLIGIBLE = 1 / 64  # of a matrix's greatest entry
WORDS = {  # transposed, mirrored, flipped
    (False, False, False): "as stored",
    (False, True, False): "mirrored",
    (False, True, True): "turned by 180 degrees",
    (False, False, True): "mirrored and turned by 180 degrees",
    (True, True, False): "turned clockwise by 90 degrees",
    (True, False, True): "turned counterclockwise by 90 degrees",
    (True, False, False): "mirrored and turned counterclockwise by 90 degrees",
    (True, True, True): "mirrored and turned clockwise by 90 degrees",
}


@dataclass(frozen=True, slots=True)
class Orientation:
    """Whether rows and columns change places, and then whether left and right and whether top and bottom do."""

    transposed: bool = False
    mirrored: bool = False
    flipped: bool = False

    def upright(self, pixels: Pixels) -> Pixels:
        """The picture (H, W, C) as it is shown, contiguous; the one that is given where nothing changes."""
        if self == STORED:
            return pixels
        turned = pixels.swapaxes(0, 1) if self.transposed else pixels
        return np.ascontiguousarray(turned[:: -1 if self.flipped else 1, :: -1 if self.mirrored else 1])

    def size(self, height: int, width: int) -> tuple[int, int]:
        """Height and width as shown of a picture that is stored with these."""
        return (width, height) if self.transposed else (height, width)

    def __str__(self) -> str:
        return WORDS[self.transposed, self.mirrored, self.flipped]


STORED = Orientation()


def orientation(frame: Any) -> Orientation | None:
    """How `frame` is to be shown; None where that is no matter of right angles."""
    data = side_data(frame, Type.DISPLAYMATRIX)
    if data is None:
        return STORED
    a, b, _, c, d, *_ = struct.unpack("=9i", data)  # (x, y) is shown at (a x + c y, b x + d y), give or take a shift
    negligible = NEGLIGIBLE * max(map(abs, (a, b, c, d)))
    if max(abs(b), abs(c)) <= negligible < min(abs(a), abs(d)):
        return Orientation(False, a < 0, d < 0)
    if max(abs(a), abs(d)) <= negligible < min(abs(b), abs(c)):
        return Orientation(True, c < 0, b < 0)
    return None
