"""Between networks and the file: the only place where weights meet the format."""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from bitstream import nnc
from bitstream.errors import Corrupt
from bitstream.types import DecoderConfig, QuantizedTensor, Segment
from snerv_codec.compression.quantize import EMBEDDINGS, Floats, dequantize, quantize, quantize_on
from snerv_codec.errors import SettingsError
from snerv_codec.model.decoder import Decoder

LARGEST = float(np.finfo(np.float16).max)  # of a grid's numbers


def pack_segment(
    decoder: nn.Module,
    config: DecoderConfig,
    embeddings: Sequence[Tensor],
    ll_ranges: Tensor,
    *,
    weight_bits: int,
    embed_bits: int,
    steps: Mapping[str, Tensor] | None = None,
    deadzone: float = 0,
    rounded: Mapping[str, QuantizedTensor] | None = None,
    nnc_qp: int | None = None,
    first_frame: int = 0,
) -> Segment:
    """Quantise a fitted decoder, its frames' embeddings (T, *shape) for each shape, and their LL ranges (T, 2).

    Where training knew the grids, `steps` are theirs (for `deadzone`, see `quantize_on`) and the bits do not
    matter; nor do they where all tensors are `rounded` already. With `nnc_qp` the decoder's
    tensors become an NNC bitstream, which has grids of its own. Raises `ValueError` for a decoder that is not
    the one of `config`: a variant of it, say, which no file can hold; `SettingsError` for values that only a
    fit that diverged gives.
    """

    def on_grid(name: str, values: npt.NDArray[np.float32], bits: int) -> QuantizedTensor:
        if rounded is not None:
            return rounded[name]
        if steps is None:
            return quantize(name, values, bits)
        return quantize_on(name, values, _array(steps[name]), deadzone)

    weights = {name: _array(parameter) for name, parameter in decoder.named_parameters()}
    if {name: values.shape for name, values in weights.items()} != _shapes(config):
        raise ValueError("this decoder is not the one that its configuration describes; no file can hold it")
    embedded = {name: _array(values) for name, values in zip(EMBEDDINGS, embeddings, strict=False)}
    _require_range({**weights, **embedded})
    on_grids = () if nnc_qp is not None else tuple(on_grid(name, w, weight_bits) for name, w in weights.items())
    return Segment(
        first_frame=first_frame,
        config=config,
        tensors=on_grids,
        nnc=None if nnc_qp is None else nnc.encode(weights, qp=nnc_qp),
        embeddings=tuple(on_grid(name, values, embed_bits) for name, values in embedded.items()),
        ll_ranges=ll_ranges.cpu().numpy().astype(np.float16),
    )


def unpack_decoder(segment: Segment) -> Decoder:
    """The decoder a segment holds, on the CPU.

    Raises `Corrupt` where its tensors are not the network's, `MissingExtra` where they need NNC and it is
    not installed.
    """
    expected, found = _shapes(segment.config), dict(segment.shapes)
    if found != expected:
        wrong = next(name for name in (*expected, *found) if found.get(name) != expected.get(name))
        raise Corrupt(f"tensor {wrong!r} has shape {found.get(wrong)} where the decoder needs {expected.get(wrong)}")
    with torch.device("meta"):
        decoder = Decoder(segment.config)
    decoder.load_state_dict(_weights(segment), assign=True)
    return decoder.requires_grad_(False).eval()


def unpack_embeddings(segment: Segment) -> tuple[tuple[Tensor, ...], Tensor]:
    """Embeddings (T, *shape) for each shape and LL ranges (T, 2) as the decoder takes them, float32 on the CPU."""
    return tuple(map(_tensor, segment.embeddings)), torch.from_numpy(segment.ll_ranges.astype(np.float32))


def _require_range(tensors: Mapping[str, Floats]) -> None:
    for name, values in tensors.items():
        greatest = float(np.abs(values).max())
        if not greatest <= LARGEST:
            raise SettingsError(f"the fit diverged: {name} has values up to {greatest:g}; lower --lr")


def _shapes(config: DecoderConfig) -> dict[str, tuple[int, ...]]:
    with torch.device("meta"):
        return {name: tuple(parameter.shape) for name, parameter in Decoder(config).named_parameters()}


def _weights(segment: Segment) -> dict[str, Tensor]:
    if segment.nnc is not None:
        return {name: torch.from_numpy(values) for name, values in nnc.decode(segment.nnc).items()}
    return {tensor.name: _tensor(tensor) for tensor in segment.tensors}


def _array(tensor: Tensor) -> npt.NDArray[np.float32]:
    array: npt.NDArray[np.float32] = tensor.detach().cpu().contiguous().numpy()
    return array


def _tensor(tensor: QuantizedTensor) -> Tensor:
    return torch.from_numpy(dequantize(tensor))
