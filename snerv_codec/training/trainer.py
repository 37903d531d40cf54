"""Fitting an encoder and a decoder to one video (paper, section 3.3)."""

import json
import math
import time
from collections.abc import Callable, Iterable, Iterator

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.func import functional_call

from bitstream.models import DecoderConfig
from snerv_codec.compression.prune import magnitude_masks
from snerv_codec.compression.values import Values, values_of
from snerv_codec.errors import SettingsError
from snerv_codec.events import EpochDone
from snerv_codec.model.blocks import place
from snerv_codec.model.decoder import Prediction, to_pixels
from snerv_codec.model.variants import build_networks
from snerv_codec.runtime.capture import Captured, Work
from snerv_codec.runtime.machine import require_compiler
from snerv_codec.runtime.precision import computing, fitting_precision, kernels
from snerv_codec.training.checkpoint import Checkpoint, Saver
from snerv_codec.training.frames import Batch, FrameSet
from snerv_codec.training.loop import ConstantRate, Controller, Moment
from snerv_codec.training.losses import fitting_loss
from snerv_codec.training.optimizers import STATE, make_optimizer, parameter_groups
from snerv_codec.training.quantizers import NoisyQuantizer, Quantizer, RateQuantizer
from snerv_codec.training.settings import FitSettings, Phase

EMBED_CHUNK = 8
NOISE_SHARE = 0.9  # of values on the grid in a step of HiNeRV's recipe
STATE_LAYOUT = 3  # of what `Trainer.state` gives
STEP_RATE = 10  # learning rate of the logarithms of learned steps, in that of the networks


class Trainer:
    """A model on its way: networks, optimiser, and the place in the schedule.

    The order of the frames depends on seed, phase and epoch alone, so the state after an epoch is all
    that going on from there needs.
    """

    def __init__(
        self,
        frames: FrameSet,
        config: DecoderConfig,
        settings: FitSettings,
        controller: Controller | None = None,
    ) -> None:
        torch.manual_seed(settings.seed)
        self.frames, self.settings = frames, settings
        self.encoder, self.decoder = build_networks(config, frames.variant)
        self.networks = nn.ModuleDict({"encoder": self.encoder, "decoder": self.decoder})
        place(self.networks, frames.device)
        self.precision = fitting_precision(settings.precision, frames.device)
        if settings.compile == "full":
            require_compiler()
            self.encoder.compile()
            self.decoder.compile()
        self.masks: dict[str, Tensor] = {}
        self.quantizer: Quantizer | None = None
        self.phase, self.epoch = "", 0
        self.results: dict[str, float] = {}
        self.estimated_bytes: float | None = None
        self.controller = controller or ConstantRate(settings.rate_weight)
        self.rate_weight = settings.rate_weight
        self._restored: dict[str, Tensor | str | int] = {}
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
        finished, here = phase.name in self.results, self.phase == phase.name
        if finished and not (here and self._restored):
            return
        self._begin(phase)
        if not finished:
            self._run_epochs(phase, checkpoint, on_epoch)

    def _run_epochs(self, phase: Phase, checkpoint: Checkpoint | None, on_epoch: Callable[[EpochDone], None]) -> None:
        with Saver(checkpoint) as saver:
            while self.epoch < phase.epochs:
                start = time.perf_counter()
                loss, psnr = self._run_epoch(phase)
                self.epoch += 1
                self._require_finite(loss)
                saver.offer(self.state())
                on_epoch(EpochDone(phase.name, self.epoch, phase.epochs, loss, psnr, time.perf_counter() - start))
            self._finish(phase)
            saver.offer(self.state())

    def steps(self, values: Values[Tensor]) -> Values[Tensor] | None:
        """The steps of the grids that the networks have learned with, by tensor; None where there are none."""
        return None if self.quantizer is None else self.quantizer.steps(values).map(lambda _, step: step.detach())

    @torch.no_grad()
    def first_steps(self, values: Values[Tensor]) -> Values[Tensor]:
        """The steps that learning them would start from."""
        return RateQuantizer(values).steps(values)

    def values(self) -> Values[Tensor]:
        """All that a file would hold of the model as it is; the weights are not copied."""
        return values_of(self.decoder, self.embeddings())

    def hold_zeros(self, masks: dict[str, Tensor]) -> None:
        """Set the decoder's parameters to zero where their mask is false, and keep them there."""
        self.masks = masks
        self._apply_masks()

    @torch.no_grad()
    def embeddings(self) -> tuple[Tensor, ...]:
        """The embeddings of the fitted frames: (T, *shape) for each of the configuration's embedding shapes."""
        with computing("float32", self.frames.device):
            parts = [self._embed(self.frames.batch(i)) for i in torch.split(self.frames.fitted, EMBED_CHUNK)]
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
            "rate": json.dumps([self.controller.state(), self.estimated_bytes]),
            **{f"mask:{name}": mask for name, mask in self.masks.items()},
        }
        for name, parameter in self._parameters():
            state[f"weight:{name}"] = parameter.detach()
            for key, value in self.optimizer.state.get(parameter, {}).items():
                state[f"{key}:{name}"] = value
        return state

    def restore(self, state: dict[str, Tensor | str | int]) -> None:
        """Go back to where `state` was taken, with the same frames, configuration and settings."""
        self.phase, self.epoch = str(state["phase"]), int(state["epoch"])
        self.results = json.loads(str(state["results"]))
        controller, self.estimated_bytes = json.loads(str(state["rate"]))
        self.controller.restore(controller)
        self.masks = {
            name: _tensor(state, f"mask:{name}").to(self.frames.device)
            for name, _ in self.decoder.named_parameters()
            if f"mask:{name}" in state
        }
        with torch.no_grad():
            for name, parameter in self.networks.named_parameters():
                parameter.copy_(_tensor(state, f"weight:{name}"))
        self._restored = state  # the rest waits for the phase that it belongs to

    def _begin(self, phase: Phase) -> None:
        """Start a phase from its first epoch, or from where a restored state stands in it."""
        state, self._restored = self._restored, {}
        again = bool(state) and self.phase == phase.name
        if not again:
            self.phase, self.epoch = phase.name, 0
            if phase.prune:
                self.hold_zeros(magnitude_masks(self.decoder, phase.prune, phase.score))
        self.quantizer = self._make_quantizer(phase)
        self._start_optimizer()
        if again:
            self._restore_optimizer(state)
        if self.quantizer is not None and self.epoch >= phase.epochs:
            self._prepare(self.quantizer)

    @torch.no_grad()
    def _restore_optimizer(self, state: dict[str, Tensor | str | int]) -> None:
        for name, parameter in self._parameters():
            parameter.copy_(_tensor(state, f"weight:{name}"))
            for key in STATE:
                if f"{key}:{name}" in state:  # nothing is remembered before a phase's first step
                    value = _tensor(state, f"{key}:{name}")
                    like = torch.empty_like(parameter) if value.dim() else value.new_empty((), device=parameter.device)
                    self.optimizer.state[parameter][key] = like.copy_(value)

    def _finish(self, phase: Phase) -> None:
        if self.quantizer is not None:
            self.quantizer.eval()
            values = self._prepare(self.quantizer)
            if isinstance(self.quantizer, RateQuantizer):
                self.estimated_bytes = self.quantizer.estimated_bytes(values)
        self.results[phase.name] = self.psnr()

    def _make_quantizer(self, phase: Phase) -> Quantizer | None:
        if phase.grids == "noisy":
            return NoisyQuantizer(self.values(), *phase.bits, NOISE_SHARE)
        if phase.grids == "learned":
            return RateQuantizer(self.values())
        return None

    def _prepare(self, quantizer: Quantizer, seed: int = 0) -> Values[Tensor]:
        """Let the quantiser see everything that the file would hold. Returns it."""
        values = self.values()
        with torch.no_grad():
            quantizer.prepare(values, seed)
        return values

    def _parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        """All that is learned, by the names of the state."""
        yield from self.networks.named_parameters()
        if self.quantizer is not None:
            yield from self.quantizer.named_parameters(prefix="quantizer")

    def _start_optimizer(self) -> None:
        name = self.settings.optimizer
        groups = parameter_groups(name, self.networks)
        learned = [] if self.quantizer is None else list(self.quantizer.parameters())
        if learned:
            groups.append({"params": learned, "scale": STEP_RATE})
        device = self.frames.device
        for group in groups:  # a tensor, as a captured step reads it anew
            group["lr"] = torch.tensor(self.settings.learning_rate, device=device)
        self.optimizer = make_optimizer(name, groups, capturable=device.type == "cuda")
        self.advance = self._capture()

    def _capture(self) -> Work:
        """`_step`, captured where it can be: on a GPU that has the frames too."""
        device = self.frames.frames.device
        captured = device.type == "cuda" and self.settings.compile != "none"
        return Captured(self._step, device) if captured else self._step

    def _run_epoch(self, phase: Phase) -> tuple[float, float]:
        batches = self._shuffled(phase)
        if self.quantizer is not None:
            values = self._prepare(self.quantizer, self._seed(phase))
            if isinstance(self.quantizer, RateQuantizer):
                moment = Moment(phase, self.epoch, self.quantizer, values, self.psnr)
                self.rate_weight = self.controller.before_epoch(moment)
            self.advance = self._capture()  # grids, curves and the rate's weight are others now
        totals = torch.zeros(2, device=self.frames.device)
        for number, indices in enumerate(batches):
            done = (self.epoch + number / len(batches)) / phase.epochs
            for group in self.optimizer.param_groups:
                group["lr"].fill_(phase.rate(done) * group["scale"])
            totals += self.advance(indices)
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
        """Learn from some frames. Returns the loss and their mean PSNR, (2,); the host waits for nothing."""
        settings, device = self.settings, self.frames.device
        with kernels(self.precision, device, fixed_shapes=True):
            batch = self.frames.batch(indices)
            with computing(self.precision, device, fixed_shapes=True):
                values = values_of(self.decoder, self._embed(batch))
                prediction = batch.judged(self._render(values, batch.ll_range))
            bands, squared = settings.bands, settings.squared
            loss = fitting_loss(prediction, batch.target, settings.alpha, bands=bands, squared=squared)
            if self.quantizer is not None:
                rows = torch.searchsorted(self.frames.fitted, indices).to(device)
                loss = loss + self.rate_weight * self.quantizer.bits(values, rows)
            self.optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(self.networks.parameters(), settings.clip)
            self.optimizer.step()
            self._apply_masks()
            psnr = _psnr(prediction.frame.detach().clamp(0, 1), batch)
            return torch.stack((loss.detach(), psnr.mean()))

    def _predict(self, batch: Batch) -> Prediction:
        """What the file would give, so in 32 bits."""
        with computing("float32", self.frames.device):
            return self._render(values_of(self.decoder, self._embed(batch)), batch.ll_range)

    def _embed(self, batch: Batch) -> tuple[Tensor, ...]:
        return tuple(values.float() for values in self.encoder(batch.inputs))

    def _render(self, values: Values[Tensor], ll_range: Tensor) -> Prediction:
        """The frames of some embeddings, by the values that a file would hold where those are known."""
        if self.quantizer is None:
            return self.frames.crop(self.decoder(tuple(values.embeddings.values()), ll_range))
        values = self.quantizer(values)
        embeddings = tuple(values.embeddings.values())
        return self.frames.crop(functional_call(self.decoder, dict(values.weights), (embeddings, ll_range)))

    def _shuffled(self, phase: Phase) -> tuple[Tensor, ...]:
        generator = torch.Generator().manual_seed(self._seed(phase))
        order = torch.randperm(len(self.frames.fitted), generator=generator)
        return torch.split(self.frames.fitted[order.to(self.frames.fitted.device)], self.settings.batch)

    def _seed(self, phase: Phase) -> int:
        """That of the epoch which is about to run."""
        return _mix([self.settings.seed, *phase.name.encode(), self.epoch])

    @torch.no_grad()
    def _apply_masks(self) -> None:
        for name, parameter in self.decoder.named_parameters():
            if name in self.masks:
                parameter.mul_(self.masks[name])


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
