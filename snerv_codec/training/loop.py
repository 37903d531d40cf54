"""The loop of training: a schedule of phases, their epochs, their steps; and what it asks of a rate control."""

import json
import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from snerv_codec.compression.values import Values
from snerv_codec.errors import ResourceError, SettingsError
from snerv_codec.events import EpochDone, StateSaved, StepsDone, Warned
from snerv_codec.runtime.capture import Captured, Work, can_capture
from snerv_codec.runtime.precision import Precision
from snerv_codec.training.checkpoint import Checkpoint, Saver
from snerv_codec.training.draw import Draw
from snerv_codec.training.frames import FrameSet
from snerv_codec.training.losses import Loss
from snerv_codec.training.networks import Networks
from snerv_codec.training.optimizers import set_rate
from snerv_codec.training.quantizers import Quantizer, RateQuantizer
from snerv_codec.training.settings import Compile, Phase
from snerv_codec.training.state import FitState, MakeOptimizer, Saved
from snerv_codec.training.step import Step

OnEvent = Callable[[StepsDone | EpochDone | StateSaved | Warned], None]

TELL_EVERY = 0.5  # seconds, at least, between two events of steps


def _ignore(event: StepsDone | EpochDone | StateSaved | Warned) -> None:
    """The watcher of those who do not watch."""


class Moment(NamedTuple):
    """Where a training for rate stands before an epoch: what a controller is shown.

    `values` are all that the file would hold, by name, the embeddings those of all frames; the quantiser's curves
    have just been fitted to them. `psnr` computes the mean PSNR (dB) of all frames, as the file would give them.
    """

    phase: Phase
    epoch: int  # that is about to run, from 0
    quantizer: RateQuantizer
    values: Values[Tensor]
    psnr: Callable[[], float]

    @property
    def done(self) -> float:
        """The share of the phase that is over."""
        return self.epoch / self.phase.epochs


class Controller(Protocol):
    """Decides before each epoch how much a bit weighs in the loss, and may change the quantiser's steps."""

    def before_epoch(self, moment: Moment) -> float:
        """The weight of the rate term, which is in bits a value, for the epoch that is about to run."""

    def state(self) -> Any:
        """All that `restore` needs, for JSON."""

    def restore(self, state: Any) -> None:
        """Go on from where `state` was taken."""


class ConstantRate:
    """The controller that controls nothing: one weight of the rate term throughout."""

    def __init__(self, rate_weight: float) -> None:
        self.rate_weight = rate_weight

    def before_epoch(self, moment: Moment) -> float:
        """The same weight each time."""
        return self.rate_weight

    def state(self) -> None:
        """Nothing to keep."""

    def restore(self, state: None) -> None:
        """Nothing to go on from."""


class Trainer:
    """Fits `networks` to `frames` through the phases of `schedule`.

    Each phase starts with a fresh optimiser, which `make_optimizer` gives its parameters, with a "scale" of the phase's
    learning rate in each of its groups. The frames of an epoch, as `draw` gives them (None: each once), depend on seed,
    phase and epoch alone. `compile` is how a step runs (see `FitSettings`), networks compute in `precision`, and the
    rest is as in `Step`. In phases that train for rate, `controller` says how much a bit weighs.
    """

    def __init__(
        self,
        networks: Networks,
        frames: FrameSet,
        schedule: Sequence[Phase],
        *,
        loss: Loss,
        make_optimizer: MakeOptimizer,
        controller: Controller,
        batch: int = 1,
        clip: float | None = 1.0,
        seed: int = 0,
        precision: Precision = "float32",
        compile: Compile = "auto",
        draw: Draw | None = None,
    ) -> None:
        self.networks, self.frames, self.schedule = networks, frames, tuple(schedule)
        self._draw = draw or Draw(len(frames.fitted))
        self.state = FitState(networks, frames, make_optimizer)
        self.loss, self.controller, self.batch, self.clip, self.seed = loss, controller, batch, clip, seed
        self.precision, self.compile = precision, compile
        self._captures = compile != "none" and can_capture(frames.frames.device)
        self._work: tuple[Loss, Step, Work] | None = None
        self._on_event: OnEvent = _ignore

    @property
    def results(self) -> dict[str, float]:
        """PSNR in dB at the end of each phase that is finished."""
        return self.state.results

    def run(self, *, checkpoint: Checkpoint | None = None, on_event: OnEvent = _ignore) -> None:
        """Run the schedule to its end, from the beginning or from where a loaded state stands.

        Raises `SettingsError` for a fit that diverges; what was saved before stays.
        """
        self._on_event = on_event
        with Saver(checkpoint) as saver:
            for phase in self.schedule:
                if phase.name not in self.results:
                    self._run_phase(phase, saver)

    def save(self) -> dict[str, Tensor | str | int]:
        """All that `load` needs; its tensors change as the fit goes on."""
        return {**self.state.save(), "controller": json.dumps(self.controller.state())}

    def load(self, saved: Saved) -> None:
        """Go to where `saved` was taken, with the same frames, configuration, settings and schedule.

        Raises `SettingsError` for another schedule's, and all kinds of errors for what no fit saved.
        """
        state, batches = self.state, -(-len(self.frames.fitted) // self.batch)
        state.load(saved, self.schedule)
        if not 0 <= state.step < batches:
            raise ValueError(f"step {state.step} of {batches} in an epoch")
        if state.step and state.sums.shape != (len(self._work_at(0)[0].names),):
            raise ValueError("sums of other terms than those of the loss")
        self.controller.restore(json.loads(str(saved["controller"])))
        self._work = None

    def values(self) -> Values[Tensor]:
        """All that a file would hold of the networks as they are; the weights are not copied."""
        return self.state.values()

    def psnr(self) -> float:
        """Mean PSNR (dB) of the fitted frames, rounded to 8 bits, by the networks as they are."""
        return self.networks.psnr(self.frames, self.batch)

    def pictures(self, numbers: Iterable[int]) -> Iterator[npt.NDArray[np.uint8]]:
        """Frames by their numbers, by the networks as they are: uint8 (H, W, 3); see `Networks.pictures`."""
        return self.networks.pictures(self.frames, numbers)

    def advance(self, indices: Tensor) -> Tensor:
        """One step as the loop takes it, at the learning rates as they are: what `Step` returns."""
        return self._work_at(0)[1](indices)

    def begin(self, phase: Phase) -> None:
        """Enter a phase, so that steps are as in its first epoch."""
        self._enter(phase)
        if self.networks.quantizer is not None:
            self._prepare(self.networks.quantizer)

    def free_embeddings(self) -> None:
        """Learn embeddings without the encoder from now on."""
        self.state.free_embeddings()
        self._work = None  # it belongs to the optimiser of before

    def _enter(self, phase: Phase) -> None:
        self.state.enter(phase)
        self._work = None  # it belongs to the optimiser of before

    def _run_phase(self, phase: Phase, saver: Saver) -> None:
        state = self.state
        if state.phase != phase.name:
            self._enter(phase)
        while state.epoch < phase.epochs:
            self._run_epoch(phase, saver)
        quantizer = self.networks.quantizer
        if quantizer is not None:
            quantizer.eval()
            values = self._prepare(quantizer)
            if isinstance(quantizer, RateQuantizer):
                state.estimated_bytes = quantizer.estimated_bytes(values)
        state.results[phase.name] = self.psnr()
        self._offer(saver)

    def _run_epoch(self, phase: Phase, saver: Saver) -> None:
        """The steps of an epoch that are still to be taken."""
        state, batches, told = self.state, self._shuffled(phase), time.perf_counter()
        start = told - state.seconds
        if phase.encoded_epochs is not None and state.epoch >= phase.encoded_epochs and not self.networks.own:
            self.free_embeddings()
        step, work = self._work_at(state.epoch / phase.epochs)
        if state.step == 0:
            self._begin_epoch(phase, step)
        for indices in batches[state.step :]:
            set_rate(state.optimizer, phase.rate((state.epoch + state.step / len(batches)) / phase.epochs))
            state.sums += work(indices)
            state.step, now = state.step + 1, time.perf_counter()
            state.seconds = now - start
            if state.step == len(batches):
                break
            if saver.due:
                self._require_finite(phase)
                self._offer(saver)
            if now - told >= TELL_EVERY:
                self._tell_steps(phase, len(batches))
                told = now
        self._end_epoch(phase, step, saver, start)

    def _begin_epoch(self, phase: Phase, step: Step) -> None:
        state, quantizer = self.state, self.networks.quantizer
        if quantizer is not None:
            values = self._prepare(quantizer, self._epoch_seed(phase))
            if isinstance(quantizer, RateQuantizer):
                quantizer.settle(state.epoch / phase.epochs)
                moment = Moment(phase, state.epoch, quantizer, values, self.psnr)
                state.rate_weight.fill_(self.controller.before_epoch(moment))
        state.sums = torch.zeros(len(step.names), device=self.frames.device)

    def _end_epoch(self, phase: Phase, step: Step, saver: Saver, start: float) -> None:
        state = self.state
        self._require_finite(phase)
        loss, psnr, *terms = (state.sums / state.step).tolist()
        seconds, named = time.perf_counter() - start, dict(zip(step.names[2:], terms, strict=True))
        done = EpochDone(phase.name, state.epoch + 1, phase.epochs, loss, psnr, seconds, named)
        state.epoch, state.step, state.seconds = state.epoch + 1, 0, 0.0
        self._offer(saver)
        self._on_event(done)

    def _tell_steps(self, phase: Phase, steps: int) -> None:
        state = self.state
        loss, psnr = (state.sums[:2] / state.step).tolist()  # waits for the device
        where = (phase.name, state.epoch + 1, phase.epochs, state.step, steps)
        self._on_event(StepsDone(*where, loss, psnr, state.seconds))

    def _offer(self, saver: Saver) -> None:
        if saver.offer(self.save):
            self._on_event(StateSaved(self.state.phase, self.state.epoch, self.state.step))

    @torch.no_grad()
    def _require_finite(self, phase: Phase) -> None:
        """Raise `SettingsError` for a fit that has diverged."""
        # The last step's harm is not in the loss yet.
        norm = nn.utils.get_total_norm(self.networks.learners.parameters())
        if not math.isfinite((norm + self.state.sums[0]).item()):
            raise SettingsError(
                f"the fit diverged in epoch {self.state.epoch + 1} of phase {phase.name!r} (learning rate "
                f"{phase.learning_rate:g}); start again with a lower one"
            )

    def _work_at(self, done: float) -> tuple[Step, Work]:
        """The step of this phase at the share `done` of it, and the same as it is run: captured where it can be."""
        loss = self.loss.at(done)
        if self._work is None or self._work[0] != loss:
            self._work = None  # and with it the memory of what was captured
            state = self.state
            step = Step(
                self.networks,
                self.frames,
                state.optimizer,
                loss,
                state.rate_weight,
                clip=self.clip,
                precision=self.precision,
            )
            generators = () if self.networks.quantizer is None else self.networks.quantizer.generators
            device = self.frames.device
            work = Captured(step, device, generators, self._not_captured) if self._captures else step
            self._work = loss, step, work
        return self._work[1:]

    def _not_captured(self, error: Exception) -> None:
        reason = str(error).strip().partition("\n")[0]
        if self.compile in ("graph", "full"):
            raise ResourceError(
                f"a step cannot be captured as a CUDA graph here ({reason}); choose compile none, or leave it out"
            ) from error
        self._captures = False
        self._on_event(Warned(f"a step cannot be captured as a CUDA graph here ({reason}); the fit goes on without"))

    def _prepare(self, quantizer: Quantizer, seed: int = 0) -> Values[Tensor]:
        """Let the quantiser see everything that the file would hold. Returns it."""
        values = self.values()
        with torch.no_grad():
            quantizer.prepare(values, seed)
        return values

    def _shuffled(self, phase: Phase) -> tuple[Tensor, ...]:
        fitted = self.frames.fitted
        order = self._draw(torch.Generator().manual_seed(self._epoch_seed(phase)))
        return torch.split(fitted[order.to(fitted.device)], self.batch)

    def _epoch_seed(self, phase: Phase) -> int:
        return _mix([self.seed, *phase.name.encode(), self.state.epoch])


def _mix(values: Iterable[int]) -> int:
    """A seed from several integers (FNV-1a over them), the same on every machine."""
    seed = 0xCBF29CE484222325
    for value in values:
        seed = ((seed ^ value) * 0x100000001B3) % (1 << 63)
    return seed
