"""How many values decoding a frame holds at its worst moment: the features that are alive together.

The sums follow `model.decoder`, `model.temporal` and `model.pixel` step by step; a test compares them with the tensors
that are alive while the networks run.
"""

from itertools import accumulate
from operator import mul

from snerv_codec.bitstream.models import DecoderConfig

VECTOR = 16  # channels that fill a vector unit
RGB = 3
WARPING = 8  # values for each position of a canvas while it is laid under a frame
SUBBANDS = 4  # values for each of a canvas while it is put together of subbands
CHOOSING = 3  # values for each while it is chosen among those of all scenes
FINISHING = 48  # values for each position of LL while subbands become pixels


def backbone_features(config: DecoderConfig) -> int:
    """The most that model "b" holds."""
    peak, held = _way_up(config)
    return max(peak, _after_blocks(config, held))


def pixel_features(config: DecoderConfig) -> int:
    """The most that models "pixel", "canvas" and "sprite" hold."""
    peak, _ = _way_up(config)
    if config.canvas is not None:
        stage, channels, _ = config.canvas
        held = sum(_map(config, i) for i in range(stage + 1))
        width, at, moving = config.widths[stage], _positions(config)[stage], config.layout.moving
        canvas = _sprite(config, width, at) if moving else _convolution(channels, width, at)
        peak = max(peak, held + canvas, held + 2 * _map(config, stage))
    last, at = _map(config, len(config.strides)), _positions(config)[-1]
    return max(peak, last + _convolution(config.widths[-1], RGB, at), last + FINISHING // 4 * at)


def _sprite(config: DecoderConfig, width: int, at: int) -> int:
    """The most while a canvas is chosen, put together, moved, gated, and mixed to `width` channels."""
    assert config.canvas is not None
    _, channels, levels = config.canvas
    whole, made = channels * at, bool(levels or config.scenes)  # else it lies there as it is to be
    chosen = CHOOSING * whole if config.scenes and not levels else 0
    put_together = SUBBANDS * whole if levels else 0
    moved = (1 + made) * whole + WARPING * at
    gated = whole + _convolution(width, channels, at)
    mixed = 2 * whole + _convolution(channels, width, at)
    return max(chosen, put_together, moved, gated, mixed)


def _way_up(config: DecoderConfig) -> tuple[int, int]:
    """The most while NeRV blocks make features, and what all of these take."""
    held, peak = _map(config, 0), 0
    for i, stride in enumerate(config.strides, start=1):
        channels, at = config.widths[i] * stride**2, _positions(config)[i - 1]
        peak = max(peak, held + _convolution(config.widths[i - 1], channels, at))
        held += _map(config, i)  # features stay until the last is there
    return peak, held


def moments_features(config: DecoderConfig, *, over_time: bool) -> int:
    """The most that models "t" and "t2d" hold."""
    from snerv_codec.model.temporal import MOMENTS, STILL_BLOCKS, WIDENING

    held, peak, entering = 0, 0, _map(config, 0)
    for i in range(1, len(config.widths)):
        still, last = i <= STILL_BLOCKS, i == len(config.strides)
        before, after, width = _positions(config)[i - 1], _positions(config)[i], config.widths[i]
        moments, moments_out = 1 if still else MOMENTS, 1 if still or last else MOMENTS
        lifted, wide = moments * width, moments * WIDENING * width
        kernels = 2 * 9 * wide * lifted if over_time and not still else 0  # of a convolution over time, as one in space
        here = held + entering
        peak = max(
            peak,
            here + _convolution(entering // before, lifted, before, after),
            here + lifted * after + kernels + _convolution(lifted, wide, after),
            here + (lifted + 2 * wide) * after,
            here + (lifted + wide) * after + kernels + _convolution(wide, moments_out * width, after),
        )
        entering = moments_out * width * after
        if i == STILL_BLOCKS:
            held, entering = 2 * entering, MOMENTS * entering  # the two moments besides, then all three in one
        if not still:
            held += entering
    return max(peak, _after_blocks(config, held))


def _after_blocks(config: DecoderConfig, features: int) -> int:
    """The most while `features` of all blocks are fused, and while the heads make subbands of them."""
    widths, positions, last = config.widths, _positions(config), len(config.strides)
    peak, held = 0, features
    for i in (last - 1, last):
        coarse, fine, at = widths[i - 1], widths[i], positions[i]
        joined, kept = held + (coarse + fine) * at, 2 + (config.blocks > 1)
        peak = max(
            peak,
            joined + coarse * at,
            joined + _convolution(coarse + fine, fine, at),
            joined + (kept * fine * at + _convolution(fine, fine, at) if config.blocks else 0),
        )
        held += _map(config, i)
    heads = _map(config, last) + 3 * widths[-1] * positions[-1] + _convolution(3 * widths[-1], 9, positions[-1])
    return max(peak, heads, _map(config, last) + FINISHING * positions[-1])


def _convolution(read: int, written: int, before: int, after: int | None = None) -> int:
    """Values that a convolution adds to what is there, between channels at `before` and at `after` positions.

    It works on copies of what it reads and writes, whose channels fill whole vectors.
    """
    after = before if after is None else after
    return written * after + _in_vectors(read) * before + _in_vectors(written) * after


def _in_vectors(channels: int) -> int:
    return -(-channels // VECTOR) * VECTOR


def _map(config: DecoderConfig, stage: int) -> int:
    """Values of the features after the stem (0), or after a block (from 1)."""
    return config.widths[stage] * _positions(config)[stage]


def _positions(config: DecoderConfig) -> list[int]:
    """Of the features after the stem and after each block."""
    _, height, width = config.embedding_shape
    return list(accumulate((stride**2 for stride in config.strides), mul, initial=height * width))
