"""How fast this machine fits, right now: a few steps of a small model, timed."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from snerv_codec.bitstream.models import DecoderConfig
from snerv_codec.runtime.machine import choose_device
from snerv_codec.settings import EncodeSettings

TRIAL_HEIGHT, TRIAL_WIDTH, TRIAL_SIZE = 192, 384, 300_000  # of a model to time on a CPU
TRIAL_BATCH = 4
LEAST_STEPS, MOST_STEPS, TRIAL_SECONDS = 3, 12, 1.0  # to time, after one that is not counted


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds that a frame takes in an epoch of the fit, in one on the file's grids, and there without the encoder.

    An epoch on grids takes `preparing` besides.
    """

    plain: float
    grids: float
    own: float
    preparing: float = 0.0


def measure_pace(config: DecoderConfig, settings: EncodeSettings, threads: int | None = None) -> Pace:
    """What fitting takes here, other programs' load included: on a CPU of a small model, carried on by its arithmetic.

    `threads` are those of a worker, None for those of this process.
    """
    import torch

    from snerv_codec.model.sizing import choose_config, model_cost
    from snerv_codec.training.frames import FrameSet
    from snerv_codec.training.trainer import make_trainer

    device, batch = choose_device(settings.device), settings.fit.batch
    trial, whole = config, model_cost(config, 1)
    tried = whole
    if device.type == "cpu":
        batch = min(batch, TRIAL_BATCH)  # many of the trial's frames may not fit where those of a small video do
        small = choose_config(TRIAL_HEIGHT, TRIAL_WIDTH, 1, TRIAL_SIZE, model=config.model)
        cost = model_cost(small, 1)
        if cost.decoder_macs <= whole.decoder_macs:
            trial, tried = small, cost
    frames = torch.zeros(batch, *trial.padded_size, 3, dtype=torch.uint8, device=device)
    trainer, indices = make_trainer(FrameSet(frames, trial), trial, settings.fit), torch.arange(batch, device=device)

    def step() -> None:
        trainer.advance(indices).tolist()  # waits for the device

    before = torch.get_num_threads()
    torch.set_num_threads(threads or before)
    try:
        plain = _mean_seconds(step)
        own, extra, preparing = plain, 0.0, 0.0
        if (phase := next((each for each in settings.phases() if each.grids), None)) is not None:
            trainer.begin(phase)
            start = time.perf_counter()
            trainer.begin(phase)
            preparing = time.perf_counter() - start
            extra = max(0.0, _mean_seconds(step) - plain)
            if phase.encoded_epochs is not None:
                trainer.free_embeddings()
                own = max(0.0, _mean_seconds(step) - extra)
    finally:
        torch.set_num_threads(before)
    arithmetic = (whole.decoder_macs + whole.encoder_macs) / (tried.decoder_macs + tried.encoder_macs)
    values = whole.total_parameters / tried.total_parameters  # whose rounding takes what grids add
    plain, own, extra = plain * arithmetic, own * whole.decoder_macs / tried.decoder_macs, extra * values
    return Pace(plain / batch, (plain + extra) / batch, (own + extra) / batch, preparing * values)


def _mean_seconds(step: Callable[[], None]) -> float:
    """What a call takes on the average, the first one aside, which makes ready what the others need."""
    step()
    count, start = 0, time.perf_counter()
    while count < LEAST_STEPS or (count < MOST_STEPS and time.perf_counter() - start < TRIAL_SECONDS):
        step()
        count += 1
    return (time.perf_counter() - start) / count
