"""How a model is fitted: the paper's recipe as defaults (paper, section 4.1 and supplement B), and others."""

import math
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

from snerv_codec.bitstream.models import Model
from snerv_codec.bitstream.types import MAX_BITS
from snerv_codec.errors import SettingsError
from snerv_codec.model.architectures import ARCHITECTURES
from snerv_codec.runtime.precision import Precision

RecipeName = Literal["paper", "hinerv", "rd"]
PresetName = Literal["fast", "default", "best", "paper"]
TuneName = Literal["psnr", "ssim", "vmaf"]
Grids = Literal["noisy", "learned"]
OptimizerName = Literal["adam", "muon"]
ScheduleName = Literal["cosine", "linear"]
Compile = Literal["auto", "none", "graph", "full"]

MAX_SEED = (1 << 64) - 1  # what torch takes
WARMUP_START = 0.1  # of the learning rate
# Epochs before embeddings are freed: from then on each frame's are updated once an epoch, not with every step.
FEWEST_ENCODED = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """What follows the fit: perhaps a pruning with fine-tuning, perhaps training on the grids of the file.

    Epochs are shares of those given (`fit_epochs` of the fit itself), rates shares of its learning rate. `score`
    orders the weights to prune (`compression.prune`); `grids` are those of `compression.quantizers`. In the training
    on grids the encoder makes the embeddings for the share `encoded` of its epochs.
    """

    fit_epochs: float = 1.0
    prune: float = 0.0
    score: Literal["magnitude", "relative"] = "magnitude"
    prune_epochs: float = 0.1
    grids: Grids | None = None
    grid_epochs: float = 0.0
    grid_rate: float = 1.0
    encoded: float = 1.0
    weight_bits: int = 8
    embed_bits: int = 6


RECIPES: dict[RecipeName, Recipe] = {
    "paper": Recipe(prune=0.1),
    "hinerv": Recipe(
        prune=0.15, score="relative", prune_epochs=0.2, grids="noisy", grid_epochs=0.1, grid_rate=0.1, weight_bits=6
    ),
    # The longer on its grids the better; without the encoder a step takes a third less, and nothing is lost.
    "rd": Recipe(fit_epochs=1 / 20, grids="learned", encoded=0.2),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Preset:
    """How long to fit, by what, and how the learning rate falls; `about` is a line for people."""

    epochs: int
    optimizer: OptimizerName
    schedule: ScheduleName
    about: str


# From `benchmarks.trials.schedules`: on small clips Muon is above the paper's 300 epochs after 50.
PRESETS: dict[PresetName, Preset] = {
    "fast": Preset(epochs=50, optimizer="muon", schedule="linear", about="half the epochs of default"),
    "default": Preset(
        epochs=100, optimizer="muon", schedule="linear", about="above the paper's quality in a third of its epochs"
    ),
    "best": Preset(epochs=400, optimizer="muon", schedule="linear", about="four times the epochs of default"),
    "paper": Preset(epochs=300, optimizer="adam", schedule="cosine", about="the paper's recipe"),
}
DEFAULT = PRESETS["default"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tune:
    """A loss for a metric: L1 by `alpha` against SSIM; log squared error in the last share `late` of a phase.

    Of what it sees in the frame, `luma` is the share of luma alone.
    """

    alpha: float = 0.7
    luma: float = 0.0
    late: float = 0.0


Borders = tuple[bool, bool]  # whether frames go on before the first one that is fitted, and after the last
NO_BORDERS: Borders = (False, False)

TUNES: dict[TuneName | None, Tune] = {  # None is balanced, the paper's
    None: Tune(),
    "psnr": Tune(late=0.4),
    "ssim": Tune(alpha=0.3),
    "vmaf": Tune(luma=0.7),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """A run of epochs with its own schedule: linear from 10 % of the rate over `warmup`, then cosine or linear to 0.

    Each phase starts with a fresh optimiser. `prune` is the share of weights dropped at its start, by
    `score`. With `grids`, the networks learn with the values that the file will hold; noisy ones have `bits`
    for weights and for embeddings. After `encoded_epochs` the embeddings are learned without the encoder; None is
    never.
    """

    name: str
    epochs: int
    learning_rate: float
    warmup: float
    schedule: ScheduleName = "cosine"
    prune: float = 0.0
    score: Literal["magnitude", "relative"] = "magnitude"
    grids: Grids | None = None
    bits: tuple[int, int] = (8, 6)
    encoded_epochs: int | None = None

    def rate(self, done: float) -> float:
        """The learning rate at the share `done` (0..1) of the phase."""
        if done < self.warmup:
            return self.learning_rate * (WARMUP_START + (1 - WARMUP_START) * done / self.warmup)
        left = (1 - done) / (1 - self.warmup)
        return self.learning_rate * (left if self.schedule == "linear" else (1 - math.cos(math.pi * left)) / 2)


CHOICES = {
    "recipe": get_args(RecipeName),
    "optimizer": get_args(OptimizerName),
    "schedule": get_args(ScheduleName),
    "precision": get_args(Precision),
    "compile": get_args(Compile),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class FitSettings:
    """Everything that decides what a fit ends with, given the frames and the `DecoderConfig`; by default as shipped.

    `alpha` weighs L1 (L2 where `squared`) against SSIM, in the loss of the frame and, with `bands`, of the subbands
    that the model makes; `tune` has the loss serve a metric, None a balance of them (`TUNES`), and says what an `alpha`
    of None stands for. `warmup` is the share of a phase in which the rate rises (None: the paper's for the model),
    `schedule` how it falls from there to 0; `clip` bounds the gradient's norm. Of `optimizer` "adam" is the paper's;
    "muon" learns faster, at multiples of the learning rate (`training.optimizers`).

    `recipe` says what follows the fit of `epochs`, and what None stands for: `prune` is the share of the decoder's
    convolution weights set to zero after the fit; `prune_epochs` of fine-tuning follow at `prune_rate` times the
    learning rate, and `grid_epochs` on the file's grids; those of recipe "rd", where None, are what the fit leaves of
    `epochs` (see `Recipe`), and one at least. With recipe "rd" the loss of these is distortion + `rate_weight` · bits a
    value (None: what suits the model), and grids are learned; else they have `weight_bits` and `embed_bits`.

    For `precision` see there. `compile` is how a step runs: "none" plainly, "graph" captured on a GPU, "full" by
    torch.compile too, "auto" as a graph where there is a GPU.
    """

    recipe: RecipeName = "paper"
    epochs: int = DEFAULT.epochs
    batch: int = 1
    optimizer: OptimizerName = DEFAULT.optimizer
    learning_rate: float = 1e-3
    schedule: ScheduleName = DEFAULT.schedule
    tune: TuneName | None = None
    alpha: float | None = None
    squared: bool = False
    bands: bool = True
    warmup: float | None = None
    clip: float = 1.0
    seed: int = 0
    prune: float | None = None
    prune_epochs: int | None = None
    prune_rate: float = 0.3
    grid_epochs: int | None = None
    rate_weight: float | None = None
    weight_bits: int | None = None
    embed_bits: int | None = None
    precision: Precision = "auto"
    compile: Compile = "auto"

    @classmethod
    def preset(cls, name: PresetName, **others: Any) -> "FitSettings":
        """The settings of a preset, and what else is given; of that None is left out."""
        if name not in PRESETS:
            raise SettingsError(f"preset {name!r} is not one of {', '.join(PRESETS)}")
        preset = PRESETS[name]
        given = {key: value for key, value in others.items() if value is not None}
        return cls(**{"epochs": preset.epochs, "optimizer": preset.optimizer, "schedule": preset.schedule, **given})

    def __post_init__(self) -> None:
        for name, choices in CHOICES.items():
            if getattr(self, name) not in choices:
                raise SettingsError(f"{name} {getattr(self, name)!r} is not one of {', '.join(choices)}")
        if self.tune not in TUNES:
            raise SettingsError(f"tune {self.tune!r} is not one of {', '.join(get_args(TuneName))}")
        for name, least in (("epochs", 1), ("batch", 1), ("seed", 0), ("prune_epochs", 0), ("grid_epochs", 0)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise SettingsError(f"{name.replace('_', '-')} {value} is below {least}")
        if self.seed > MAX_SEED:
            raise SettingsError(f"seed {self.seed} is above {MAX_SEED}")
        if not 0 < self.learning_rate <= 1:
            raise SettingsError(f"learning rate {self.learning_rate} is not in (0, 1]")
        for name, below in (("rate_weight", 1000.0), ("alpha", 1.0), ("warmup", 1.0), ("prune", 0.95)):
            value = getattr(self, name)
            if value is not None and not 0 <= value <= below:
                raise SettingsError(f"{name.replace('_', ' ')} {value} is not in 0..{below:g}")
        for name in ("weight_bits", "embed_bits"):
            bits = getattr(self, name)
            if bits is not None and not 1 <= bits <= MAX_BITS:
                raise SettingsError(f"{name.replace('_', '-')} {bits} is not in 1..{MAX_BITS}")

    @property
    def tuned(self) -> Tune:
        """What `tune` and `alpha` stand for together."""
        found = TUNES[self.tune]
        return found if self.alpha is None else replace(found, alpha=self.alpha)

    @property
    def bits(self) -> tuple[int, int]:
        """Bits of a weight and of an embedding value before entropy coding, where grids are not learned."""
        recipe = RECIPES[self.recipe]
        return self.weight_bits or recipe.weight_bits, self.embed_bits or recipe.embed_bits

    def weight_of_rate(self, model: Model) -> float:
        """`rate_weight`, or what suits a model."""
        return ARCHITECTURES[model].rate_weight if self.rate_weight is None else self.rate_weight

    def phases(self, model: Model = "b") -> tuple[Phase, ...]:
        """The fit of `model` and what its recipe has after it, phases of no epochs included."""
        recipe = RECIPES[self.recipe]
        warmup = ARCHITECTURES[model].warmup if self.warmup is None else self.warmup
        prune = recipe.prune if self.prune is None else self.prune
        tune = max(1, round(self.epochs * recipe.prune_epochs)) if self.prune_epochs is None else self.prune_epochs
        fitting = max(1, round(self.epochs * recipe.fit_epochs)) if self.grid_epochs is None else self.epochs
        fit = Phase(name="fit", epochs=fitting, learning_rate=self.learning_rate, warmup=warmup, schedule=self.schedule)
        phases = [
            fit,
            replace(
                fit,
                name="prune",
                epochs=tune if prune else 0,
                learning_rate=self.learning_rate * self.prune_rate,
                prune=prune,
                score=recipe.score,
            ),
        ]
        if recipe.grids:
            grid = max(1, self.epochs - fitting + round(self.epochs * recipe.grid_epochs))
            grid = grid if self.grid_epochs is None else self.grid_epochs
            encoded = max(FEWEST_ENCODED, round(grid * recipe.encoded))
            phases.append(
                replace(
                    fit,
                    name="grid",
                    epochs=grid,
                    encoded_epochs=encoded if encoded < grid else None,
                    learning_rate=self.learning_rate * recipe.grid_rate,
                    grids=recipe.grids,
                    bits=self.bits,
                )
            )
        return tuple(phases)
