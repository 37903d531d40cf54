"""The models: for each name what builds it and what the rest of the codec must know of it.

A new model is a row here and one in `bitstream.models.LAYOUTS`, and a module with its networks. It imports no torch, as
the command line reads it; the builders do when they are called.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial
from math import log2, prod
from typing import TYPE_CHECKING

from snerv_codec.bitstream.models import MAX_CHANNELS, DecoderConfig, Model
from snerv_codec.model.memory import backbone_features, moments_features, pixel_features

if TYPE_CHECKING:
    from torch import nn

MIN_WIDTH = 12
CELL = 24  # pixels along a side of what a position of a fine embedding covers
FEWEST_CHANNELS, MOST_CHANNELS = 4, 16  # of one, as far as there are parameters for it
NARROWING = Fraction(5, 6)  # each stage is narrower by 1.2
LARGEST_KERNEL = 5
PAPER_BLOCKS = {350_000: 2, 750_000: 3, 1_500_000: 4, 3_000_000: 6, 4_570_000: 8, 5_950_000: 10}


def paper_widths(channels: int, stages: int) -> tuple[int, ...]:
    """C_0, ..., C_n of the paper: after the stem, and narrower by 1.2 with each of `stages` blocks; ties go to even."""
    widths = [channels]
    for _ in range(stages):
        widths.append(max(round(widths[-1] * NARROWING), MIN_WIDTH))
    return tuple(widths)


def paper_blocks(parameters: int) -> int:
    """N_RB of the paper's model whose number of parameters is nearest, by their ratio (table 9)."""
    return PAPER_BLOCKS[min(PAPER_BLOCKS, key=lambda size: abs(log2(size / parameters)))]


def paper_positions(height: int, width: int, values: float) -> float:
    """8, which are 2 x 4 in all of the paper's configurations."""
    return 8


def paper_channels(values: float) -> int:
    """16, those of the paper's embeddings."""
    return 16


def paper_kernels(stages: int) -> tuple[int, ...]:
    """Kernels of the paper's up-sampling blocks: 1, 3, 5, 5, 5."""
    return tuple(min(1 + 2 * stage, LARGEST_KERNEL) for stage in range(stages))


@dataclass(frozen=True, slots=True, kw_only=True)
class Proportions:
    """What sizing holds to when it chooses a configuration; the defaults are the paper's.

    - `stages`: up-sampling blocks.
    - `share`: of all parameters, those that there are for embeddings, where these follow from it.
    - `positions`: of a frame's embedding, about, from the frame's height and width in pixels and its parameters' share.
    - `channels`: of the embedding, from the parameters that there are for each position.
    - `widths`: of the features, from C_0 and the number of stages; `kernels`: of the blocks, from the latter.
    - `blocks`: residual blocks of a fusion block, from the number of parameters.
    - `canvas`: of all parameters, those that there are for a canvas. It is as fine as it can be with the first of
      `canvas_channels` left, which are rounded then, and at most the second. It is halved so many times, its `levels`,
      while its sides are not too small for that.
    - `within_budget`: whether to stay below the number of parameters asked for, or to go to the closest.
    """

    stages: int = 5
    share: float = 0.25
    positions: Callable[[int, int, float], float] = paper_positions
    channels: Callable[[float], int] = paper_channels
    widths: Callable[[int, int], tuple[int, ...]] = paper_widths
    kernels: Callable[[int], tuple[int, ...]] = paper_kernels
    blocks: Callable[[int], int] = paper_blocks
    canvas: float = 0.0
    canvas_channels: tuple[float, int] = (1.5, MAX_CHANNELS)
    levels: int = 0
    within_budget: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Architecture:
    """What the codec must know of a model; what the format must, is in `bitstream.models.LAYOUTS`.

    - `encoder`, `decoder`: build the networks, on torch's current device.
    - `features`: values that are alive together while a frame is decoded, weights left out (`model.memory`).
    - `subbands`: whether the network makes the subbands of a frame from its LL, or pixels from pixels.
    - `warmup`: share of a phase of training in which the learning rate rises.
    - `rate_weight`: what a bit a value weighs in a fit for rate; less where the loss has fewer parts to outweigh it.
    - `psnr`: in dB, of the parameters that suit a video with that, about.
    - `bits`: of a weight after such a fit, beside those of model b at the same rate weight.
    - `target_bits`: a parameter at which a target in bytes is best met: more parameters at fewer bits are slower, fewer
      at more bits worse.
    """

    encoder: Callable[[DecoderConfig], "nn.Module"]
    decoder: Callable[[DecoderConfig], "nn.Module"]
    features: Callable[[DecoderConfig], int]
    subbands: bool = True
    warmup: float = 0.1
    rate_weight: float = 0.01
    psnr: float = 30.0
    bits: float = 1.0
    target_bits: float = 3.5
    proportions: Proportions = Proportions()


def paper_config(
    embedding_shape: tuple[int, int, int],
    strides: tuple[int, ...],
    channels: int,
    blocks: int,
    model: Model = "b",
    temporal_shape: tuple[int, int, int] | None = None,
    canvas: tuple[int, int, int] | None = None,
) -> DecoderConfig:
    """The configuration with the paper's widths and kernels for C_0 = `channels` and N_RB = `blocks`."""
    stages = len(strides)
    widths, kernels = paper_widths(channels, stages), paper_kernels(stages)
    return DecoderConfig(embedding_shape, strides, widths, kernels, blocks, model, temporal_shape, canvas)


def build_encoder(config: DecoderConfig) -> "nn.Module":
    """The network from a frame, or its low bands, to its embeddings; it is never transmitted."""
    return ARCHITECTURES[config.model].encoder(config)


def build_decoder(config: DecoderConfig) -> "nn.Module":
    """The network from embeddings to frames, which a file holds."""
    return ARCHITECTURES[config.model].decoder(config)


def _encoder(config: DecoderConfig) -> "nn.Module":
    from snerv_codec.model.encoder import Encoder

    return Encoder(config)


def _backbone(config: DecoderConfig) -> "nn.Module":
    from snerv_codec.model.decoder import SpatialPath, SubbandDecoder

    return SubbandDecoder(config, SpatialPath(config.strides, config.widths, config.kernels))


def _temporal(config: DecoderConfig, *, over_time: bool) -> "nn.Module":
    from snerv_codec.model.decoder import SubbandDecoder
    from snerv_codec.model.temporal import TemporalPath

    return SubbandDecoder(config, TemporalPath(config, over_time=over_time))


def _extension(*, over_time: bool) -> Architecture:
    """The paper's temporal extension. It stays within its budget: 103 channels at 3M, though 104 are closer."""
    return Architecture(
        encoder=_encoder,
        decoder=partial(_temporal, over_time=over_time),
        features=partial(moments_features, over_time=over_time),
        warmup=0.2,
        proportions=Proportions(within_budget=True),
    )


def _pixel_encoder(config: DecoderConfig) -> "nn.Module":
    from snerv_codec.model.pixel import PixelEncoder

    return PixelEncoder(config)


def _pixel(config: DecoderConfig) -> "nn.Module":
    from snerv_codec.model.canvas import Canvas, Sprite
    from snerv_codec.model.pixel import PixelDecoder

    canvas: Canvas | None = None
    if config.canvas is not None:
        stage, _, levels = config.canvas
        about = config.canvas_shape, config.widths[stage], stage
        if config.layout.moving:
            canvas = Sprite(*about, prod(config.strides[stage:]), levels, len(config.scenes) + 1)
        else:
            canvas = Canvas(*about)
    return PixelDecoder(config.embedding_shape[0], config.strides, config.widths, config.kernels, canvas)


def fine_positions(height: int, width: int, values: float) -> float:
    """One for each 24 x 24 pixels, or fewer, so that there are 4 `values` for each; 8 at least, as the paper has."""
    return max(8.0, min(height * width / CELL**2, values / FEWEST_CHANNELS))


def fine_channels(values: float, most: int = MOST_CHANNELS) -> int:
    """As many as there are values for, and no more than pay."""
    return max(1, min(most, int(values)))


def bounded_widths(channels: int, stages: int) -> tuple[int, ...]:
    """The paper's widths, but none above the stem's."""
    return tuple(min(channels, width) for width in paper_widths(channels, stages))


_PIXEL = Architecture(
    encoder=_pixel_encoder,
    decoder=_pixel,
    features=pixel_features,
    subbands=False,
    rate_weight=0.004,
    psnr=32.0,
    bits=0.82,
    proportions=Proportions(
        stages=4,
        share=0.4,
        positions=fine_positions,
        channels=fine_channels,
        widths=bounded_widths,
        blocks=lambda parameters: 0,
    ),
)

_CANVAS = replace(_PIXEL, bits=0.7, proportions=replace(_PIXEL.proportions, canvas=1 / 8))

# A map that moves shows detail where it belongs, and its subbands say most of it with zeros: finer is worth more than a
# second channel, and than much of what each frame says for itself.
_SPRITE = replace(
    _CANVAS.proportions,
    share=0.25,
    channels=partial(fine_channels, most=6),
    canvas=0.6,
    canvas_channels=(1.0, 1),
    levels=4,
)

ARCHITECTURES: dict[Model, Architecture] = {
    "b": Architecture(encoder=_encoder, decoder=_backbone, features=backbone_features),
    "t": _extension(over_time=True),
    "t2d": _extension(over_time=False),
    "pixel": _PIXEL,
    "canvas": _CANVAS,
    "sprite": replace(_CANVAS, psnr=34.0, bits=0.52, target_bits=2.5, proportions=_SPRITE),
}
