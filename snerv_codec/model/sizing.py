"""From a video's size and a parameter budget to the `DecoderConfig` that meets it."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from itertools import combinations_with_replacement
from math import ceil, gcd, log2, prod

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from snerv_codec.bitstream.models import (
    LAYOUTS,
    MAX_CHANNELS,
    MAX_SCENES,
    MAX_VALUES_A_PIXEL,
    DecoderConfig,
    Model,
    check_covers,
)
from snerv_codec.errors import SettingsError
from snerv_codec.model.architectures import ARCHITECTURES, Proportions
from snerv_codec.model.temporal import STILL_BLOCKS
from snerv_codec.model.variants import FORMAT, Variant, build_networks, input_shapes, makes_subbands

STRIDE_CHOICES = (5, 4, 3, 2, 1)
# By parameter budget: positions of a temporal embedding (5x10, 10x20, 20x40; paper, table 9).
TEMPORAL_POSITIONS = {750_000: 50, 1_500_000: 200, 3_000_000: 800}
TEMPORAL_CHANNELS = 3
# What doubling or halving a model's number of positions weighs, in shares of the frame's area. Padding
# costs arithmetic only; positions cost bits in every frame or detail that the decoder has to invent.
POSITION_WEIGHT = 0.1
BUDGET_TOLERANCE = 0.1
UNPACKING = 14  # bytes a value takes while its tensor is dequantised: 16-bit symbols, and three arrays of floats
# What the C library keeps of features that are gone, and what the first convolutions and a heap that grows in large
# steps (`runtime.machine`) take besides, as measured.
SLACK = 1.05
LIBRARIES = 80 << 20
# Widths whose totals differ by less than this share of the budget are equally close: the widest stem is taken.
# (On Bunny at 3M, 110 and 111 channels differ by 2,317 parameters; the paper has 111.)
TIE = 0.001
LEAST_SIDE = 6  # places of a canvas that has been halved as often as it may be
LEAST_SCENE = 4  # frames of one that has a canvas of its own
KEPT = 256  # models whose cost is remembered: walking through one takes longer than all the rest of a short plan


@dataclass(frozen=True, slots=True)
class ModelCost:
    """Size and arithmetic of a model for `frames` frames: what `--dry-run` reports.

    MACs are per frame; the decoder's include the inverse wavelet at 4 per output sample, as the paper's.
    """

    decoder_parameters: int
    embedding_parameters: int
    encoder_parameters: int
    decoder_macs: int
    encoder_macs: int

    @property
    def total_parameters(self) -> int:
        """Decoder and embeddings: the paper's model size, which `--size` asks for."""
        return self.decoder_parameters + self.embedding_parameters


def parse_size(text: str) -> int:
    """Number of parameters in "3M", "350k", "0.35M" or "350000"; raises `SettingsError`."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?|\.\d+)([kKmM]?)", text.strip())
    count = round(float(match[1]) * {"": 1, "k": 1e3, "m": 1e6}[match[2].lower()]) if match else 0
    if count < 1:
        raise SettingsError(f"size {text!r} is not a number of parameters such as 3M, 350k or 0.35M")
    return count


def choose_config(
    height: int,
    width: int,
    frames: int,
    budget: int,
    *,
    channels: int | None = None,
    blocks: int | None = None,
    strides: tuple[int, ...] | None = None,
    embedding: tuple[int, int, int] | None = None,
    model: Model = "b",
    temporal_size: tuple[int, int] | None = None,
    scenes: Sequence[int] = (),
    variant: Variant = FORMAT,
) -> DecoderConfig:
    """The configuration whose decoder and embeddings come closest to `budget` parameters (t, t2d: from below).

    `height` and `width` are the frame's, in pixels; `channels`, `blocks`, `strides`, `embedding` (channels,
    height, width) and `temporal_size` (height, width) override the choice; `scenes` are the frames that begin one, of
    which those that last may have a canvas of their own; `variant` is what the parameters are counted of. Raises
    `SettingsError` where the budget cannot hold the embeddings and a decoder.
    """
    rule = ARCHITECTURES[model].proportions
    values = rule.share * budget / frames
    if embedding is not None:
        shape, strides = embedding, _strides_from(embedding, height, width, strides, model)
    else:
        strides = strides or choose_strides(height, width, model, rule.positions(height, width, values))
        rows, columns = _positions(height, width, strides, model)
        shape = rule.channels(values / (rows * columns)), rows, columns
    temporal = None
    if LAYOUTS[model].temporal:
        size = _temporal_size(shape, strides, temporal_size, _temporal_positions(budget), values)
        temporal = (TEMPORAL_CHANNELS, *size)
    elif temporal_size is not None:
        having = " and ".join(name for name, layout in LAYOUTS.items() if layout.temporal)
        raise SettingsError(f"a temporal size is for models {having}; model {model} has no temporal embeddings")
    first, blocks = 1 if channels is None else channels, rule.blocks(budget) if blocks is None else blocks
    try:
        widths, kernels = rule.widths(first, len(strides)), rule.kernels(len(strides))
        room, coarsest = rule.canvas * budget, prod(shape[1:]) * max(1, *strides[:1]) ** 2
        own = _own_scenes(scenes, frames, int(room / coarsest)) if LAYOUTS[model].moving else ()
        canvas = _canvas(shape, strides, room / (len(own) + 1), rule) if LAYOUTS[model].canvas else None
        base = DecoderConfig(shape, strides, widths, kernels, blocks, model, temporal, canvas, own)
        check_covers(base, height, width)
    except ValueError as error:
        raise SettingsError(f"no such decoder: {error}") from error
    return base if channels is not None else _widest(base, frames, budget, variant)


def _own_scenes(scenes: Sequence[int], frames: int, most: int) -> tuple[int, ...]:
    """Those of `scenes` that have a canvas of their own: with the first, which always has one, `most` canvases.

    Frames of a scene that is too short share the canvas of one beside it. Where there are too many, only longer ones
    have their own.
    """
    least, most = LEAST_SCENE, max(1, min(most, MAX_SCENES))
    own = _lasting(scenes, frames, least)
    while len(own) >= most:
        least *= 2
        own = _lasting(scenes, frames, least)
    return own


def _lasting(scenes: Sequence[int], frames: int, least: int) -> tuple[int, ...]:
    """Those of `scenes` that come `least` frames or more after the one kept before, and before the end."""
    own = [0]
    for start in scenes:
        if own[-1] + least <= start <= frames - least:
            own.append(start)
    return tuple(own[1:])


def _canvas(
    shape: tuple[int, int, int], strides: tuple[int, ...], values: float, rule: Proportions
) -> tuple[int, int, int]:
    """Block, channels and levels of a canvas of about so many `values`, as fine as the fewest channels allow."""
    fewest, most = rule.canvas_channels
    found = 1, 1, 0
    for stage in range(1, len(strides) + 1):
        size = [side * max(1, prod(strides[:stage])) for side in shape[1:]]
        channels = values / prod(size)
        if channels >= fewest or stage == 1:
            room = MAX_VALUES_A_PIXEL * max(1, prod(strides[stage:])) ** 2
            levels = max(0, min(rule.levels, int(log2(max(1, min(size)) / LEAST_SIDE))))
            found = stage, max(1, min(round(channels), most, room)), levels
    return found


def _widest(base: DecoderConfig, frames: int, budget: int, variant: Variant) -> DecoderConfig:
    """`base` with as many channels as the budget holds."""
    embeddings = embedding_parameters(base, frames)

    def excess(count: int) -> int:
        return decoder_parameters(_with_channels(base, count), variant) + embeddings - budget

    low, high = 1, MAX_CHANNELS
    while low < high:  # the widest decoder that does not exceed the budget, or one channel
        middle = (low + high + 1) // 2
        low, high = (middle, high) if excess(middle) <= 0 else (low, middle - 1)
    best = low
    if not ARCHITECTURES[base.model].proportions.within_budget:
        best = min((low, min(low + 1, MAX_CHANNELS)), key=lambda count: abs(excess(count)))
        closest = abs(excess(best))
        while best < MAX_CHANNELS and abs(excess(best + 1)) <= closest + TIE * budget:
            best += 1
    if excess(best) > BUDGET_TOLERANCE * budget:
        best = low  # a channel less is far from it too, but there is room for that
    if excess(best) > BUDGET_TOLERANCE * budget:
        raise SettingsError(
            f"a size of {budget:,} parameters is too small: the embeddings of {frames} frames take {embeddings:,} "
            f"and the smallest decoder {excess(1) + budget - embeddings:,}; "
            f"ask for {excess(1) + budget:,} or more, or encode fewer frames"
        )
    if excess(best) < -BUDGET_TOLERANCE * budget and best == MAX_CHANNELS:
        raise SettingsError(f"a size of {budget:,} parameters is too large; ask for {excess(best) + budget:,} at most")
    return _with_channels(base, best)


def temporal_sizes(shape: tuple[int, int, int], strides: tuple[int, ...]) -> list[tuple[int, int]]:
    """Every (height, width) that temporal embeddings may have: block 2's output over an integer, finest first."""
    height, width = (max(1, prod(strides[:STILL_BLOCKS])) * side for side in shape[1:])
    common = gcd(height, width)
    return [(height // scale, width // scale) for scale in range(1, common + 1) if common % scale == 0]


def _temporal_size(
    shape: tuple[int, int, int],
    strides: tuple[int, ...],
    wanted: tuple[int, int] | None,
    positions: int,
    values: float,
) -> tuple[int, int]:
    """The size with about as many `positions`, within `values` a frame; or the `wanted` one, checked."""
    sizes = temporal_sizes(shape, strides)
    if wanted is not None:
        if wanted not in sizes:
            raise SettingsError(
                f"a temporal size of {wanted[0]}x{wanted[1]} (height x width) does not fit these strides; "
                f"take one of {', '.join(f'{height}x{width}' for height, width in sizes)}"
            )
        return wanted
    affordable = [size for size in sizes if 2 * TEMPORAL_CHANNELS * prod(size) <= values] or sizes[-1:]
    return min(affordable, key=lambda size: abs(log2(prod(size) / positions)))


def _temporal_positions(budget: int) -> int:
    """Those of the paper's model that is nearest in size."""
    return TEMPORAL_POSITIONS[min(TEMPORAL_POSITIONS, key=lambda size: abs(log2(size / budget)))]


def choose_strides(height: int, width: int, model: Model, positions: float) -> tuple[int, ...]:
    """Strides of `model` for frames of `height` x `width` pixels and embeddings of about as many `positions`.

    Weighs the padding against the distance from those; at the paper's sizes both are nil with the paper's own strides.
    """

    def cost(strides: tuple[int, ...]) -> tuple[float, int]:
        found = prod(_positions(height, width, strides, model))
        area = found * (LAYOUTS[model].scale * prod(strides)) ** 2
        penalty = area / (height * width) - 1 + POSITION_WEIGHT * abs(log2(found / positions))
        return penalty, sum(strides)  # among equal products, the most even factors

    return min(_stride_choices(model), key=cost)


def _strides_from(
    shape: tuple[int, int, int], height: int, width: int, strides: tuple[int, ...] | None, model: Model
) -> tuple[int, ...]:
    """The least strides from an embedding of `shape` to the frame, or those given. Raises `SettingsError`."""
    made = "x".join(map(str, shape))
    if len(shape) != 3 or min(shape) < 1:
        raise SettingsError(f"an embedding of {made} (channels x height x width) is not three positive sizes")

    def reaches(strides: tuple[int, ...]) -> bool:
        step = LAYOUTS[model].scale * max(1, prod(strides))
        return shape[1] * step >= height and shape[2] * step >= width

    if strides is not None and not reaches(strides):
        raise SettingsError(
            f"strides {','.join(map(str, strides))} do not lead from an embedding of {made} to "
            f"frames of {width}x{height}; leave `strides` out, or raise some of them"
        )
    if strides is not None:
        return strides
    found = [choice for choice in _stride_choices(model) if reaches(choice)]
    if not found:
        raise SettingsError(
            f"no strides lead from an embedding of {made} to frames of {width}x{height}; take a finer one"
        )
    return min(found, key=lambda choice: (prod(choice), sum(choice)))


def _stride_choices(model: Model) -> Iterable[tuple[int, ...]]:
    """All that sizing takes from, each in descending order."""
    return combinations_with_replacement(STRIDE_CHOICES, ARCHITECTURES[model].proportions.stages)


@lru_cache(maxsize=KEPT)
def model_cost(config: DecoderConfig, frames: int, variant: Variant = FORMAT) -> ModelCost:
    """Count parameters and multiply-accumulates of `config` without allocating it."""
    height, width = config.padded_size
    with torch.device("meta"):
        encoder, decoder = build_networks(config, variant)
        encoder_macs = _macs(encoder, _inputs(config, variant))
        embeddings = [torch.empty(1, *shape) for shape in config.embedding_shapes]
        decoder_macs = _macs(decoder, embeddings, torch.empty(1, config.side_values))
    return ModelCost(
        decoder_parameters=_count(decoder),
        embedding_parameters=embedding_parameters(config, frames),
        encoder_parameters=_count(encoder),
        decoder_macs=decoder_macs + 4 * 3 * height * width * makes_subbands(config, variant),
        encoder_macs=encoder_macs,
    )


def decoding_memory(config: DecoderConfig, values: int, batch: int) -> int:
    """Bytes that decoding `batch` frames at once takes, of a segment whose tensors hold `values`."""
    features = round(SLACK * 4 * batch * ARCHITECTURES[config.model].features(config))
    return max(UNPACKING * values, 4 * values + features) + LIBRARIES


@lru_cache(maxsize=KEPT)
def fitting_memory(config: DecoderConfig, batch: int, variant: Variant = FORMAT) -> int:
    """Bytes that a step on `batch` frames takes, the video itself left out.

    Weights, gradients and Adam's moments, and what the backward pass keeps: every layer's output.
    """
    height, width = config.padded_size
    kept = 0

    def count(module: nn.Module, inputs: object, output: torch.Tensor) -> None:
        nonlocal kept
        kept += output.numel()

    with torch.device("meta"):
        encoder, decoder = build_networks(config, variant)
        for module in (*decoder.modules(), *encoder.modules()):
            if not list(module.children()):
                module.register_forward_hook(count)
        with torch.no_grad():
            decoder(encoder(_inputs(config, variant)), torch.empty(1, config.side_values))
    losses = 30 * 3 * height * width  # the maps of SSIM and the subbands, with their gradients
    parameters = _count(decoder) + _count(encoder)
    return 4 * (4 * parameters + batch * (2 * kept + losses))


def embedding_parameters(config: DecoderConfig, frames: int) -> int:
    """Values that all frames carry: their embeddings and side values."""
    return frames * (sum(map(prod, config.embedding_shapes)) + config.layout.frame_values)


def _positions(height: int, width: int, strides: tuple[int, ...], model: Model) -> tuple[int, int]:
    """Rows and columns of an embedding."""
    step = LAYOUTS[model].scale * max(1, prod(strides))  # what is wrong with a stride of 0, `DecoderConfig` says
    return ceil(height / step), ceil(width / step)


def _with_channels(config: DecoderConfig, channels: int) -> DecoderConfig:
    widths = ARCHITECTURES[config.model].proportions.widths(channels, len(config.strides))
    return replace(config, widths=widths)


@cache
def decoder_parameters(config: DecoderConfig, variant: Variant = FORMAT) -> int:
    """Number of values in the decoder that `config` describes."""
    with torch.device("meta"):
        return _count(build_networks(config, variant)[1])


def _count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def _inputs(config: DecoderConfig, variant: Variant) -> list[torch.Tensor]:
    """What the encoder takes for one frame, on the current device."""
    return [torch.empty(1, *shape) for shape in input_shapes(config, variant)]


def _macs(module: nn.Module, *inputs: object) -> int:
    module.requires_grad_(False)  # the counter cannot do with parameters that go into a layer as its input
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        module(*inputs)
    return int(counter.get_total_flops()) // 2
