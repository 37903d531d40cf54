"""The models: for each name what builds it and what the rest of the codec must know of it.

A new model is a row here and one in `bitstream.models.LAYOUTS`, and a module with its networks. It imports no torch, as
the command line reads it; the builders do when they are called.
"""

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from math import prod
from typing import TYPE_CHECKING

from bitstream.models import DecoderConfig, Model

if TYPE_CHECKING:
    from torch import nn

MIN_WIDTH = 12
NARROWING = Fraction(5, 6)  # each stage is narrower by 1.2
LARGEST_KERNEL = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Architecture:
    """What the codec must know of a model.

    - `encoder`, `decoder`: build the networks, on torch's current device.
    - `warmup`: share of a phase of training in which the learning rate rises.
    - `peak_features`: values of 4 bytes that decoding one frame holds at its worst moment, weights left out.
    - `within_budget`: whether sizing stays below the number of parameters asked for, or goes to the closest.
    """

    encoder: Callable[[DecoderConfig], "nn.Module"]
    decoder: Callable[[DecoderConfig], "nn.Module"]
    warmup: float
    peak_features: Callable[[DecoderConfig], int]
    within_budget: bool = False


def paper_widths(channels: int, stages: int) -> tuple[int, ...]:
    """C_0, ..., C_n of the paper: after the stem, and narrower by 1.2 with each of `stages` blocks; ties go to even."""
    widths = [channels]
    for _ in range(stages):
        widths.append(max(round(widths[-1] * NARROWING), MIN_WIDTH))
    return tuple(widths)


def paper_kernels(stages: int) -> tuple[int, ...]:
    """Kernels of the paper's up-sampling blocks: 1, 3, 5, 5, 5."""
    return tuple(min(1 + 2 * stage, LARGEST_KERNEL) for stage in range(stages))


def paper_config(
    embedding_shape: tuple[int, int, int],
    strides: tuple[int, ...],
    channels: int,
    blocks: int,
    model: Model = "b",
    temporal_shape: tuple[int, int, int] | None = None,
) -> DecoderConfig:
    """The configuration with the paper's widths and kernels for C_0 = `channels` and N_RB = `blocks`."""
    stages = len(strides)
    widths, kernels = paper_widths(channels, stages), paper_kernels(stages)
    return DecoderConfig(embedding_shape, strides, widths, kernels, blocks, model, temporal_shape)


def build_encoder(config: DecoderConfig) -> "nn.Module":
    """The network from a frame's low bands to its embeddings; it is never transmitted."""
    return ARCHITECTURES[config.model].encoder(config)


def build_decoder(config: DecoderConfig) -> "nn.Module":
    """The network from embeddings to frames, which a file holds."""
    return ARCHITECTURES[config.model].decoder(config)


def _encoder(config: DecoderConfig) -> "nn.Module":
    from snerv_codec.model.encoder import Encoder

    return Encoder(config)


def _backbone(config: DecoderConfig) -> "nn.Module":
    from snerv_codec.model.decoder import Decoder, SpatialPath

    return Decoder(config, SpatialPath(config.strides, config.widths, config.kernels))


def _temporal(config: DecoderConfig, *, over_time: bool) -> "nn.Module":
    from snerv_codec.model.decoder import Decoder
    from snerv_codec.model.temporal import TemporalPath

    return Decoder(config, TemporalPath(config, over_time=over_time))


def _fused_features(config: DecoderConfig) -> int:
    """Values while the last block's output is fused, at LL size, where features are widest."""
    last = config.strides[-1] ** 2
    return _positions(config) * (config.widths[-1] * (last + 5) + config.widths[-2] * 3 + 9 * 3)


def _moments(config: DecoderConfig) -> int:
    """Values in the last block of a temporal model: three moments lifted, and widened before and after activation."""
    from snerv_codec.model.temporal import MOMENTS, WIDENING

    lifted = config.widths[-1] * (1 + 2 * WIDENING) + config.widths[-2]
    return max(_fused_features(config), _positions(config) * MOMENTS * lifted)


def _positions(config: DecoderConfig) -> int:
    """Positions of the last features."""
    return prod(config.padded_size) // config.layout.scale**2


def _extension(*, over_time: bool) -> Architecture:
    """The paper's temporal extension. It stays within its budget: 103 channels at 3M, though 104 are closer."""
    decoder = partial(_temporal, over_time=over_time)
    return Architecture(encoder=_encoder, decoder=decoder, warmup=0.2, peak_features=_moments, within_budget=True)


ARCHITECTURES: dict[Model, Architecture] = {
    "b": Architecture(encoder=_encoder, decoder=_backbone, warmup=0.1, peak_features=_fused_features),
    "t": _extension(over_time=True),
    "t2d": _extension(over_time=False),
}
