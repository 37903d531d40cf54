import numpy as np
import pytest
import pywt
import torch

from snerv_codec.model.wavelet import dwt, idwt


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
