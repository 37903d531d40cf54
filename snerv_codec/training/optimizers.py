"""Optimisers of a fit: Adam as in the paper, and Muon (Jordan et al., 2024) for kernels between features.

A convolution's kernel is a matrix from (input channels · window) to output channels. Adam scales each of its
entries by itself; Muon replaces the matrix of momentum by the nearest orthogonal one, so that every direction in it
moves by as much. The size of its updates is that of Adam's (Liu et al., 2025, section 2.2).
"""

from collections.abc import Iterable, Iterator
from functools import partial
from itertools import groupby
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.adam import adam

from snerv_codec.training.settings import OptimizerName

# Newton-Schulz: an odd quintic that takes singular values in (0, 1] towards 1, close enough after five rounds.
QUINTIC = (3.4445, -4.7750, 2.0315)
ROUNDS = 5
ADAM_SIZE = 0.2  # root mean square of Adam's updates, as a multiple of its learning rate
# With Muon, the rates of hidden kernels and of the rest, which has Adam, as multiples of the learning rate. From
# `benchmarks.trials.schedules`, where Adam alone does best at the second too.
HIDDEN_RATE, REST_RATE = 8.0, 3.0
PICTURE_DIMS = 3  # axes of a canvas
MIN_SIDE = 12  # a matrix with fewer rows or columns is a head, or a filter on single channels
EPS = 1e-7
_ADAM = partial(adam, fused=True, amsgrad=False, maximize=False, weight_decay=0.0, eps=1e-8)


def parameter_groups(name: OptimizerName, networks: nn.Module) -> list[dict[str, Any]]:
    """The parameters of networks by how the optimiser called `name` treats them.

    A group's rate is "scale" times the learning rate.
    """
    parameters = list(networks.parameters())
    if name == "adam":
        return [{"params": parameters, "scale": 1.0}]
    hidden, rest = ([p for p in parameters if is_hidden(p) == wanted] for wanted in (True, False))
    groups = [{"params": hidden, "scale": HIDDEN_RATE, "hidden": True}, {"params": rest, "scale": REST_RATE}]
    return [group for group in groups if group["params"]]  # a narrow decoder has no kernel that is hidden


def make_optimizer(name: OptimizerName, groups: list[dict[str, Any]], *, capturable: bool) -> torch.optim.Optimizer:
    """The optimiser called `name` for groups that have their rates, "lr"; `capturable` by a CUDA graph if need be."""
    return torch.optim.Adam(groups, fused=True, capturable=capturable) if name == "adam" else Muon(groups)


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Set each group's learning rate, a tensor, to its "scale" of `rate`: in place, for captured steps to see."""
    for group in optimizer.param_groups:
        group["lr"].fill_(rate * group["scale"])


def is_hidden(parameter: Tensor) -> bool:
    """Whether a parameter is a matrix from features to features: no vector, picture, head or depthwise filter."""
    matrix = parameter.dim() > 1 and parameter.dim() != PICTURE_DIMS
    return matrix and min(*parameter.shape[:2], parameter[0].numel()) >= MIN_SIDE


def orthogonalize(matrices: Tensor) -> Tensor:
    """U·Vᵀ of each matrix U·S·Vᵀ of (N, rows, columns), roughly: singular values between 0.65 and 1.25.

    Those below a few hundredths of the norm stay smaller; a zero matrix stays zero.
    """
    tall = matrices.shape[-2] > matrices.shape[-1]
    x = matrices.mT if tall else matrices
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + EPS)
    a, b, c = QUINTIC
    for _ in range(ROUNDS):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)  # aX + (bG + cG²)X
    matrices = x.mT if tall else x
    return matrices


class Muon(torch.optim.Optimizer):
    """Muon with Nesterov momentum for the groups that are "hidden", Adam for the others.

    A step takes no decision on a tensor's values, and the learning rate may be a tensor: a CUDA graph can hold it.
    """

    def __init__(
        self,
        parameters: Iterable[nn.Parameter] | Iterable[dict[str, Any]],
        *,
        lr: float | Tensor = 1e-3,
        momentum: float = 0.95,
        betas: tuple[float, float] = (0.9, 0.999),
        hidden: bool = False,
    ) -> None:
        super().__init__(parameters, {"lr": lr, "momentum": momentum, "betas": betas, "hidden": hidden})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Update every parameter that has a gradient."""
        for group in self.param_groups:
            trained = [parameter for parameter in group["params"] if parameter.grad is not None]
            if group["hidden"]:
                for alike in _by_shape(trained):
                    self._muon(alike, group["lr"], group["momentum"])
            elif trained:
                self._adam(trained, group["lr"], *group["betas"])

    def _muon(self, parameters: list[Tensor], rate: float | Tensor, momentum: float) -> None:
        """Update hidden kernels of one shape together."""
        gradients, means = _gradients(parameters), self._states(parameters, "momentum")
        torch._foreach_lerp_(means, gradients, 1 - momentum)
        ahead = torch._foreach_lerp(gradients, means, momentum)
        updates = orthogonalize(torch.stack([update.flatten(1) for update in ahead]))
        updates = updates * (-ADAM_SIZE * max(updates.shape[-2:]) ** 0.5 * rate)
        torch._foreach_add_(parameters, list(updates.view(-1, *parameters[0].shape)))

    def _adam(self, parameters: list[Tensor], rate: float | Tensor, beta1: float, beta2: float) -> None:
        means, squares = (self._states(parameters, name) for name in ("exp_avg", "exp_avg_sq"))
        steps = [self.state[parameter].setdefault("step", _zero(parameter)) for parameter in parameters]
        _ADAM(parameters, _gradients(parameters), means, squares, [], steps, lr=rate, beta1=beta1, beta2=beta2)

    def _states(self, parameters: list[Tensor], name: str) -> list[Tensor]:
        """What is remembered of each parameter under `name`, zero at first."""
        for parameter in parameters:
            if name not in self.state[parameter]:
                self.state[parameter][name] = torch.zeros_like(parameter)
        return [self.state[parameter][name] for parameter in parameters]


def _by_shape(parameters: Iterable[Tensor]) -> Iterator[list[Tensor]]:
    """The parameters of one shape together."""
    for _, group in groupby(sorted(parameters, key=_shape), key=_shape):
        yield list(group)


def _shape(parameter: Tensor) -> tuple[int, ...]:
    return tuple(parameter.shape)


def _gradients(parameters: Iterable[Tensor]) -> list[Tensor]:
    return [parameter.grad for parameter in parameters if parameter.grad is not None]


def _zero(parameter: Tensor) -> Tensor:
    return torch.zeros((), device=parameter.device)
