import numpy as np
import pytest
import pywt
import torch

from snerv_codec.model.wavelet import dwt, idwt, smooth_idwt


def test_subbands_are_those_of_pywavelets():
    image = torch.rand(3, 10, 14, dtype=torch.float64)
    ll, details = pywt.dwt2(image.numpy(), "haar")
    for ours, theirs in zip(dwt(image), (ll, *details), strict=True):
        np.testing.assert_allclose(ours.numpy(), theirs, atol=1e-12)


def test_inverse_restores_the_image_and_energy_is_kept():
    image = torch.rand(2, 3, 32, 46)
    bands = dwt(image)
    torch.testing.assert_close(idwt(*bands), image, atol=1e-6, rtol=0)
    assert sum((band**2).sum() for band in bands).item() == pytest.approx((image**2).sum().item(), rel=1e-5)


def test_odd_sizes_are_refused():
    with pytest.raises(ValueError, match="even"):
        dwt(torch.zeros(3, 5, 4))


def test_the_smooth_wavelet_is_that_of_pywavelets_away_from_the_border():
    image = np.random.default_rng(0).random((24, 32))
    ll, (lh, hl, hh) = pywt.dwt2(image, "bior2.2", "periodization")
    bands = (torch.from_numpy(band) for band in (ll / 2, -lh, -hl, 2 * hh))  # of other scales and signs
    np.testing.assert_allclose(smooth_idwt(*bands).numpy()[4:-4, 4:-4], image[4:-4, 4:-4], atol=1e-12)


def test_without_details_the_smooth_wavelet_draws_lines_between_places():
    low = torch.tensor([[1.0, 3.0, 2.0]])
    shown = smooth_idwt(low, *[torch.zeros(1, 3)] * 3)
    assert shown.tolist() == [[1.0, 2.0, 3.0, 2.5, 2.0, 2.0]] * 2
