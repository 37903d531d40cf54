"""Muon: momentum made orthogonal, for kernels between wide features (Jordan et al., 2024).

A convolution's kernel is a matrix from (input channels x window) to output channels. Adam scales each of its
entries alone; Muon replaces the matrix of momentum by the nearest orthogonal one, so that every direction in it
moves by as much. The size of its update is Adam's (Liu et al., 2025, section 2.2), and so one rate serves both.
"""

from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import Any

import torch
from torch import Tensor, nn

# Newton-Schulz: a quintic that takes singular values in (0, 1] towards 1, close enough after five rounds.
QUINTIC = (3.4445, -4.7750, 2.0315)
ROUNDS = 5
ADAM_SIZE = 0.2  # root mean square of Adam's updates, in the learning rate
MIN_SIDE = 12  # a matrix with fewer rows or columns is a head, or a filter on single channels
EPS = 1e-7


def orthogonalize(matrices: Tensor) -> Tensor:
    """U·Vᵀ of each matrix U·S·Vᵀ of (N, rows, columns), roughly: singular values between 0.65 and 1.25.

    Those that are less than a few thousandths of the norm stay below; a zero matrix stays zero.
    """
    tall = matrices.shape[-2] > matrices.shape[-1]
    x = matrices.mT if tall else matrices
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + EPS)
    a, b, c = QUINTIC
    for _ in range(ROUNDS):
        gram = x @ x.mT
        x = a * x + torch.baddbmm(b * gram, gram, gram, alpha=c) @ x
    return x.mT if tall else x


def is_hidden(parameter: Tensor) -> bool:
    """Whether a parameter is a matrix from features to features: neither a vector nor a head or a depthwise filter."""
    return parameter.dim() > 1 and min(parameter.shape[0], parameter[0].numel(), *parameter.shape[:2]) >= MIN_SIDE


class Muon(torch.optim.Optimizer):
    """Muon with Nesterov momentum. Steps take no decision on a tensor's values, so a CUDA graph can hold them."""

    def __init__(
        self, parameters: Iterable[nn.Parameter] | Iterable[dict[str, Any]], *, lr: float, momentum: float = 0.95
    ) -> None:
        super().__init__(parameters, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """One update of every parameter that has a gradient."""
        for group in self.param_groups:
            for parameters in _alike(group["params"]):
                self._update(parameters, group["lr"], group["momentum"])

    def _update(self, parameters: list[Tensor], rate: float | Tensor, momentum: float) -> None:
        """Update parameters of one shape."""
        gradients = [parameter.grad for parameter in parameters]
        moments = [self._momentum(parameter) for parameter in parameters]
        torch._foreach_lerp_(moments, gradients, 1 - momentum)
        ahead = torch._foreach_lerp(gradients, moments, momentum)
        updates = orthogonalize(torch.stack([moment.flatten(1) for moment in ahead]))
        updates = updates * (-ADAM_SIZE * max(updates.shape[-2:]) ** 0.5 * rate)
        torch._foreach_add_(parameters, [update.view_as(parameters[0]) for update in updates])

    def _momentum(self, parameter: Tensor) -> Tensor:
        state = self.state[parameter]
        if not state:
            state["momentum"] = torch.zeros_like(parameter)
        momentum: Tensor = state["momentum"]
        return momentum


def _alike(parameters: Iterable[Tensor]) -> Iterator[list[Tensor]]:
    """The parameters that have gradients, those of one shape together."""
    trained = [parameter for parameter in parameters if parameter.grad is not None]
    for _, group in groupby(sorted(trained, key=lambda p: tuple(p.shape)), key=lambda p: tuple(p.shape)):
        yield list(group)
