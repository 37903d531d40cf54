"""Between networks and the file: the only place where weights meet the format."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from snerv_codec.bitstream import nnc
from snerv_codec.bitstream.errors import Corrupt
from snerv_codec.bitstream.models import DecoderConfig
from snerv_codec.bitstream.types import QuantizedTensor, Segment, Shape
from snerv_codec.compression.quantize import Floats, array, dequantize
from snerv_codec.compression.rounding import Rounding
from snerv_codec.compression.values import Values
from snerv_codec.errors import SettingsError
from snerv_codec.model.architectures import build_decoder
from snerv_codec.model.canvas import scene_numbers

LARGEST = float(np.finfo(np.float16).max)  # of a grid's numbers


def pack_segment(
    values: Values[Tensor], rounding: Rounding, config: DecoderConfig, sides: Tensor, *, first_frame: int = 0
) -> Segment:
    """Put the values of a fit on the grids of a file; `sides` are those of a `FrameSet`.

    Raises `ValueError` where the weights are not those of a decoder of `config` (but of a variant of it, say, which no
    file can hold), and `SettingsError` for values that only a fit that diverged gives.
    """
    arrays = values.map(lambda _, each: array(each))
    if {name: each.shape for name, each in arrays.weights.items()} != _shapes(config):
        raise ValueError("this decoder is not the one that its configuration describes; no file can hold it")
    _require_range(arrays)
    return Segment(
        first_frame=first_frame,
        config=config,
        side=sides[:, : config.layout.frame_values].cpu().numpy().astype(np.float16),
        **rounding(arrays)._asdict(),
    )


def unpack_decoder(segment: Segment) -> nn.Module:
    """The decoder a segment holds, on the CPU.

    Raises `Corrupt` where its tensors are not the network's, `MissingExtra` where they need NNC and it is
    not installed.
    """
    expect_decoder(segment.config, segment.shapes)
    with torch.device("meta"):
        decoder = build_decoder(segment.config)
    decoder.load_state_dict(_weights(segment), assign=True)
    return decoder.requires_grad_(False).eval()


def expect_decoder(config: DecoderConfig, shapes: Sequence[tuple[str, Shape]]) -> None:
    """Raise `Corrupt` where tensors of these names and shapes are not those of the decoder that `config` describes."""
    expected, found = _shapes(config), dict(shapes)
    if found != expected:
        wrong = next(name for name in (*expected, *found) if found.get(name) != expected.get(name))
        raise Corrupt(f"tensor {wrong!r} has shape {found.get(wrong)} where the decoder needs {expected.get(wrong)}")
    if len(found) != len(shapes):
        raise Corrupt("a tensor is there twice")


def unpack_embeddings(segment: Segment) -> tuple[tuple[Tensor, ...], Tensor]:
    """Embeddings (T, *shape) for each shape and side values, as the decoder takes them, float32 on the CPU."""
    config, stored = segment.config, torch.from_numpy(segment.side.astype(np.float32))
    side = scene_numbers(config, segment.frame_count) if config.scenes else stored
    return tuple(map(_tensor, segment.embeddings)), side


def _require_range(values: Values[Floats]) -> None:
    for name, each in values:
        greatest = float(np.abs(each).max())
        if not greatest <= LARGEST:
            raise SettingsError(f"the fit diverged: {name} has values up to {greatest:g}; lower the learning rate")


def _shapes(config: DecoderConfig) -> dict[str, Shape]:
    with torch.device("meta"):
        return {name: tuple(parameter.shape) for name, parameter in build_decoder(config).named_parameters()}


def _weights(segment: Segment) -> dict[str, Tensor]:
    if segment.nnc is not None:
        return {name: torch.from_numpy(values) for name, values in nnc.decode(segment.nnc).items()}
    return {tensor.name: _tensor(tensor) for tensor in segment.tensors}


def _tensor(tensor: QuantizedTensor) -> Tensor:
    return torch.from_numpy(dequantize(tensor))
