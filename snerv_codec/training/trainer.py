"""Fitting an encoder and a decoder to one video (paper, section 3.3)."""

import json
import math
import time
from collections.abc import Callable, Iterable, Iterator

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from bitstream.types import DecoderConfig
from snerv_codec.errors import SettingsError
from snerv_codec.events import EpochDone
from snerv_codec.model.blocks import place
from snerv_codec.model.decoder import Prediction, to_pixels
from snerv_codec.model.variants import build_networks
from snerv_codec.training.checkpoint import Checkpoint
from snerv_codec.training.frames import Batch, FrameSet
from snerv_codec.training.losses import fitting_loss
from snerv_codec.training.settings import FitSettings, Phase

WARMUP_START = 0.1
EMBED_CHUNK = 8


class Trainer:
    """A model on its way: networks, optimiser, and the place in the schedule.

    The order of the frames depends on seed, phase and epoch alone, so the state after an epoch is all
    that going on from there needs.
    """

    def __init__(self, frames: FrameSet, config: DecoderConfig, settings: FitSettings) -> None:
        torch.manual_seed(settings.seed)
        self.frames, self.settings = frames, settings
        self.encoder, self.decoder = build_networks(config, frames.variant)
        self.networks = nn.ModuleDict({"encoder": self.encoder, "decoder": self.decoder})
        place(self.networks, frames.device)
        self.masks: dict[str, Tensor] = {}
        self.phase, self.epoch = "", 0
        self.results: dict[str, float] = {}
        self._start_optimizer()

    def run(
        self,
        phase: Phase,
        *,
        checkpoint: Checkpoint | None = None,
        on_epoch: Callable[[EpochDone], None] = lambda event: None,
    ) -> None:
        """Run `phase` to its end, from the epoch where a restored state stands; nothing if it was finished.

        The PSNR that it ends with is kept in `results`. Raises `SettingsError` for a fit that diverges; what
        was saved before stays.
        """
        if phase.name in self.results:
            return
        if self.phase != phase.name:
            self.phase, self.epoch = phase.name, 0
            self._start_optimizer()
        while self.epoch < phase.epochs:
            start = time.perf_counter()
            loss, psnr = self._run_epoch(phase)
            self.epoch += 1
            self._require_finite(loss)
            if checkpoint is not None:
                checkpoint.save(self.state())
            seconds = time.perf_counter() - start
            on_epoch(EpochDone(phase.name, self.epoch, phase.epochs, loss, psnr, seconds))
        self.results[phase.name] = self.psnr()
        if checkpoint is not None:
            checkpoint.save(self.state())

    def hold_zeros(self, masks: dict[str, Tensor]) -> None:
        """Set the decoder's parameters to zero where their mask is false, and keep them there."""
        self.masks = masks
        self._apply_masks()

    @torch.no_grad()
    def embeddings(self) -> tuple[Tensor, ...]:
        """The embeddings of the fitted frames: (T, *shape) for each of the configuration's embedding shapes."""
        parts = [self.encoder(self.frames.batch(i).inputs) for i in torch.split(self.frames.fitted, EMBED_CHUNK)]
        return tuple(torch.cat(part) for part in zip(*parts, strict=True))

    @torch.no_grad()
    def psnr(self) -> float:
        """Mean PSNR (dB) of the fitted frames, rounded to 8 bits, by the networks as they are."""
        total = torch.zeros((), device=self.frames.device)
        for indices in torch.split(self.frames.fitted, self.settings.batch):
            batch = self.frames.batch(indices)
            frame = to_pixels(self._predict(batch).frame).float() / 255
            total += _psnr(frame, batch).sum()
        return total.item() / len(self.frames.fitted)

    @torch.no_grad()
    def pictures(self, numbers: Iterable[int]) -> Iterator[npt.NDArray[np.uint8]]:
        """Frames by their numbers, fitted or not, through encoder and decoder as they are: uint8 (H, W, 3)."""
        for number in numbers:
            batch = self.frames.batch(torch.tensor([number], device=self.frames.frames.device))
            yield to_pixels(self._predict(batch).frame)[0].permute(1, 2, 0).cpu().numpy()

    def state(self) -> dict[str, Tensor | str | int]:
        """Everything that `restore` needs, as plain tensors, text and integers."""
        state: dict[str, Tensor | str | int] = {
            "phase": self.phase,
            "epoch": self.epoch,
            "results": json.dumps(self.results),
        }
        for name, parameter in self.networks.named_parameters():
            state[f"weight:{name}"] = parameter.detach()
            for key, value in self.optimizer.state.get(parameter, {}).items():
                state[f"{key}:{name}"] = value
        return state

    def restore(self, state: dict[str, Tensor | str | int]) -> None:
        """Go back to where `state` was taken, with the same frames, configuration and settings."""
        self.phase, self.epoch = str(state["phase"]), int(state["epoch"])
        self.results = json.loads(str(state["results"]))
        self._start_optimizer()
        with torch.no_grad():
            for name, parameter in self.networks.named_parameters():
                parameter.copy_(_tensor(state, f"weight:{name}"))
                if f"step:{name}" not in state:
                    continue  # saved before the phase's first step
                self.optimizer.state[parameter] = {
                    "step": _tensor(state, f"step:{name}").clone(),
                    "exp_avg": torch.empty_like(parameter).copy_(_tensor(state, f"exp_avg:{name}")),
                    "exp_avg_sq": torch.empty_like(parameter).copy_(_tensor(state, f"exp_avg_sq:{name}")),
                }

    def _start_optimizer(self) -> None:
        self.optimizer = torch.optim.Adam(self.networks.parameters(), lr=self.settings.learning_rate, fused=True)

    def _run_epoch(self, phase: Phase) -> tuple[float, float]:
        batches = self._shuffled(phase)
        totals = torch.zeros(2, device=self.frames.device)
        for number, indices in enumerate(batches):
            done = (self.epoch + number / len(batches)) / phase.epochs
            self.optimizer.param_groups[0]["lr"] = learning_rate(phase, done)
            totals += self._step(indices)
        loss, psnr = (totals / len(batches)).tolist()  # the epoch's only wait for the device
        return loss, psnr

    @torch.no_grad()
    def _require_finite(self, loss: float) -> None:
        norm = nn.utils.get_total_norm(self.networks.parameters())  # the last step's harm is not in the loss yet
        if not math.isfinite(loss + norm.item()):
            raise SettingsError(
                f"the fit diverged in epoch {self.epoch} of phase {self.phase!r} (learning rate "
                f"{self.settings.learning_rate:g}); start again with a lower one (--lr)"
            )

    def _step(self, indices: Tensor) -> Tensor:
        batch = self.frames.batch(indices)
        prediction, settings = batch.judged(self._predict(batch)), self.settings
        loss = fitting_loss(prediction, batch.target, settings.alpha, bands=settings.bands, squared=settings.squared)
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.networks.parameters(), self.settings.clip)
        self.optimizer.step()
        self._apply_masks()
        psnr = _psnr(prediction.frame.detach().clamp(0, 1), batch)
        return torch.stack((loss.detach(), psnr.mean()))

    def _predict(self, batch: Batch) -> Prediction:
        return self.frames.crop(self.decoder(self.encoder(batch.inputs), batch.ll_range))

    def _shuffled(self, phase: Phase) -> tuple[Tensor, ...]:
        position = [self.settings.seed, *phase.name.encode(), self.epoch]
        generator = torch.Generator().manual_seed(_mix(position))
        order = torch.randperm(len(self.frames.fitted), generator=generator)
        return torch.split(self.frames.fitted[order.to(self.frames.fitted.device)], self.settings.batch)

    @torch.no_grad()
    def _apply_masks(self) -> None:
        for name, parameter in self.decoder.named_parameters():
            if name in self.masks:
                parameter.mul_(self.masks[name])


def learning_rate(phase: Phase, done: float) -> float:
    """Rate at the share `done` (0..1) of a phase: linear warm-up from 10 %, then cosine to 0."""
    if done < phase.warmup:
        return phase.learning_rate * (WARMUP_START + (1 - WARMUP_START) * done / phase.warmup)
    return phase.learning_rate * (1 + math.cos(math.pi * (done - phase.warmup) / (1 - phase.warmup))) / 2


def _psnr(image: Tensor, batch: Batch) -> Tensor:
    """PSNR (dB) of each image of a batch, (N,), over what is known; at most 100, as in `metrics`."""
    error = (image - batch.target.frame).square()
    if batch.known is None:
        error = error.mean(dim=(1, 2, 3))
    else:
        known = batch.known.frame.expand_as(error)
        error = (error * known).sum(dim=(1, 2, 3)) / known.sum(dim=(1, 2, 3))
    return -10 * error.clamp_min(1e-10).log10()


def _mix(values: Iterable[int]) -> int:
    """A seed from several integers (FNV-1a over them), the same on every machine."""
    seed = 0xCBF29CE484222325
    for value in values:
        seed = ((seed ^ value) * 0x100000001B3) % (1 << 63)
    return seed


def _tensor(state: dict[str, Tensor | str | int], key: str) -> Tensor:
    value = state[key]
    assert isinstance(value, Tensor)
    return value
