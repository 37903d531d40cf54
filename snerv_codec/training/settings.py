"""How a model is fitted: the paper's recipe as defaults (paper, section 4.1 and supplement B)."""

from dataclasses import dataclass

from bitstream.types import Model
from snerv_codec.errors import SettingsError

MAX_SEED = (1 << 64) - 1  # what torch takes
# Share of training in which the rate rises.
WARMUP: dict[Model, float] = {"b": 0.1, "t": 0.2, "t2d": 0.2}


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """A run of epochs with its own schedule: linear from 10 % of the rate over `warmup`, then cosine to 0.

    Each phase starts with a fresh optimiser.
    """

    name: str
    epochs: int
    learning_rate: float
    warmup: float


@dataclass(frozen=True, slots=True, kw_only=True)
class FitSettings:
    """Everything that decides what a fit ends with, given the frames and the `DecoderConfig`.

    `alpha` weighs L1 (L2 where `squared`) against SSIM, in the loss of the frame and, with `bands`, of its
    subbands. `warmup` is the share of a phase in which the rate rises (None: the paper's for the model),
    `clip` bounds the gradient's norm, `prune` is the share of the decoder's convolution weights set to zero
    after the fit; `prune_epochs` of fine-tuning follow (None: a tenth of `epochs`) at `prune_rate` times
    the learning rate.
    """

    epochs: int = 300
    batch: int = 1
    learning_rate: float = 1e-3
    alpha: float = 0.7
    squared: bool = False
    bands: bool = True
    warmup: float | None = None
    clip: float = 1.0
    seed: int = 0
    prune: float = 0.1
    prune_epochs: int | None = None
    prune_rate: float = 0.3

    def __post_init__(self) -> None:
        for name, least in (("epochs", 1), ("batch", 1), ("seed", 0), ("prune_epochs", 0)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise SettingsError(f"{name.replace('_', '-')} {value} is below {least}")
        if self.seed > MAX_SEED:
            raise SettingsError(f"seed {self.seed} is above {MAX_SEED}")
        if not 0 < self.learning_rate <= 1:
            raise SettingsError(f"learning rate {self.learning_rate} is not in (0, 1]")
        for name, below in (("alpha", 1.0), ("warmup", 1.0), ("prune", 0.95)):
            value = getattr(self, name)
            if value is not None and not 0 <= value <= below:
                raise SettingsError(f"{name} {value} is not in 0..{below}")

    def phases(self, model: Model = "b") -> tuple[Phase, Phase]:
        """The fit of `model`, and the fine-tuning of what pruning left (perhaps of no epochs)."""
        warmup = WARMUP[model] if self.warmup is None else self.warmup
        tune = max(1, self.epochs // 10) if self.prune_epochs is None else self.prune_epochs
        rate = self.learning_rate * self.prune_rate
        return (
            Phase(name="fit", epochs=self.epochs, learning_rate=self.learning_rate, warmup=warmup),
            Phase(name="prune", epochs=tune if self.prune else 0, learning_rate=rate, warmup=warmup),
        )
