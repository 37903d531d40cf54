"""Quality and rate, each defined once. Frames are uint8, (H, W, 3) or (T, H, W, 3); RGB where nothing else is said.

Everything is computed on the CPU, so that figures do not depend on the device that decodes.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from statistics import fmean
from typing import TYPE_CHECKING

import numpy as np

from snerv_codec.media.picture import RGB8, Pixels

if TYPE_CHECKING:
    from torch import Tensor

    from snerv_codec.media.mask import Mask

PSNR_CAP = 100.0  # dB; identical frames would be infinite

# SSIM (Wang et al., 2004) and MS-SSIM (Wang et al., 2003) as pytorch-msssim defines them for colour.
WINDOW, SIGMA = 11, 1.5
C1, C2 = (0.01 * RGB8.peak) ** 2, (0.03 * RGB8.peak) ** 2
SCALE_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
MS_SSIM_MIN_SIDE = (WINDOW - 1) * 2 ** (len(SCALE_WEIGHTS) - 1) + 1  # 161: the window must fit the last scale
STRIP = 64  # rows of maps computed at a time: they stay in the cache, and memory does not grow with the frame


def mse(reference: Pixels, distorted: Pixels) -> float:
    """Mean squared error over all samples, in squared code values."""
    return float(np.square(np.subtract(reference, distorted, dtype=np.int32)).mean(dtype=np.float64))


def psnr_of_mse(error: float) -> float:
    """PSNR in dB of a mean squared error of 8-bit samples, at most 100."""
    return min(PSNR_CAP, float(10 * np.log10(RGB8.peak**2 / error))) if error else PSNR_CAP


def psnr(reference: Pixels, distorted: Pixels) -> float:
    """PSNR of one frame in dB over all its samples, at most 100."""
    return psnr_of_mse(mse(reference, distorted))


def psnr_planes(reference: Pixels, distorted: Pixels) -> tuple[float, float, float]:
    """PSNRs of Y, U and V of one frame in dB, in 4:2:0; planes are uint8 (3, H, W) at full size each.

    A sample of chroma is the mean of two rows and columns; the last of an odd number stands twice.
    """
    difference = np.subtract(reference, distorted, dtype=np.int32)  # halving is linear: it may come after this
    luma, chroma = difference[0], difference[1:]
    height, width = luma.shape
    chroma = np.pad(chroma, ((0, 0), (0, height % 2), (0, width % 2)), mode="edge")
    halved = chroma.reshape(2, (height + 1) // 2, 2, (width + 1) // 2, 2).mean((2, 4))
    errors = np.square(luma).mean(dtype=np.float64), *np.square(halved).mean((1, 2))
    y, u, v = (psnr_of_mse(float(error)) for error in errors)
    return y, u, v


def psnr_yuv(y: float, u: float, v: float) -> float:
    """YUV 6:1:1: the mean of the planes' PSNRs in 4:2:0, weighted as video coding reports it, (6Y + U + V) / 8.

    From Ohm et al., "Comparison of the coding efficiency of video coding standards", IEEE Transactions on Circuits and
    Systems for Video Technology 22(12), 2012; also ISO/IEC TR 23002-8.
    """
    return (6 * y + u + v) / 8


def ssim(reference: Pixels, distorted: Pixels) -> float:
    """SSIM of one frame, mean over R, G and B: 11x11 Gaussian window, σ = 1.5, no padding, data range 255."""
    return similarities(reference, distorted)[0]


def ms_ssim(reference: Pixels, distorted: Pixels) -> float | None:
    """MS-SSIM of one frame, 0..1, mean over R, G and B; None below 161 pixels a side, where its scales do not fit."""
    return similarities(reference, distorted)[1]


def similarities(reference: Pixels, distorted: Pixels) -> tuple[float, float | None]:
    """SSIM and MS-SSIM of one frame, which share most of their work."""
    import torch
    import torch.nn.functional as F

    multiscale = min(reference.shape[:2]) >= MS_SSIM_MIN_SIDE
    with torch.inference_mode(), _one_thread():
        images = (torch.from_numpy(np.ascontiguousarray(frame)) for frame in (reference, distorted))
        x, y = (image.permute(2, 0, 1)[None].float() for image in images)
        # Sum and difference hold what x and y do: Σ(x + y)² and Σ(x − y)² give both the variances and the covariance.
        pair = torch.cat((x + y, x - y), 1).contiguous(memory_format=torch.channels_last)  # (1, 6, H, W)
        full, contrast = _ssim_terms(pair)
        single, multiple = full.mean(), torch.ones(3)
        if not multiscale:
            return float(single), None
        for weight in SCALE_WEIGHTS[:-1]:
            multiple = multiple * contrast.relu() ** weight
            pair = F.avg_pool2d(pair, 2, padding=[side % 2 for side in pair.shape[2:]])
            full, contrast = _ssim_terms(pair)
        multiple = multiple * full.relu() ** SCALE_WEIGHTS[-1]
        return float(single), float(multiple.mean())


def _ssim_terms(pair: "Tensor") -> tuple["Tensor", "Tensor"]:
    """Mean SSIM, and mean of its contrast and structure term, for each channel of x + y and x − y stacked."""
    import torch
    import torch.nn.functional as F

    offsets = torch.arange(WINDOW) - WINDOW // 2
    window = torch.exp(-(offsets**2) / (2 * SIGMA**2))
    window = (window / window.sum()).expand(12, 1, 1, -1)
    full, contrast = torch.zeros(3, dtype=torch.float64), torch.zeros(3, dtype=torch.float64)
    rows, columns = (side - WINDOW + 1 for side in pair.shape[2:])
    for top in range(0, rows, STRIP):
        strip = pair[:, :, top : top + STRIP + WINDOW - 1]
        maps = torch.cat((strip, strip * strip), 1).contiguous(memory_format=torch.channels_last)
        maps = F.conv2d(F.conv2d(maps, window.transpose(2, 3), groups=12), window, groups=12)
        mean_sum, mean_difference, square_sum, square_difference = maps.chunk(4, 1)
        mean_sum, mean_difference = mean_sum**2, mean_difference**2
        variance_sum, variance_difference = square_sum - mean_sum, square_difference - mean_difference
        cs = (variance_sum - variance_difference + 2 * C2) / (variance_sum + variance_difference + 2 * C2)
        luminance = (mean_sum - mean_difference + 2 * C1) / (mean_sum + mean_difference + 2 * C1)
        contrast += cs.double().sum((0, 2, 3))
        full += (cs * luminance).double().sum((0, 2, 3))
    return full / (rows * columns), contrast / (rows * columns)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Strips are short: two threads gain little, and lose far more where another program (ffmpeg) wants the cores."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@dataclass(frozen=True, slots=True)
class Quality:
    """Means over frames: PSNR in dB, MS-SSIM (None where it was not measured, or the frame is too small for it)."""

    psnr: float
    ms_ssim: float | None = None


def mean_quality(
    reference: Iterable[Pixels],
    distorted: Iterable[Pixels],
    *,
    known: "Mask | None" = None,
    multiscale: bool = True,
    on_frame: Callable[[int], None] = lambda done: None,
) -> Quality:
    """Mean over the frames of their PSNRs, and of their MS-SSIMs where `multiscale` says so.

    `known`, (T or 1, H, W), is true at pixels that count, the same for all frames where there is one: PSNR is then
    of these alone, and MS-SSIM, which needs whole frames, is left out. Frames are taken one at a time, and `on_frame`
    is told how many are done. Raises `ValueError` where one side has fewer frames, or neither has any.
    """
    errors, similarities = [], []
    for number, (frame, other) in enumerate(zip(reference, distorted, strict=True)):
        counted = slice(None) if known is None else known[number % len(known)]
        errors.append(psnr(frame[counted], other[counted]))
        if multiscale and known is None:
            similarities.append(ms_ssim(frame, other))
        on_frame(number + 1)
    if not errors:
        raise ValueError("there are no frames to measure")
    values = [value for value in similarities if value is not None]
    return Quality(fmean(errors), fmean(values) if values else None)


def harmonic_mean(values: Sequence[float]) -> float:
    """The harmonic mean as libvmaf pools: of the values plus 1, less 1, so that zeros are allowed."""
    return len(values) / sum(1 / (value + 1) for value in values) - 1


def low_percentile(values: Sequence[float]) -> float:
    """What the worst 1 % of frames reach at most: the first percentile, interpolated linearly."""
    return float(np.percentile(values, 1))


def bits_per_pixel(size: int, width: int, height: int, frames: int) -> float:
    """`size` bytes over all pixels of all frames."""
    return 8 * size / (width * height * frames)


def bits_per_second(size: int, duration: Fraction) -> float:
    """`size` bytes over `duration` seconds."""
    return float(8 * size / duration)
