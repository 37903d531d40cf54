"""Ways to fit, as data, and the loop that they share: what `benchmarks.trials.schedules` compares."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal, cast

import torch
from torch import Tensor
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from benchmarks.datasets import resize
from benchmarks.trials.optimizers import ScheduleFree, Soap, Together
from snerv_codec.bitstream.models import DecoderConfig
from snerv_codec.media.picture import Pixels
from snerv_codec.training.frames import FrameSet
from snerv_codec.training.losses import Loss, Term, fitting_loss
from snerv_codec.training.networks import Networks
from snerv_codec.training.optimizers import Muon, is_hidden
from snerv_codec.training.settings import WARMUP_START
from snerv_codec.training.step import Step

DECAY_SHARE = 0.3  # of a "wsd" schedule: after warm-up and a constant rate, linear to 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One way to fit; the defaults are the paper's.

    `rate` is the peak rate of all that Adam trains and, where `muon` is None, of all that another trains.
    """

    optimizer: Literal["adam", "muon", "soap", "free"] = "adam"
    rate: float = 1e-3
    betas: tuple[float, float] = (0.9, 0.999)
    decay: float = 0.0  # of weights, decoupled
    muon: float | None = None  # peak rate of hidden kernels
    momentum: float = 0.95  # of Muon
    encoder: bool = True  # whether Muon trains the encoder too
    schedule: Literal["cosine", "linear", "wsd", "constant"] = "cosine"
    warmup: float = 0.1
    last: float = 0.0  # rate at the end, in the peak rate
    clip: float | None = 1.0
    batch: int = 1
    late_batch: int | None = None  # frames a step in the second half of the steps
    average: float | None = None  # decay a step of a running mean of the weights, which is what counts in the end
    alpha: float = 0.7
    squared: float = 0.0  # share of the epochs, the last ones, with squared error alone as the loss
    coarse: float = 0.0  # share of the epochs, the first ones, on frames of half the width and height

    @property
    def loss(self) -> Loss:
        """The paper's with this alpha, and in the last epochs perhaps squared error alone."""
        late = 1 - self.squared
        terms = (replace(term, until=late) for term in fitting_loss(self.alpha).terms)
        return Loss((*terms, Term("frame", "l2", 1.0, since=late)))


MUON = Trial(optimizer="muon", rate=3e-3, muon=8e-3)  # what its variants depart from

TRIALS: dict[str, Trial] = {
    "paper": Trial(),
    # rates and moments of Adam
    "adam-2e-3": Trial(rate=2e-3),
    "adam-3e-3": Trial(rate=3e-3),
    "adam-5e-3": Trial(rate=5e-3),
    "adam-3e-3-b99": Trial(rate=3e-3, betas=(0.9, 0.99)),
    "adam-3e-3-b95": Trial(rate=3e-3, betas=(0.9, 0.95)),
    "adamw-3e-3": Trial(rate=3e-3, decay=0.1),
    # rates of Muon, and of Adam beside it
    "muon-1e-3": Trial(optimizer="muon"),
    "muon-3e-3": Trial(optimizer="muon", rate=3e-3),
    "muon-8e-3": Trial(optimizer="muon", rate=8e-3),
    "muon-3e-3-adam-1e-3": Trial(optimizer="muon", muon=3e-3),
    "muon-8e-3-adam-1e-3": Trial(optimizer="muon", muon=8e-3),
    "muon-8e-3-adam-3e-3": MUON,
    "muon-16e-3-adam-1e-3": Trial(optimizer="muon", muon=1.6e-2),
    "muon-16e-3-adam-4e-3": Trial(optimizer="muon", rate=4e-3, muon=1.6e-2),
    "muon-30e-3-adam-4e-3": Trial(optimizer="muon", rate=4e-3, muon=3e-2),
    # other optimisers
    "soap-1e-3": Trial(optimizer="soap"),
    "soap-3e-3": Trial(optimizer="soap", rate=3e-3),
    "soap-6e-3": Trial(optimizer="soap", rate=6e-3),
    "free-3e-3": Trial(optimizer="free", rate=3e-3, schedule="constant"),
    # Muon and its schedule
    "muon": MUON,
    "muon-decoder": replace(MUON, encoder=False),
    "muon-m90": replace(MUON, momentum=0.9),
    "muon-m98": replace(MUON, momentum=0.98),
    "muon-linear": replace(MUON, schedule="linear"),
    "muon-wsd": replace(MUON, schedule="wsd"),
    "muon-warm3": replace(MUON, warmup=0.03),
    "muon-ema": replace(MUON, average=0.998, last=0.1),
    "adam-3e-3-ema": Trial(rate=3e-3, average=0.998, last=0.1),
    # steps, losses, frames
    "muon-clip-none": replace(MUON, clip=None),
    "muon-batch2": replace(MUON, batch=2),
    "muon-batch1-2": replace(MUON, late_batch=2),
    "muon-squared": replace(MUON, squared=0.2),
    "muon-alpha-0.9": replace(MUON, alpha=0.9),
    "muon-coarse": replace(MUON, coarse=0.3),
}


class Fit:
    """Networks on their way through one trial: the product's steps by the trial's loss, optimisers and rates."""

    def __init__(self, frames: FrameSet, config: DecoderConfig, trial: Trial, *, epochs: int, seed: int) -> None:
        self.frames, self.trial, self.epochs, self.seed = frames, trial, epochs, seed
        self.networks = Networks(config, frames.device, variant=frames.variant, seed=seed)
        self.optimizer = Together(list(_optimizers(self.networks, trial)))
        mean = None if trial.average is None else get_ema_multi_avg_fn(trial.average)  # type: ignore[no-untyped-call]
        self.average = None if mean is None else AveragedModel(self.networks, multi_avg_fn=mean)
        half = replace(config, embedding_shape=_halved(config.embedding_shape))
        self.coarse = FrameSet(halve(frames.frames), half) if trial.coarse else frames

    def run(self) -> None:
        """All epochs. Raises `ArithmeticError` where the fit diverges."""
        for epoch in range(self.epochs):
            done = epoch / self.epochs
            frames = self.coarse if done < self.trial.coarse else self.frames
            late = self.trial.late_batch is not None and done >= 0.5
            size = self.trial.late_batch if late and self.trial.late_batch else self.trial.batch
            order = torch.randperm(len(frames), generator=torch.Generator().manual_seed(self.seed * 10_000 + epoch))
            batches = torch.split(order.to(frames.frames.device), size)
            loss = self.trial.loss.at(done)
            step = Step(self.networks, frames, self.optimizer, loss, torch.zeros(()), clip=self.trial.clip)
            for number, indices in enumerate(batches):
                self.optimizer.set_rate(rate(self.trial, (epoch + number / len(batches)) / self.epochs))
                last = step(indices)[0].item()
                if self.average is not None:
                    self.average.update_parameters(self.networks)
            if not math.isfinite(last):
                raise ArithmeticError(f"diverged in epoch {epoch}")
        self.optimizer.settle()

    def pictures(self) -> Iterator[Pixels]:
        """The frames as fitted, uint8 (H, W, 3)."""
        networks = self.networks if self.average is None else cast(Networks, self.average.module)
        return networks.pictures(self.frames, range(len(self.frames)))


def rate(trial: Trial, done: float) -> float:
    """The learning rate at the share `done` (0..1) of a fit, in the peak rate."""
    if done < trial.warmup:
        return WARMUP_START + (1 - WARMUP_START) * done / trial.warmup
    left = (1 - done) / (1 - trial.warmup)
    shapes = {
        "cosine": (1 - math.cos(math.pi * left)) / 2,
        "linear": left,
        "wsd": min(1.0, (1 - done) / DECAY_SHARE),
        "constant": 1.0,
    }
    return trial.last + (1 - trial.last) * shapes[trial.schedule]


def _optimizers(networks: Networks, trial: Trial) -> Iterator[torch.optim.Optimizer]:
    """Each with the peak rate of its parameters in their group."""
    named = list(networks.named_parameters())
    matrices = [p for name, p in named if is_hidden(p) and (trial.encoder or not name.startswith("encoder"))]
    chosen = {id(p) for p in matrices} if trial.optimizer in ("muon", "soap") else set()
    rest = [p for _, p in named if id(p) not in chosen]
    peak = trial.rate if trial.muon is None else trial.muon
    hidden = {"params": matrices, "peak": peak}
    others = {"params": rest, "peak": trial.rate}
    if trial.optimizer == "muon":
        yield Muon([hidden], lr=peak, momentum=trial.momentum, hidden=True)
    elif trial.optimizer == "soap":
        yield Soap([hidden], lr=peak)
    if trial.optimizer == "free":
        yield ScheduleFree([others], lr=trial.rate, betas=trial.betas)
    elif trial.decay:
        yield torch.optim.AdamW([others], lr=trial.rate, betas=trial.betas, weight_decay=trial.decay, fused=True)
    else:
        yield torch.optim.Adam([others], lr=trial.rate, betas=trial.betas, fused=True)


def halve(frames: Tensor) -> Tensor:
    """Pixels uint8 (T, H, W, 3) at half the height and width."""
    return resize(frames, (frames.shape[1] // 2, frames.shape[2] // 2))


def _halved(shape: tuple[int, int, int]) -> tuple[int, int, int]:
    return shape[0], max(1, shape[1] // 2), max(1, shape[2] // 2)
