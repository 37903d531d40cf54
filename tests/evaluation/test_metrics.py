import numpy as np
import pytest
import torch
from clips import moving_picture
from pytorch_msssim import ms_ssim as library_ms_ssim
from pytorch_msssim import ssim as library_ssim

from snerv_codec.evaluation.metrics import (
    PSNR_CAP,
    STRIP,
    WINDOW,
    Quality,
    bits_per_pixel,
    harmonic_mean,
    low_percentile,
    mean_quality,
    ms_ssim,
    mse,
    psnr,
    psnr_planes,
    psnr_yuv,
    similarities,
    ssim,
)


def noise(shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def distorted(frame, strength, seed=0):
    error = np.random.default_rng(seed).normal(0, strength, frame.shape)
    return np.clip(np.rint(frame + error), 0, 255).astype(np.uint8)


def slow_ssim(x, y):
    """SSIM window by window, as it is defined (Wang et al., 2004), mean over the channels."""
    offsets = np.arange(WINDOW) - WINDOW // 2
    weights = np.exp(-(offsets[:, None] ** 2 + offsets**2) / (2 * 1.5**2))[..., None]
    weights /= weights.sum()
    c1, c2, values = (0.01 * 255) ** 2, (0.03 * 255) ** 2, []
    for top in range(x.shape[0] - WINDOW + 1):
        for left in range(x.shape[1] - WINDOW + 1):
            a, b = (f[top : top + WINDOW, left : left + WINDOW].astype(float) for f in (x, y))
            mean_a, mean_b = ((weights * f).sum((0, 1)) for f in (a, b))
            variances = (weights * ((a - mean_a) ** 2 + (b - mean_b) ** 2)).sum((0, 1))
            covariance = (weights * (a - mean_a) * (b - mean_b)).sum((0, 1))
            numerator = (2 * mean_a * mean_b + c1) * (2 * covariance + c2)
            values.append(numerator / ((mean_a**2 + mean_b**2 + c1) * (variances + c2)))
    return np.mean(values)


def as_tensor(frame):
    return torch.from_numpy(frame).permute(2, 0, 1)[None].double()


def test_psnr_of_a_known_error():
    frame = np.full((20, 30, 3), 100, np.uint8)
    assert psnr(frame, frame + np.uint8(1)) == pytest.approx(48.1308, abs=1e-4)
    assert psnr(frame, frame) == 100
    assert psnr(np.zeros_like(frame), np.full_like(frame, 255)) == pytest.approx(0, abs=1e-9)


def test_psnr_of_noise_is_that_of_its_mean_squared_error():
    frame, other = noise((33, 47, 3)), noise((33, 47, 3), 1)
    error = ((frame.astype(float) - other.astype(float)) ** 2).mean()
    assert mse(frame, other) == pytest.approx(error)
    assert psnr(frame, other) == pytest.approx(10 * np.log10(255**2 / error))


@pytest.mark.parametrize("strength", [2, 40])
def test_ssim_is_what_its_definition_gives(strength):
    frame = moving_picture(1, 19, 26)[0]
    other = distorted(frame, strength)
    assert ssim(frame, other) == pytest.approx(slow_ssim(frame, other), abs=1e-5)


@pytest.mark.parametrize("size", [(161, 161), (163, 270), (3 * STRIP + 10, 177), (3 * STRIP + 11, 200)])
def test_similarities_are_those_of_the_reference_implementation(size):
    frame = moving_picture(1, *size)[0]
    for other in (distorted(frame, 3), distorted(frame, 50), noise(frame.shape), 255 - frame):
        single, multiple = similarities(frame, other)
        pair = as_tensor(frame), as_tensor(other)
        assert single == pytest.approx(float(library_ssim(*pair, data_range=255)), abs=2e-5)
        assert multiple == pytest.approx(float(library_ms_ssim(*pair, data_range=255)), abs=2e-5)


def test_the_similarity_of_a_frame_to_itself_is_exactly_one():
    for frame in (noise((170, 180, 3)), np.zeros((170, 180, 3), np.uint8)):
        assert similarities(frame, frame) == (1, 1)


def test_ms_ssim_needs_161_pixels_a_side_and_ssim_does_not():
    frame = noise((170, 180, 3))
    assert ms_ssim(frame, distorted(frame, 20)) is not None
    assert ms_ssim(frame[:160], frame[:160]) is None
    assert ms_ssim(frame[:, :160], frame[:, :160]) is None
    assert ssim(frame[:16, :16], frame[:16, :16]) == 1


def test_similarities_leave_the_callers_threads_alone():
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        ssim(noise((20, 20, 3)), noise((20, 20, 3), 1))
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(threads)


@pytest.mark.parametrize("size", [(6, 8), (5, 7), (1, 4)])
def test_psnr_of_planes_halves_chroma_sample_by_sample(size):
    reference, other = noise((3, *size)), noise((3, *size), 1)

    def halved(plane):
        rows, columns = -(-size[0] // 2), -(-size[1] // 2)
        small = np.zeros((rows, columns))
        for y in range(rows):
            for x in range(columns):
                down, right = min(2 * y + 1, size[0] - 1), min(2 * x + 1, size[1] - 1)
                corners = [(2 * y, 2 * x), (2 * y, right), (down, 2 * x), (down, right)]
                small[y, x] = np.mean([float(plane[corner]) for corner in corners])
        return small

    pairs = [(reference[0].astype(float), other[0].astype(float))]
    pairs += [(halved(a), halved(b)) for a, b in zip(reference[1:], other[1:], strict=True)]
    expected = [10 * np.log10(255**2 / np.mean((a - b) ** 2)) for a, b in pairs]
    assert psnr_planes(reference, other) == pytest.approx(expected)
    assert psnr_planes(reference, reference) == (100, 100, 100)


def test_pooling():
    assert psnr_yuv(30, 40, 50) == 33.75
    assert harmonic_mean([50, 50, 50]) == pytest.approx(50)
    assert harmonic_mean([0, 99]) == pytest.approx(2 / (1 / 1 + 1 / 100) - 1)
    assert low_percentile([*range(101)]) == 1
    assert low_percentile([7]) == 7
    assert low_percentile([10, 20]) == pytest.approx(10.1)


def test_bits_per_pixel():
    assert bits_per_pixel(1000, 10, 10, 8) == 10


def test_the_mean_over_frames_is_that_of_their_values_one_by_one():
    frames = noise((3, 170, 176, 3))
    others = np.stack([distorted(frame, strength) for frame, strength in zip(frames, (2, 9, 30), strict=True)])
    done: list[int] = []
    quality = mean_quality(iter(frames), iter(others), on_frame=done.append)
    assert quality.psnr == pytest.approx(np.mean([psnr(*pair) for pair in zip(frames, others, strict=True)]))
    assert quality.psnr > psnr(frames, others) + 1  # which the worst frame decides
    assert quality.ms_ssim == pytest.approx(np.mean([ms_ssim(*pair) for pair in zip(frames, others, strict=True)]))
    assert done == [1, 2, 3]
    assert mean_quality(frames, others, multiscale=False) == Quality(quality.psnr)


def test_the_mean_counts_the_known_pixels_alone():
    frames = noise((4, 20, 24, 3))
    others, known = frames.copy(), np.ones((4, 20, 24), bool)
    known[1::2, :10], known[::2, 10:] = False, False
    others[..., 0] ^= 1  # an error of 1 in one of three channels
    expected = 10 * np.log10(255**2 * 3)
    others[~known] = 255 - frames[~known]  # of no account
    assert mean_quality(frames, others, known=known).psnr == pytest.approx(expected)
    assert mean_quality(frames, others, known=known).ms_ssim is None
    one = known[:1]
    others = frames.copy()
    others[:, ~one[0]] = 255 - frames[:, ~one[0]]
    assert mean_quality(frames, others, known=one).psnr == PSNR_CAP  # one mask stands for all frames


@pytest.mark.parametrize("counts", [(0, 0), (2, 3), (3, 2)])
def test_no_mean_of_no_frames_or_of_unequal_numbers_of_them(counts):
    with pytest.raises(ValueError, match="no frames|argument 2 is"):
        mean_quality(*(noise((count, 8, 8, 3)) for count in counts))
