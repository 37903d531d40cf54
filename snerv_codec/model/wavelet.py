"""The orthonormal Haar wavelet of frames (paper, section 3.2), exact and energy preserving, one level.

The low-pass filter is (1, 1)/sqrt 2 and the high-pass filter (1, -1)/sqrt 2. The first letter of a
subband names the filter along the width (columns), the second the one along the height (rows): LH is low-pass
along the width and high-pass along the height, so it holds horizontal edges. In PyWavelets' terms
`dwt2(x, "haar") == (LL, (LH, HL, HH))`.

And the way back of the 5/3 wavelet, for a canvas.
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def dwt(image: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Split (..., H, W), H and W even, into LL, LH, HL, HH, each (..., H/2, W/2).

    For an image in [0, 1], LL lies in [0, 2] and the others in [-1, 1].
    """
    if image.shape[-1] % 2 or image.shape[-2] % 2:
        raise ValueError(f"the wavelet needs an even height and width, not {tuple(image.shape[-2:])}")
    a, b = image[..., 0::2, 0::2], image[..., 0::2, 1::2]
    c, d = image[..., 1::2, 0::2], image[..., 1::2, 1::2]
    top, bottom, left, right = a + b, c + d, a - b, c - d
    return (top + bottom) / 2, (top - bottom) / 2, (left + right) / 2, (left - right) / 2


def low_in_time(first: Tensor, second: Tensor) -> Tensor:
    """The low-pass half of the transform along time of two moments (paper, section 3.3)."""
    return (first + second) / 2**0.5


def idwt(ll: Tensor, lh: Tensor, hl: Tensor, hh: Tensor) -> Tensor:
    """Invert `dwt`: four subbands (..., h, w) give an image (..., 2h, 2w)."""
    top, bottom, left, right = ll + lh, ll - lh, hl + hh, hl - hh
    pixels = torch.stack((top + left, top - left, bottom + right, bottom - right), dim=-3) / 2
    height, width = ll.shape[-2:]
    image = F.pixel_shuffle(pixels.reshape(-1, 4, height, width), 2)
    return image.view(*ll.shape[:-2], 2 * height, 2 * width)


def smooth_idwt(ll: Tensor, lh: Tensor, hl: Tensor, hh: Tensor) -> Tensor:
    """Invert a level of the 5/3 wavelet (Le Gall and Tabatabai, 1988): subbands (..., h, w) give (..., 2h, 2w).

    That of ISO/IEC 15444-1, annex F, without its rounding: LL is on the image's own scale.
    """
    left, right = _lifted(ll, lh), _lifted(hl, hh)
    return _lifted(left.mT, right.mT).mT


def _lifted(low: Tensor, high: Tensor) -> Tensor:
    """Rows of both bands, (..., h, w) each, in turn, (..., 2h, w): the second lie on what the first make a line of."""
    above = torch.cat((high[..., :1, :], high[..., :-1, :]), dim=-2)
    even = low - (above + high) / 4
    below = torch.cat((even[..., 1:, :], even[..., -1:, :]), dim=-2)
    odd = high + (even + below) / 2
    return torch.stack((even, odd), dim=-2).flatten(-3, -2)
