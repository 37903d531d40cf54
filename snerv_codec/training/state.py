"""The state of a fit: its networks, its optimiser and its place in the schedule, saved and loaded in one step."""

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence

import torch
from torch import Tensor

from snerv_codec.compression.prune import magnitude_masks
from snerv_codec.compression.values import Values
from snerv_codec.errors import SettingsError
from snerv_codec.training.frames import FrameSet
from snerv_codec.training.networks import Networks
from snerv_codec.training.quantizers import quantizer_for
from snerv_codec.training.settings import Phase

Saved = Mapping[str, Tensor | str | int]
MakeOptimizer = Callable[[Networks], torch.optim.Optimizer]

STATE_LAYOUT = 7  # of what `FitState.save` and a job that is done keep, raised with every change


class FitState:
    """A fit on its way. What it holds after a step is all that going on from there needs.

    The place is `step` steps into `epoch`, counted from 0, of the phase called `phase`, which is "" before the first.
    `sums` are what the steps of this epoch have returned, summed up, and `seconds` what they took. `results` are the
    PSNR in dB at the end of each phase that is finished; `estimated_bytes` is what the last one, where it trained for
    rate, took the file's symbols for.
    """

    def __init__(self, networks: Networks, frames: FrameSet, make_optimizer: MakeOptimizer) -> None:
        self.networks, self.frames = networks, frames
        self._make_optimizer = make_optimizer
        self.optimizer = make_optimizer(networks)
        self.phase, self.epoch, self.step = "", 0, 0
        self.sums, self.seconds = torch.zeros((), device=frames.device), 0.0
        self.rate_weight = torch.zeros((), device=frames.device)
        self.results: dict[str, float] = {}
        self.estimated_bytes: float | None = None

    def enter(self, phase: Phase) -> None:
        """Start a phase: prune, and begin with a fresh optimiser, and a fresh quantiser where there is one."""
        self.phase, self.epoch, self.step = phase.name, 0, 0
        if phase.prune:
            self.networks.hold_zeros(magnitude_masks(self.networks.decoder, phase.prune, phase.score))
        self._equip(phase)

    def free_embeddings(self) -> None:
        """Make the embeddings parameters of their own; what else is learned goes on as before."""
        self.networks.free_embeddings(list(self.values().embeddings.values()))
        known, self.optimizer = self.optimizer.state, self._make_optimizer(self.networks)
        learned = [each for group in self.optimizer.param_groups for each in group["params"]]
        self.optimizer.state.update({each: known[each] for each in learned if each in known})

    def values(self) -> Values[Tensor]:
        """All that a file would hold of the networks as they are; the weights are not copied."""
        return self.networks.values_of(self.frames)

    def save(self) -> dict[str, Tensor | str | int]:
        """The state as tensors, text and integers; the tensors are the fit's own, and change as it goes on."""
        saved: dict[str, Tensor | str | int] = {
            "phase": self.phase,
            "epoch": self.epoch,
            "step": self.step,
            "about": json.dumps([self.seconds, self.results, self.estimated_bytes]),
            "sums": self.sums,
            "rate weight": self.rate_weight,
        }
        saved |= {f"mask:{name}": mask for name, mask in self.networks.masks.items()}
        saved |= {f"networks:{name}": each for name, each in self.networks.state_dict().items()}
        for name, parameter in self.networks.named_parameters():
            for key, each in self.optimizer.state.get(parameter, {}).items():
                saved[f"optimizer:{key}:{name}"] = each
        return saved

    @torch.no_grad()
    def load(self, saved: Saved, schedule: Sequence[Phase]) -> None:
        """Go to where `saved` was taken, with the same frames, configuration, settings and schedule.

        Raises `SettingsError` where its phase is not in the schedule, and all kinds of errors for what no fit saved.
        """
        self.phase, self.epoch, self.step = str(saved["phase"]), int(saved["epoch"]), int(saved["step"])
        self.seconds, self.results, self.estimated_bytes = json.loads(str(saved["about"]))
        networks, device = self.networks, self.frames.device
        networks.masks = {name: mask.to(device) for name, mask in _under("mask:", saved)}
        weights = dict(networks.decoder.named_parameters())
        if any(mask.shape != weights[name].shape for name, mask in networks.masks.items()):
            raise ValueError("masks of other shapes than the weights have")
        phase = self._check_place(schedule)
        if any(name.startswith("own.") for name, _ in _under("networks:", saved)):
            count = len(self.frames.fitted)
            networks.free_embeddings([torch.zeros(count, *shape, device=device) for shape in networks.shapes])
        if phase is not None:
            self._equip(phase)
        networks.load_state_dict(dict(_under("networks:", saved)))
        if networks.quantizer is not None:
            networks.quantizer.train(self.phase not in self.results)
        parameters = dict(networks.named_parameters())
        for place, each in _under("optimizer:", saved):
            key, _, name = place.partition(":")
            like = torch.empty_like(parameters[name]) if each.dim() else each.new_empty((), device=device)
            self.optimizer.state[parameters[name]][key] = like.copy_(each)
        self.sums = _tensor(saved, "sums").to(device)
        self.rate_weight.copy_(_tensor(saved, "rate weight"))

    def _check_place(self, schedule: Sequence[Phase]) -> Phase | None:
        """The phase of the place. Raises `ValueError` where that is none to which the schedule leads."""
        names = [phase.name for phase in schedule]
        if self.phase and self.phase not in names:
            raise SettingsError(f"the saved state is of phase {self.phase!r}, which this fit does not have")
        number = names.index(self.phase) if self.phase else 0
        epochs = schedule[number].epochs if self.phase else 0
        ended = self.phase in self.results
        if not 0 <= self.epoch <= epochs or (ended and self.epoch != epochs):
            raise ValueError(f"epoch {self.epoch} of {epochs}")
        told = (*self.results.values(), self.seconds, self.estimated_bytes or 0.0)
        if list(self.results) != names[: number + ended] or not all(map(math.isfinite, told)):
            raise ValueError("results of other phases than those that are finished")
        return schedule[number] if self.phase else None

    def _equip(self, phase: Phase) -> None:
        """Give the networks what they learn with in a phase."""
        self.networks.quantizer = quantizer_for(phase, self.values()) if phase.grids else None
        self.optimizer = self._make_optimizer(self.networks)


def _under(prefix: str, saved: Saved) -> Iterator[tuple[str, Tensor]]:
    """The tensors whose key starts so, by the rest of it."""
    for key, value in saved.items():
        if key.startswith(prefix) and isinstance(value, Tensor):
            yield key.removeprefix(prefix), value


def _tensor(saved: Saved, key: str) -> Tensor:
    value = saved[key]
    assert isinstance(value, Tensor)
    return value
