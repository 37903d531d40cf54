import math

import pytest
import torch
from pytorch_msssim import ssim as reference_ssim

from snerv_codec.errors import SettingsError
from snerv_codec.model.decoder import Prediction
from snerv_codec.training.losses import Loss, Term, fitting_loss, ssim
from snerv_codec.training.settings import FitSettings


@pytest.mark.parametrize("shape", [(1, 3, 40, 50), (2, 9, 11, 33)])
def test_ssim_is_that_of_the_library(shape):
    image = torch.rand(shape, dtype=torch.float64)
    target = (image + 0.2 * torch.randn(shape, dtype=torch.float64)).clamp(0, 1)
    expected = reference_ssim(image, target, data_range=1.0)
    assert ssim(image, target).item() == pytest.approx(expected.item(), abs=1e-7)


def test_the_window_fits_tiny_images():
    image = torch.rand(1, 3, 8, 9)
    assert ssim(image, image).item() == pytest.approx(1)
    assert ssim(image, 1 - image).item() < 0.5


def test_the_loss_is_nil_for_a_perfect_prediction_and_sums_its_parts():
    frame, low, high = torch.rand(1, 3, 32, 32), torch.rand(1, 3, 16, 16), torch.rand(1, 9, 16, 16) - 0.5
    perfect = Prediction(frame, low, high)
    assert fitting_loss(0.7)(perfect, perfect).item() == pytest.approx(0, abs=1e-6)
    shifted = Prediction(frame + 0.1, low, high)
    assert fitting_loss(1.0)(shifted, perfect).item() == pytest.approx(0.1, abs=1e-6)
    part = 0.7 * 0.1 + 0.3 * (1 - ssim(high + 0.1, high).item())
    assert fitting_loss(0.7)(Prediction(frame, low, high + 0.1), perfect).item() == pytest.approx(part)


def test_the_terms_of_the_ablations():
    frame, low, high = torch.rand(1, 3, 32, 32), torch.rand(1, 3, 16, 16), torch.rand(1, 9, 16, 16) - 0.5
    target, wrong = Prediction(frame, low, high), Prediction(frame + 0.1, low + 0.2, high)
    assert fitting_loss(1.0)(wrong, target).item() == pytest.approx(0.3, abs=1e-6)
    assert fitting_loss(1.0, bands=False)(wrong, target).item() == pytest.approx(0.1, abs=1e-6)
    assert fitting_loss(1.0, squared=True)(wrong, target).item() == pytest.approx(0.05, abs=1e-6)
    half = 0.5 * 0.1 + 0.5 * (1 - ssim(frame + 0.1, frame).item())
    assert fitting_loss(0.5, bands=False)(wrong, target).item() == pytest.approx(half, abs=1e-6)


def test_terms_have_names_and_count_in_their_share_of_a_phase():
    frame, low, high = torch.rand(1, 3, 32, 32), torch.rand(1, 3, 16, 16), torch.rand(1, 9, 16, 16) - 0.5
    target, wrong = Prediction(frame, low, high), Prediction(frame + 0.1, low + 0.2, high)
    loss = Loss((Term("frame", "l1", 0.5, until=0.8), Term("low", "l1", 2.0), Term("frame", "l2", 3.0, since=0.8)))
    assert loss.at(0.0).names == loss.at(0.79).names == ("frame l1", "low l1")
    assert loss.at(0.8).names == loss.at(0.99).names == ("low l1", "frame l2")
    assert loss.at(0.8)(wrong, target).item() == pytest.approx(2.0 * 0.2 + 3.0 * 0.01, abs=1e-6)
    found = {name: value.item() for name, value in loss.terms_of(wrong, target).items()}
    assert found == pytest.approx({"frame l1": 0.1, "low l1": 0.2, "frame l2": 0.01}, abs=1e-6)
    assert fitting_loss(0.7).names == tuple(f"{part} {m}" for part in ("frame", "low", "high") for m in ("l1", "dssim"))


def test_the_logarithm_of_squared_error_is_the_mean_psnr_of_the_images():
    image, target = torch.rand(3, 3, 20, 24), torch.rand(3, 3, 20, 24)
    image[1] = target[1] + 0.01  # a good one among bad ones tells the mean of PSNRs from the PSNR of a mean
    term = Term("frame", "log l2", 1.0)
    psnrs = [-10 * math.log10((image[i] - target[i]).square().mean().item()) for i in range(3)]
    found = term(Prediction(image), Prediction(target)).item()
    assert -10 / math.log(10) * found == pytest.approx(sum(psnrs) / 3, abs=1e-3)


def test_luma_may_weigh_more_than_colour():
    target = torch.full((1, 3, 16, 16), 0.5)
    shift = torch.tensor([0.7152, -0.2126, 0.0]).view(1, 3, 1, 1) / 10  # of colour alone
    grey = torch.full_like(shift, shift.abs().mean().item())  # as large a one of luma
    plain, tuned = (fitting_loss(1.0, bands=False, luma=luma) for luma in (0.0, 0.7))
    pairs = [(Prediction(target + each), Prediction(target)) for each in (shift, grey)]
    colour, both = (plain(*pair).item() for pair in pairs)
    assert colour == pytest.approx(both, rel=1e-4)
    colour, both = (tuned(*pair).item() for pair in pairs)
    assert colour == pytest.approx(0.3 * both, rel=1e-4)


def test_the_end_of_a_phase_may_go_by_squared_error():
    loss = fitting_loss(0.7, bands=False, late=0.25)
    assert loss.at(0.7).names == ("frame l1", "frame dssim")
    assert loss.at(0.8).names == ("frame log l2",)
    (late,), (all_parts,) = loss.at(0.8).terms, fitting_loss(0.7, late=0.25).at(0.8).terms
    assert all_parts.weight == 3 * late.weight  # a bit weighs as before against what three parts were


def test_what_a_fit_is_tuned_for_shifts_the_loss_between_error_and_structure():
    assert FitSettings().tuned.alpha == 0.7
    assert FitSettings(tune="ssim").tuned.alpha < 0.7
    assert FitSettings(tune="psnr", alpha=0.5).tuned.alpha == 0.5
    assert FitSettings(tune="psnr").tuned.late > FitSettings().tuned.late == 0
    with pytest.raises(SettingsError, match="tune 'eye' is not one of psnr, ssim, vmaf"):
        FitSettings.preset("default", tune="eye")


@pytest.mark.parametrize("shape", [(1, 2, 13, 16), (2, 3, 8, 12)])
def test_the_derivative_of_ssim_is_right(shape):
    image = torch.rand(shape, dtype=torch.float64, requires_grad=True)
    target = torch.rand(shape, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda x: ssim(x, target), (image,))
