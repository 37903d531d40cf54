"""Optimisers that are tried beside those of the product, each written plainly."""

from typing import Any

import torch
from torch import Tensor


class Soap(torch.optim.Optimizer):
    """SOAP (Vyas et al., 2024), one-sided: Adam in the eigenbasis of the smaller side's second moments.

    The basis follows by one round of power iteration and QR every `every` steps.
    """

    def __init__(self, parameters: Any, *, lr: float, beta: float = 0.95, every: int = 10) -> None:
        super().__init__(parameters, {"lr": lr, "beta": beta, "every": every})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for parameter in group["params"]:
                self._update(parameter, group["lr"], group["beta"], group["every"])

    def _update(self, parameter: Tensor, lr: float, beta: float, every: int) -> None:
        assert parameter.grad is not None
        gradient = parameter.grad.flatten(1)
        tall = gradient.shape[0] > gradient.shape[1]
        gradient = gradient.mT if tall else gradient
        state = self.state[parameter]
        if not state:
            moments = gradient @ gradient.mT
            state |= {"step": 0, "moments": moments, "basis": torch.linalg.eigh(moments).eigenvectors}
            state |= {"mean": torch.zeros_like(gradient), "square": torch.zeros_like(gradient)}
        state["step"] += 1
        basis = state["basis"]
        state["mean"].lerp_(gradient, 1 - beta)
        state["square"].lerp_((basis.mT @ gradient).square(), 1 - beta)
        correct = 1 - beta ** state["step"]
        update = basis.mT @ state["mean"] / correct / ((state["square"] / correct).sqrt() + 1e-8)
        update = basis @ update
        parameter.sub_((update.mT if tall else update).reshape(parameter.shape), alpha=lr)
        state["moments"].lerp_(gradient @ gradient.mT, 1 - beta)
        if state["step"] % every == 0:
            state["basis"] = torch.linalg.qr(state["moments"] @ basis).Q


class ScheduleFree(torch.optim.Optimizer):
    """Schedule-free Adam (Defazio et al., 2024): gradients between a fast iterate and the mean of its past."""

    def __init__(self, parameters: Any, *, lr: float, betas: tuple[float, float]) -> None:
        super().__init__(parameters, {"lr": lr, "betas": betas})
        self.weights, self.steps = 0.0, 0

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        self.steps += 1
        for group in self.param_groups:
            (beta1, beta2), lr = group["betas"], group["lr"]
            self.weights += lr**2
            share = lr**2 / self.weights
            for y in group["params"]:
                state = self.state[y]
                if not state:
                    state |= {"fast": y.clone(), "mean": y.clone(), "square": torch.zeros_like(y)}
                state["square"].lerp_(y.grad.square(), 1 - beta2)
                scale = (state["square"] / (1 - beta2**self.steps)).sqrt() + 1e-8
                state["fast"].addcdiv_(y.grad, scale, value=-lr)
                state["mean"].lerp_(state["fast"], share)
                y.copy_(state["fast"].lerp(state["mean"], beta1))

    @torch.no_grad()
    def settle(self) -> None:
        """Put the mean in the place of the parameters."""
        for parameter, state in self.state.items():
            parameter.copy_(state["mean"])


class Together:
    """Several optimisers as one, each group at its "peak" times the rate of the schedule."""

    def __init__(self, optimizers: list[torch.optim.Optimizer]) -> None:
        self._optimizers = optimizers

    def set_rate(self, rate: float) -> None:
        for optimizer in self._optimizers:
            for group in optimizer.param_groups:
                group["lr"] = group["peak"] * rate

    def zero_grad(self) -> None:
        for optimizer in self._optimizers:
            optimizer.zero_grad()

    def step(self) -> None:
        for optimizer in self._optimizers:
            optimizer.step()

    def settle(self) -> None:
        """After the last step: what counts takes the place of the parameters."""
        for optimizer in self._optimizers:
            if isinstance(optimizer, ScheduleFree):
                optimizer.settle()
