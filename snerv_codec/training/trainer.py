"""From settings to a trainer: networks, loss, optimiser and schedule as `FitSettings` has them."""

from collections.abc import Sequence
from functools import partial

import torch

from snerv_codec.bitstream.models import DecoderConfig
from snerv_codec.runtime.machine import require_compiler
from snerv_codec.runtime.precision import fitting_precision
from snerv_codec.training.draw import Draw
from snerv_codec.training.frames import FrameSet
from snerv_codec.training.loop import ConstantRate, Controller, Trainer
from snerv_codec.training.losses import Loss, fitting_loss
from snerv_codec.training.networks import Networks
from snerv_codec.training.optimizers import make_optimizer, parameter_groups
from snerv_codec.training.settings import NO_BORDERS, Borders, FitSettings, Phase

# Learning rates of the logarithms of learned steps, and of embeddings that are parameters, in units of their spread, as
# multiples of that of the networks.
STEP_RATE, OWN_RATE = 10, 10


def make_trainer(
    frames: FrameSet,
    config: DecoderConfig,
    settings: FitSettings,
    *,
    schedule: Sequence[Phase] | None = None,
    controller: Controller | None = None,
    borders: Borders = NO_BORDERS,
) -> Trainer:
    """A fit of `config` to `frames` that is about to begin.

    It goes through all phases of `settings`, or through `schedule`. Without a `controller` the weight of the rate term
    stays that of the settings. Frames at `borders` are fitted more often.
    """
    networks = Networks(config, frames.device, variant=frames.variant, seed=settings.seed)
    if settings.compile == "full":
        require_compiler()
        networks.encoder.compile()
        networks.decoder.compile()
    return Trainer(
        networks,
        frames,
        settings.phases(config.model) if schedule is None else schedule,
        loss=loss_of(settings, frames),
        make_optimizer=partial(optimizer_of, settings),
        controller=controller or ConstantRate(settings.weight_of_rate(config.model)),
        batch=settings.batch,
        clip=settings.clip,
        seed=settings.seed,
        precision=fitting_precision(settings.precision, frames.device),
        compile=settings.compile,
        draw=Draw(len(frames.fitted), borders),
    )


def loss_of(settings: FitSettings, frames: FrameSet) -> Loss:
    """The loss as `settings` say, without subbands where the networks make none."""
    tuned, bands = settings.tuned, settings.bands and frames.subbands
    return fitting_loss(tuned.alpha, bands=bands, squared=settings.squared, luma=tuned.luma, late=tuned.late)


def optimizer_of(settings: FitSettings, networks: Networks) -> torch.optim.Optimizer:
    """The optimiser of a phase: layers as `settings` say, embeddings and a quantiser's steps at rates of their own."""
    groups = parameter_groups(settings.optimizer, networks.decoder if networks.own else networks.learners)
    for others, scale in ((networks.own, OWN_RATE), (networks.quantizer, STEP_RATE)):
        learned = [] if others is None else list(others.parameters())
        if learned:
            groups.append({"params": learned, "scale": scale})
    device = groups[0]["params"][0].device
    for group in groups:  # a tensor, as a captured step reads it anew
        group["lr"] = torch.tensor(settings.learning_rate, device=device)
    return make_optimizer(settings.optimizer, groups, capturable=device.type == "cuda")
