"""The architecture is the paper's: parameters, multiply-accumulates and shapes (tables 6, 9 and 10)."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from bitstream.types import DecoderConfig
from snerv_codec.model.decoder import Decoder, stage_widths
from snerv_codec.model.encoder import Encoder


def parameters(module):
    return sum(p.numel() for p in module.parameters())


def giga_macs(module, *inputs):
    with FlopCounterMode(display=False) as counter:
        module(*inputs)
    return counter.get_total_flops() / 2e9


@pytest.mark.parametrize(
    ("strides", "channels", "blocks", "expected"),
    [
        ((5, 4, 2, 2, 2), 41, 2, 353_432),
        ((5, 4, 2, 2, 2), 57, 3, 745_718),
        ((5, 4, 2, 2, 2), 81, 4, 1_568_189),
        ((5, 4, 2, 2, 2), 111, 6, 2_993_042),
        ((5, 4, 2, 2, 2), 132, 8, 4_555_819),
        ((5, 4, 2, 2, 2), 148, 10, 5_930_835),
        ((5, 4, 3, 2, 2), 100, 6, 2_941_069),
        ((5, 3, 2, 2, 2), 119, 6, 2_931_254),
        ((5, 4, 3, 2, 2), 95, 6, 2_673_809),
        ((5, 4, 3, 2, 2), 120, 6, 4_239_775),
        ((5, 4, 3, 2, 2), 150, 6, 6_636_943),
    ],
)
def test_decoder_has_the_papers_parameters(strides, channels, blocks, expected):
    with torch.device("meta"):
        decoder = Decoder(DecoderConfig((16, 2, 4), strides, channels, blocks))
    assert parameters(decoder) == expected


@pytest.mark.parametrize(("strides", "expected"), [((5, 4, 2, 2, 2), 257_008), ((3, 2, 2, 2, 2), 204_784)])
def test_encoder_has_the_papers_parameters(strides, expected):
    assert parameters(Encoder(strides, 16)) == expected


@pytest.mark.parametrize(
    ("strides", "channels", "decoder_macs", "all_macs"),
    [((5, 4, 2, 2, 2), 111, 90.10, 90.49), ((5, 4, 3, 2, 2), 100, 167.0, 167.9)],
)
def test_multiply_accumulates_are_the_papers(strides, channels, decoder_macs, all_macs):
    config = DecoderConfig((16, 2, 4), strides, channels, 6)
    height, width = config.padded_size
    with torch.device("meta"):
        decoding = giga_macs(Decoder(config), torch.empty(1, 16, 2, 4), torch.empty(1, 2))
        encoding = giga_macs(Encoder(strides, 16), torch.empty(1, 3, height // 2, width // 2))
    assert decoding == pytest.approx(decoder_macs, abs=0.05)
    assert decoding + encoding == pytest.approx(all_macs, abs=0.05)


def test_shapes_at_every_stage():
    config = DecoderConfig((16, 2, 3), (3, 2, 2, 1, 2), 20, 1)
    decoder, widths, shapes = Decoder(config), stage_widths(config), []
    for up in decoder.up:
        up.register_forward_hook(lambda module, args, out: shapes.append(tuple(out.shape)))
    for fuse in decoder.fuse:
        fuse.register_forward_hook(lambda module, args, out: shapes.append(tuple(out.shape)))
    prediction = decoder(torch.rand(2, 16, 2, 3), torch.rand(2, 2))
    sides = [(6, 9), (12, 18), (24, 36), (24, 36), (48, 72), (24, 36), (48, 72)]
    assert shapes == [(2, c, *side) for c, side in zip((*widths[1:], *widths[-2:]), sides, strict=True)]
    assert prediction.low.shape == (2, 3, 48, 72)
    assert prediction.high.shape == (2, 9, 48, 72)
    assert prediction.frame.shape == (2, 3, *config.padded_size) == (2, 3, 96, 144)
    assert Encoder(config.strides, 16)(prediction.low).shape == (2, 16, 2, 3)


def test_widths_round_ties_to_even_as_the_paper_does():
    assert stage_widths(DecoderConfig((16, 2, 4), (5, 4, 2, 2, 2), 111, 6)) == (111, 92, 77, 64, 53, 44)
    assert stage_widths(DecoderConfig((16, 2, 4), (5, 4, 2, 2, 2), 14, 6)) == (14, 12, 12, 12, 12, 12)
