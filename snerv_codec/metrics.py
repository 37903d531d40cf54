"""Quality and rate, each defined once. Frames are uint8 RGB, (H, W, 3) or (T, H, W, 3)."""

from fractions import Fraction

import numpy as np
import numpy.typing as npt

Frames = npt.NDArray[np.uint8]

PSNR_CAP = 100.0  # dB; identical frames would be infinite
MS_SSIM_MIN_SIDE = 161  # five scales of an 11-pixel window


def psnr(reference: Frames, distorted: Frames) -> float:
    """RGB PSNR of one frame in dB, at most 100."""
    error = np.square(np.subtract(reference, distorted, dtype=np.int32)).mean(dtype=np.float64)
    return min(PSNR_CAP, float(10 * np.log10(255**2 / error))) if error else PSNR_CAP


def ms_ssim(reference: Frames, distorted: Frames) -> float | None:
    """RGB MS-SSIM of one frame, 0..1; None below 161 pixels a side, where its scales do not fit."""
    if min(reference.shape[:2]) < MS_SSIM_MIN_SIDE:
        return None
    import torch
    from pytorch_msssim import ms_ssim as library_ms_ssim

    pair = (torch.from_numpy(np.ascontiguousarray(frame)).permute(2, 0, 1)[None] for frame in (reference, distorted))
    reference_tensor, distorted_tensor = (tensor.float() for tensor in pair)
    return float(library_ms_ssim(reference_tensor, distorted_tensor, data_range=255))


def bits_per_pixel(size: int, width: int, height: int, frames: int) -> float:
    """`size` bytes over all pixels of all frames."""
    return 8 * size / (width * height * frames)


def bits_per_second(size: int, duration: Fraction) -> float:
    """`size` bytes over `duration` seconds."""
    return float(8 * size / duration)
