import numpy as np
import pytest

from snerv_codec.metrics import bits_per_pixel, ms_ssim, psnr


def noise(shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def test_psnr_of_a_known_error():
    frame = np.full((20, 30, 3), 100, np.uint8)
    assert psnr(frame, frame + 1) == pytest.approx(48.1308, abs=1e-4)
    assert psnr(frame, frame) == 100
    assert psnr(np.zeros_like(frame), np.full_like(frame, 255)) == pytest.approx(0, abs=1e-9)


def test_ms_ssim_ranks_and_has_a_smallest_frame():
    frame = noise((170, 180, 3))
    assert ms_ssim(frame, frame) == pytest.approx(1)
    assert ms_ssim(frame, noise((170, 180, 3), 1)) < 0.3
    assert ms_ssim(frame[:160], frame[:160]) is None


def test_bits_per_pixel():
    assert bits_per_pixel(1000, 10, 10, 8) == 10
