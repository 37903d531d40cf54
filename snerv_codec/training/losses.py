"""The loss of a fit: named terms with weights. The paper's (section 3.3) is L1 and SSIM, of frame and subbands."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from snerv_codec.model.decoder import Prediction

WINDOW = 11
SIGMA = 1.5
C1, C2 = 0.01**2, 0.03**2  # for a data range of 1
LUMA = (0.2126, 0.7152, 0.0722)  # of R, G and B
LEAST_ERROR = 1e-10  # squared, of a perfect image, as in metrics
LATE_WEIGHT = 0.02  # for each part that was judged before: a change of the picture weighs about as much, at 30 dB
BLOCK = 32  # columns that are blurred at a time


Part = Literal["frame", "luma", "low", "high"]
Measure = Literal["l1", "l2", "log l2", "dssim"]


@dataclass(frozen=True, slots=True)
class Term:
    """A distance between a part of a `Prediction` and the same part of its target, and its weight in the loss.

    "luma" is that of the frame, by ITU-R BT.709.

    "l1" is mean|a − b|, "l2" the mean of (a − b)², "log l2" the logarithm of each image's "l2", their mean: PSNR over
    −4.34 dB. "dssim" is 1 − SSIM(a, b). The term counts `since` one share of a phase `until` another: by default from
    its start, 0, to its end, 1.
    """

    part: Part
    measure: Measure
    weight: float
    since: float = 0.0
    until: float = 1.0

    @property
    def name(self) -> str:
        """ "frame l1" and the like."""
        return f"{self.part} {self.measure}"

    def __call__(self, prediction: Prediction, target: Prediction) -> Tensor:
        """The distance, a scalar without its weight; data range 1."""
        return MEASURES[self.measure](_part(prediction, self.part), _part(target, self.part))


@dataclass(frozen=True, slots=True)
class Loss:
    """A weighted sum of distances."""

    terms: tuple[Term, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Those of the terms."""
        return tuple(term.name for term in self.terms)

    @property
    def weights(self) -> dict[str, float]:
        """Those of the terms, by name."""
        return {term.name: term.weight for term in self.terms}

    def at(self, done: float) -> "Loss":
        """The terms that count at the share `done` of a phase, 0 to 1."""
        return Loss(tuple(term for term in self.terms if term.since <= done < term.until))

    def terms_of(self, prediction: Prediction, target: Prediction) -> dict[str, Tensor]:
        """Each term by name, without its weight."""
        return {term.name: term(prediction, target) for term in self.terms}

    def __call__(self, prediction: Prediction, target: Prediction) -> Tensor:
        """The sum, a scalar."""
        terms = self.terms_of(prediction, target)
        return torch.stack([weight * terms[name] for name, weight in self.weights.items()]).sum()


def fitting_loss(
    alpha: float, *, bands: bool = True, squared: bool = False, luma: float = 0.0, late: float = 0.0
) -> Loss:
    """The paper's: alpha · L1 + (1 − alpha) · (1 − SSIM) of frame, LL scaled to [0, 1], and LH, HL, HH stacked.

    Without `bands` it is that of the frame alone; `squared` puts the mean squared error in the place of L1, and of the
    frame's terms the luma gets the share `luma`. In the last share `late` of a phase the loss is the logarithm of the
    frame's squared error.
    """
    parts: tuple[Part, ...] = ("frame", "low", "high") if bands else ("frame",)
    mix: list[tuple[Measure, float]] = [("l2" if squared else "l1", alpha), ("dssim", 1 - alpha)]
    shares: dict[Part, float] = {part: 1.0 for part in parts}
    if luma:
        shares |= {"frame": 1 - luma, "luma": luma}
    since = 1 - late
    terms = [Term(part, measure, shares[part] * weight, until=since) for part in shares for measure, weight in mix]
    terms = [term for term in terms if term.weight]
    if late:
        terms.append(Term("frame", "log l2", LATE_WEIGHT * len(parts), since=since))
    return Loss(tuple(terms))


def _part(prediction: Prediction, name: Part) -> Tensor:
    if name == "luma":
        red, green, blue = torch.split(prediction.frame, 1, dim=1)
        return LUMA[0] * red + LUMA[1] * green + LUMA[2] * blue
    part: Tensor = getattr(prediction, name)
    return part


def ssim(image: Tensor, target: Tensor) -> Tensor:
    """Mean SSIM with an 11x11 Gaussian window (σ = 1.5), no padding; the window shrinks on tiny images.

    Differentiable in `image` alone.
    """
    value: Tensor = _Ssim.apply(image, target)  # type: ignore[no-untyped-call]
    return value


class _Ssim(torch.autograd.Function):
    """SSIM with its derivative written out: a third of the blurs that differentiating step by step takes.

    It needs four blurred maps: x, y, 2xy and x² + y². The last two have C1 + C2 on them, which a blur keeps. Maps do
    not fit a core's cache, so each pass over one counts.
    """

    @staticmethod
    def forward(ctx: Any, image: Tensor, target: Tensor) -> Tensor:
        sizes = tuple(_window(side) for side in image.shape[2:])
        maps = image.new_empty(4, *image.shape)
        maps[0], maps[1] = image, target
        x, y = maps[0], maps[1]
        c1, c12 = image.new_full((), C1), image.new_full((), C1 + C2)
        torch.addcmul(c12, x, y, value=2, out=maps[2])
        torch.addcmul(c12, x, x, out=maps[3]).addcmul_(y, y)
        mu_x, mu_y, product, squares = _filter(maps, sizes)
        a1 = torch.addcmul(c1, mu_x, mu_y, value=2)
        b1 = torch.addcmul(c1, mu_x, mu_x).addcmul_(mu_y, mu_y)
        b2 = squares.sub_(b1)
        structure = product.sub_(a1).div_(b2)
        luminance = a1.div_(b1)
        ctx.sizes = sizes
        ctx.save_for_backward(x, y, mu_x, mu_y, b1, b2, luminance, structure)
        return torch.dot(luminance.view(-1), structure.view(-1)) / luminance.numel()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        x, y, mu_x, mu_y, b1, b2, luminance, structure = ctx.saved_tensors
        maps = luminance.new_empty(3, *luminance.shape)
        by_mu, by_product, less_by_squares = maps
        torch.div(luminance, b2, out=by_product)
        torch.mul(by_product, structure, out=less_by_squares)
        by_a1 = structure / b1
        by_b1 = torch.addcmul(less_by_squares, luminance, by_a1, value=-1)
        torch.mul(mu_y, by_a1.sub_(by_product), out=by_mu).addcmul_(mu_x, by_b1)
        to_mu, to_product, less_to_squares = _filter(maps, ctx.sizes, adjoint=True)
        slope = to_mu.addcmul_(y, to_product).addcmul_(x, less_to_squares, value=-1)
        return slope.mul_(grad * (2 / luminance.numel())), None


def _dssim(image: Tensor, target: Tensor) -> Tensor:
    return 1 - ssim(image, target)


def _log_l2(image: Tensor, target: Tensor) -> Tensor:
    return (image - target).square().mean(dim=(1, 2, 3)).clamp_min(LEAST_ERROR).log().mean()


MEASURES: dict[Measure, Callable[[Tensor, Tensor], Tensor]] = {
    "l1": F.l1_loss,
    "l2": F.mse_loss,
    "log l2": _log_l2,
    "dssim": _dssim,
}


def _filter(maps: Tensor, sizes: tuple[int, ...], *, adjoint: bool = False) -> Tensor:
    """Gaussian windows of `sizes` without padding: contiguous (K, N, C, H, W) to (K, N, C, H − 10, W − 10).

    The adjoint goes the other way. On a CPU, convolving a few channels leaves most of each vector unit idle. There
    the columns of a map take the place of channels for the one direction; the other is a product with a banded matrix.
    """
    padding = [size - 1 if adjoint else 0 for size in sizes]
    tall, wide = (_gaussian(size, maps.dtype, maps.device) for size in sizes)
    if maps.is_cuda:
        planes = maps.flatten(0, 1)
        channels = planes.shape[1]
        planes = F.conv2d(
            planes, tall.view(1, 1, -1, 1).repeat(channels, 1, 1, 1), None, 1, (padding[0], 0), 1, channels
        )
        planes = F.conv2d(
            planes, wide.view(1, 1, 1, -1).repeat(channels, 1, 1, 1), None, 1, (0, padding[1]), 1, channels
        )
    else:
        planes = _along_width(_along_height(maps.flatten(0, 2), tall, padding[0]), sizes[1], padding[1])
    return planes.reshape(*maps.shape[:3], *planes.shape[-2:])


def _along_height(planes: Tensor, window: Tensor, padding: int) -> Tensor:
    """Convolve the columns of planes (P, H, W): a depthwise convolution with W channels, channels last."""
    count, height, width = planes.shape
    columns = planes.view(count, height, 1, width).permute(0, 3, 1, 2)
    kernel = window.view(1, 1, -1, 1).expand(width, -1, -1, -1)
    return F.conv2d(columns, kernel, padding=(padding, 0), groups=width).permute(0, 2, 3, 1).reshape(count, -1, width)


def _along_width(planes: Tensor, size: int, padding: int) -> Tensor:
    """Convolve the rows of planes (P, H, W): products of a few columns at a time with a banded matrix."""
    count, height, width = planes.shape
    band = _band(size, planes.dtype)
    rows, length = planes.reshape(count * height, width), width + 2 * padding - size + 1
    out = rows.new_empty(len(rows), length)
    for start in range(0, length, BLOCK):
        stop, first = min(start + BLOCK, length), start - padding
        left, right = max(first, 0), min(stop + size - 1 - padding, width)
        torch.mm(rows[:, left:right], band[left - first : right - first, : stop - start], out=out[:, start:stop])
    return out.view(count, height, length)


@cache
def _gaussian(size: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    x = torch.arange(size, dtype=dtype, device=device) - size // 2
    window = torch.exp(-(x**2) / (2 * SIGMA**2))
    return window / window.sum()


@cache
def _band(size: int, dtype: torch.dtype) -> Tensor:
    """The matrix (BLOCK + size − 1, BLOCK) on the CPU whose column i is the window from row i on."""
    window = _gaussian(size, dtype, torch.device("cpu"))
    return F.pad(window, (0, BLOCK)).repeat(BLOCK)[: BLOCK * (BLOCK + size - 1)].view(BLOCK, -1).t()


def _window(side: int) -> int:
    """Size of the window along a side: odd, and no larger than the side."""
    return min(WINDOW, side - 1 + side % 2)
