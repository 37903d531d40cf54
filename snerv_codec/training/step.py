"""One step of training: some frames, their loss, and what the parameters learn from it."""

from typing import Protocol

import torch
from torch import Tensor, nn

from snerv_codec.runtime.precision import Precision, computing, kernels
from snerv_codec.training.frames import FrameSet
from snerv_codec.training.losses import Loss
from snerv_codec.training.networks import Networks, psnr
from snerv_codec.training.quantizers import RateQuantizer


class Optimizer(Protocol):
    """What a step asks of an optimiser, or of several that act as one."""

    def zero_grad(self) -> None:
        """Forget the gradients."""

    def step(self) -> object:
        """Update the parameters by their gradients."""


class Step:
    """Makes `networks` learn from some of `frames` by `optimizer`, at the learning rates in its groups.

    With a quantiser that knows the rate, the loss has the term "rate" too, in bits a value, weighed by `rate_weight`,
    a tensor. `clip` bounds the norm of the gradient, that of the quantiser's steps left out; None does not. Networks
    compute in `precision`, which is not "auto".

    A CUDA graph can hold a step: the host waits for nothing, everything is updated in place, and all that changes from
    step to step or epoch to epoch is a tensor: learning rates, `rate_weight`, the quantiser's buffers.
    """

    def __init__(
        self,
        networks: Networks,
        frames: FrameSet,
        optimizer: Optimizer,
        loss: Loss,
        rate_weight: Tensor,
        *,
        clip: float | None = 1.0,
        precision: Precision = "float32",
    ) -> None:
        self.networks, self.frames, self.optimizer = networks, frames, optimizer
        self.loss, self.rate_weight, self.clip, self.precision = loss, rate_weight, clip, precision

    @property
    def names(self) -> tuple[str, ...]:
        """What a call returns."""
        rate = ("rate",) if isinstance(self.networks.quantizer, RateQuantizer) else ()
        return ("loss", "psnr", *self.loss.names, *rate)

    def __call__(self, indices: Tensor) -> Tensor:
        """Learn from the frames at `indices`, (N,). The loss, their mean PSNR in dB, and each term of the loss."""
        networks = self.networks
        with kernels(self.precision, self.frames.device, fixed_shapes=True):
            terms, quality = self._forward(indices)
            loss = self._weigh(terms)
            self.optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            if self.clip is not None:
                nn.utils.clip_grad_norm_(networks.learners.parameters(), self.clip)
            self.optimizer.step()
            networks.apply_masks()
            return torch.stack((loss.detach(), quality, *(term.detach() for term in terms.values())))

    def _forward(self, indices: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        """The terms of the loss, by name, and the mean PSNR."""
        networks, frames = self.networks, self.frames
        batch = networks.batch(frames, indices)
        with computing(self.precision, frames.device, fixed_shapes=True):
            values = networks.values(networks.embed(batch))
            prediction = batch.judged(frames.crop(networks.render(values, batch.side)))
        terms = self.loss.terms_of(prediction, batch.target)
        if isinstance(networks.quantizer, RateQuantizer):
            terms["rate"] = networks.quantizer.bits(values, batch.rows)
        with torch.no_grad():
            return terms, psnr(prediction.frame.clamp(0, 1), batch).mean()

    def _weigh(self, terms: dict[str, Tensor]) -> Tensor:
        weights: dict[str, float | Tensor] = {**self.loss.weights, "rate": self.rate_weight}
        first, *others = (weights[name] * term for name, term in terms.items())
        return sum(others, start=first)
