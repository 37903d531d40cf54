"""Departures from the format's models, for experiments: the paper's ablations and the decoder it is compared with.

A `Variant` is a value; `build_networks` makes the networks that a file can hold and swaps the parts that the
value names. No file can hold the result: `DecoderConfig`, which is part of the format, knows nothing of it.
"""

from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn

from snerv_codec.bitstream.models import MOTION_SHAPE, DecoderConfig
from snerv_codec.errors import SettingsError
from snerv_codec.model.architectures import ARCHITECTURES, build_decoder, build_encoder, paper_kernels, paper_widths
from snerv_codec.model.blocks import UpBlock
from snerv_codec.model.decoder import SubbandDecoder
from snerv_codec.model.encoder import DownPath, Encoder
from snerv_codec.model.pixel import PixelDecoder
from snerv_codec.model.temporal import MOMENTS, STILL_BLOCKS, WIDENING, TemporalPath


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """What is left out or replaced (paper, section 4.4); the default is the format's model.

    - `fusion` (MFU): without it the heads read the last up-sampling block.
    - `restorer` (HFR): without it one 3x3 convolution gives LH, HL and HH, as the head gives LL.
    - `tub`: without it NeRV blocks stand in the place of the three TUBs, the first of which reads the three
      moments stacked on channels.
    - `widening`: by how much a TUB's first convolution widens.
    - `full_size`: how LL's size becomes the frame's. Without the wavelet the network makes pixels and the
      encoder reads them, as in HNeRV: there, "stride" doubles the smallest stride (5, 4, 4, 2, 2 for
      640x1280; the published HNeRV), and "block" adds a NeRV block of stride 2.
    """

    fusion: bool = True
    restorer: bool = True
    tub: bool = True
    widening: int = WIDENING
    full_size: Literal["wavelet", "stride", "block"] = "wavelet"

    def __post_init__(self) -> None:
        if self.full_size != "wavelet" and (self.fusion or self.restorer):
            raise SettingsError("a decoder without the wavelet has neither fusion nor restorer")

    @property
    def wavelet(self) -> bool:
        """Whether the network makes subbands rather than pixels."""
        return self.full_size == "wavelet"


FORMAT = Variant()
HNERV = Variant(fusion=False, restorer=False, full_size="stride")


def build_networks(config: DecoderConfig, variant: Variant = FORMAT) -> tuple[nn.Module, nn.Module]:
    """Encoder and decoder of `config`, changed as `variant` says.

    Raises `SettingsError` where the model lacks what the variant would change.
    """
    if not config.layout.temporal and not (variant.tub and variant.widening == WIDENING):
        raise SettingsError(f"model {config.model} has no temporal blocks to replace or to widen")
    if not variant.wavelet and config.layout.temporal:
        raise SettingsError("a decoder without the wavelet is a variant of model b")
    if variant != FORMAT and not ARCHITECTURES[config.model].subbands:
        raise SettingsError(f"model {config.model} has none of the parts that variants are about")
    encoder = build_encoder(config)
    if not variant.wavelet:
        strides = pixel_strides(config, variant)
        assert isinstance(encoder, Encoder)
        encoder.paths[0] = DownPath(strides, config.embedding_shape[0])
        widths, kernels = paper_widths(config.widths[0], len(strides)), paper_kernels(len(strides))
        return encoder, PixelDecoder(config.embedding_shape[0], strides, widths, kernels)
    decoder = build_decoder(config)
    if variant == FORMAT:
        return encoder, decoder
    assert isinstance(decoder, SubbandDecoder)
    if not variant.fusion:
        decoder.fuse = _Finest()
    if not variant.restorer:
        decoder.high = nn.Conv2d(config.widths[-1], 9, 3, padding=1)
    if not variant.tub:
        assert isinstance(decoder.up, TemporalPath)
        for i in range(STILL_BLOCKS, len(config.strides)):
            decoder.up.blocks[i] = _MomentUpBlock(config, i)
    elif variant.widening != WIDENING:
        assert isinstance(decoder.up, TemporalPath)
        decoder.up = TemporalPath(config, over_time=decoder.up.over_time, widening=variant.widening)
    return encoder, decoder


def makes_subbands(config: DecoderConfig, variant: Variant = FORMAT) -> bool:
    """Whether the networks work on subbands rather than pixels."""
    return ARCHITECTURES[config.model].subbands and variant.wavelet


def input_shapes(config: DecoderConfig, variant: Variant = FORMAT) -> list[tuple[int, int, int]]:
    """(channels, height, width) of each tensor that the encoder takes for a frame."""
    height, width = config.padded_size
    if not makes_subbands(config, variant):
        return [(3, height, width), *([MOTION_SHAPE] if config.layout.moving else [])]
    return [(3, height // 2, width // 2)] * (MOMENTS if config.layout.temporal else 1)


def pixel_strides(config: DecoderConfig, variant: Variant) -> tuple[int, ...]:
    """The strides of a decoder that makes pixels: together twice the configuration's."""
    if variant.full_size == "block":
        return *config.strides, 2
    *others, smallest = sorted(config.strides, reverse=True)
    return tuple(sorted((*others, 2 * smallest), reverse=True))


class _Finest(nn.Module):
    def forward(self, features: list[Tensor]) -> Tensor:
        return features[-1]


class _MomentUpBlock(UpBlock):
    """A NeRV block in a TUB's place: the first takes the three moments, and all give the current one."""

    moments_out = 1

    def __init__(self, config: DecoderConfig, stage: int) -> None:
        moments = MOMENTS if stage == STILL_BLOCKS else 1
        narrow, wide = config.widths[stage : stage + 2]
        super().__init__(moments * narrow, wide, stride=config.strides[stage], kernel=config.kernels[stage])
