"""Before the work: which frames, which architecture, and what it will cost."""

import time
from dataclasses import replace
from math import prod
from typing import Any

from bitstream import nnc
from bitstream.models import DecoderConfig
from bitstream.segmentsection import MAX_SEGMENT_VALUES
from bitstream.types import VideoInfo
from snerv_codec.errors import SettingsError
from snerv_codec.media.reader import read_video
from snerv_codec.media.sources import name_of
from snerv_codec.media.timeline import odd_frames
from snerv_codec.report import Plan
from snerv_codec.runtime.machine import available_memory, choose_device
from snerv_codec.settings import EncodeSettings

# Bits a weight that entropy coding saves, those of an NNC bitstream at its default QP, and those that recipe
# "rd" ends with at its default rate weight, as seen on fitted models. Four QPs are a factor of two in the step.
ENTROPY_GAIN = 0.3
NNC_BITS = 6.3
RD_BITS = 4.4
# Bits a parameter at which a target is best met: more parameters at fewer bits are slower, fewer at more bits worse.
TARGET_BITS = 3.5
LEAST_BITS = 0.5  # a value, below which a target is not tried
DEFAULT_SIZE = "3M"
QPS_A_BIT = 4
TRIAL_HEIGHT, TRIAL_WIDTH, TRIAL_SIZE = 192, 384, 300_000  # of a model to time on a CPU
TRIAL_BATCH, TRIAL_STEPS = 4, 5


def plan(source: Any, settings: EncodeSettings | None = None, **choices: Any) -> Plan:
    """What `encode` would do with `source`, without fitting anything; settings as there."""
    settings = EncodeSettings.either(settings, choices)
    info = read_video(source, settings.source, keep=False, memory=available_memory()).info
    if settings.holdout is not None:
        info = odd_frames(info)
    config = decoder_config(info, settings)
    made = make_plan(name_of(source), info, config, settings)
    return replace(made, predicted_seconds=made.epochs * info.frame_count * seconds_a_frame(config, settings))


def seconds_a_frame(config: DecoderConfig, settings: EncodeSettings) -> float:
    """What fitting a frame once takes here, by timing a few steps: on a CPU of a small model, with its arithmetic."""
    import torch

    from snerv_codec.model.sizing import choose_config, model_cost
    from snerv_codec.training.frames import FrameSet
    from snerv_codec.training.trainer import make_trainer

    device, batch = choose_device(settings.device), settings.fit.batch
    trial = config
    if device.type == "cpu":
        batch = min(batch, TRIAL_BATCH)  # many of the trial's frames may not fit where those of a small video do
        trial = choose_config(TRIAL_HEIGHT, TRIAL_WIDTH, 1, TRIAL_SIZE, model=config.model)
    frames = torch.zeros(batch, *trial.padded_size, 3, dtype=torch.uint8, device=device)
    trainer, taken = make_trainer(FrameSet(frames, trial), trial, settings.fit), []
    for _ in range(TRIAL_STEPS):
        start = time.perf_counter()
        trainer.advance(torch.arange(batch, device=device)).tolist()  # waits for the device
        taken.append(time.perf_counter() - start)
    whole, tried = (model_cost(each, 1) for each in (config, trial))
    share = (whole.decoder_macs + whole.encoder_macs) / (tried.decoder_macs + tried.encoder_macs)
    return min(taken) / batch * share


def decoder_config(info: VideoInfo, settings: EncodeSettings) -> DecoderConfig:
    """The architecture for a video; raises `SettingsError` where the budget is too small."""
    from snerv_codec.model.sizing import choose_config, decoder_parameters, embedding_parameters

    config = choose_config(
        info.height,
        info.width,
        info.frame_count,
        _budget(info, settings),
        channels=settings.channels,
        blocks=settings.blocks,
        strides=settings.strides,
        model=settings.model,
        temporal_size=settings.temporal_size,
    )
    values = decoder_parameters(config) + embedding_parameters(config, info.frame_count)
    if values > MAX_SEGMENT_VALUES:
        raise SettingsError(
            f"{values:,} parameters are more than the {MAX_SEGMENT_VALUES:,} that a file can hold; "
            "lower --size (--channels, --blocks), or encode fewer frames"
        )
    target = settings.target_bytes(info)
    if target is not None:
        require_room(target, 0, values)
    return config


def require_room(target: int, rest: int, values: int) -> None:
    """Raise `SettingsError` where a file of `target` bytes, `rest` of them not the network's, has no room for it."""
    bits = max(8 * (target - rest) / values, 0)
    if bits < LEAST_BITS:
        besides = f" besides {rest:,} bytes of sound, times and headers" if rest else ""
        raise SettingsError(
            f"a file of {target:,} bytes has {bits:.2g} bits for each of the model's {values:,} values{besides}, "
            "too few for any picture; lower --size (--channels, --blocks), or raise the target"
        )


def make_plan(source: str, info: VideoInfo, config: DecoderConfig, settings: EncodeSettings) -> Plan:
    """What fitting `config` to a video takes, and about what it gives."""
    from snerv_codec.model.sizing import decoding_memory, fitting_memory, model_cost

    cost = model_cost(config, info.frame_count)
    weights = cost.decoder_parameters * _bits_a_weight(settings)
    embeddings = cost.embedding_parameters * settings.fit.bits[1]
    return Plan(
        source=source,
        width=info.width,
        height=info.height,
        frames=info.frame_count,
        rate=f"{float(info.rate):g}",
        device=str(choose_device(settings.device)),
        model=config.model,
        widths=config.widths,
        kernels=config.kernels,
        blocks=config.blocks,
        strides=config.strides,
        embedding_shape=config.embedding_shape,
        temporal_shape=config.temporal_shape,
        decoder_parameters=cost.decoder_parameters,
        embedding_parameters=cost.embedding_parameters,
        encoder_parameters=cost.encoder_parameters,
        total_parameters=cost.total_parameters,
        decoder_macs=cost.decoder_macs,
        encoder_macs=cost.encoder_macs,
        padding=prod(config.padded_size) / (info.width * info.height) - 1,
        epochs=sum(phase.epochs for phase in settings.phases()),
        phases=tuple((phase.name, phase.epochs) for phase in settings.phases() if phase.epochs),
        batch=min(settings.fit.batch, info.frame_count),
        predicted_bytes=settings.target_bytes(info) or round((weights + embeddings) / 8),
        video_memory=3 * info.width * info.height * info.frame_count,
        fitting_memory=fitting_memory(config, min(settings.fit.batch, info.frame_count)),
        decoding_memory=decoding_memory(config, cost.total_parameters, 1),
    )


def _budget(info: VideoInfo, settings: EncodeSettings) -> int:
    """Number of parameters: as asked for, or as many as the target has bits for."""
    from snerv_codec.model.sizing import parse_size

    target = settings.target_bytes(info)
    if settings.size is not None or target is None:
        return parse_size(str(settings.size or DEFAULT_SIZE))
    return max(1, round(8 * target / TARGET_BITS))


def _bits_a_weight(settings: EncodeSettings) -> float:
    if settings.entropy == "nnc":
        return max(NNC_BITS - (settings.qp - nnc.DEFAULT_QP) / QPS_A_BIT, 0.5)
    if settings.fit.recipe == "rd":
        return RD_BITS
    return settings.fit.bits[0] - ENTROPY_GAIN
