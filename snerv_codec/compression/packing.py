"""Between networks and the file: the only place where weights meet the format."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from bitstream.errors import Corrupt
from bitstream.types import DecoderConfig, QuantizedTensor, Segment
from snerv_codec.compression.quantize import dequantize, quantize
from snerv_codec.model.decoder import Decoder

EMBEDDINGS = ("embeddings", "temporal")  # names of the tensors for `config.embedding_shapes`


def pack_segment(
    decoder: nn.Module,
    config: DecoderConfig,
    embeddings: Sequence[Tensor],
    ll_ranges: Tensor,
    *,
    weight_bits: int,
    embed_bits: int,
    first_frame: int = 0,
) -> Segment:
    """Quantise a fitted decoder, its frames' embeddings (T, *shape) for each shape, and their LL ranges (T, 2).

    Raises `ValueError` for a decoder that is not the one of `config`: a variant of it, say, which no file can hold.
    """
    shapes = {name: tuple(parameter.shape) for name, parameter in decoder.named_parameters()}
    if shapes != _shapes(config):
        raise ValueError("this decoder is not the one that its configuration describes; no file can hold it")
    return Segment(
        first_frame=first_frame,
        config=config,
        tensors=tuple(
            quantize(name, parameter.detach().cpu().contiguous().numpy(), weight_bits)
            for name, parameter in decoder.named_parameters()
        ),
        embeddings=tuple(
            quantize(name, values.cpu().contiguous().numpy(), embed_bits)
            for name, values in zip(EMBEDDINGS, embeddings, strict=False)
        ),
        ll_ranges=ll_ranges.cpu().numpy().astype(np.float16),
    )


def unpack_decoder(segment: Segment) -> Decoder:
    """The decoder a segment holds, on the CPU. Raises `Corrupt` where its tensors are not the network's."""
    expected = _shapes(segment.config)
    found = {tensor.name: tensor.shape for tensor in segment.tensors}
    if found != expected:
        wrong = next(name for name in (*expected, *found) if found.get(name) != expected.get(name))
        raise Corrupt(f"tensor {wrong!r} has shape {found.get(wrong)} where the decoder needs {expected.get(wrong)}")
    weights = {tensor.name: _tensor(tensor) for tensor in segment.tensors}
    with torch.device("meta"):
        decoder = Decoder(segment.config)
    decoder.load_state_dict(weights, assign=True)
    return decoder.requires_grad_(False).eval()


def unpack_embeddings(segment: Segment) -> tuple[tuple[Tensor, ...], Tensor]:
    """Embeddings (T, *shape) for each shape and LL ranges (T, 2) as the decoder takes them, float32 on the CPU."""
    return tuple(map(_tensor, segment.embeddings)), torch.from_numpy(segment.ll_ranges.astype(np.float32))


def _shapes(config: DecoderConfig) -> dict[str, tuple[int, ...]]:
    with torch.device("meta"):
        return {name: tuple(parameter.shape) for name, parameter in Decoder(config).named_parameters()}


def _tensor(tensor: QuantizedTensor) -> Tensor:
    return torch.from_numpy(dequantize(tensor))
