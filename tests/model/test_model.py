"""The architecture is the paper's: parameters, multiply-accumulates and shapes (tables 6, 9 and 10)."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from snerv_codec.model.architectures import build_decoder, paper_config, paper_widths
from snerv_codec.model.blocks import FusionBlock
from snerv_codec.model.encoder import DownPath, Encoder, pair_strides
from snerv_codec.model.sizing import model_cost
from snerv_codec.model.temporal import TimeConv, prime_factors


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
        decoder = build_decoder(paper_config((16, 2, 4), strides, channels, blocks))
    assert parameters(decoder) == expected


@pytest.mark.parametrize(("strides", "expected"), [((5, 4, 2, 2, 2), 257_008), ((3, 2, 2, 2, 2), 204_784)])
def test_encoder_has_the_papers_parameters(strides, expected):
    assert parameters(DownPath(strides, 16)) == expected


@pytest.mark.parametrize(
    ("strides", "channels", "decoder_macs", "all_macs"),
    [((5, 4, 2, 2, 2), 111, 90.10, 90.49), ((5, 4, 3, 2, 2), 100, 167.0, 167.9)],
)
def test_multiply_accumulates_are_the_papers(strides, channels, decoder_macs, all_macs):
    config = paper_config((16, 2, 4), strides, channels, 6)
    height, width = config.padded_size
    with torch.device("meta"):
        decoding = giga_macs(build_decoder(config), [torch.empty(1, 16, 2, 4)], torch.empty(1, 2))
        encoding = giga_macs(DownPath(strides, 16), torch.empty(1, 3, height // 2, width // 2))
    assert decoding == pytest.approx(decoder_macs, abs=0.05)
    assert decoding + encoding == pytest.approx(all_macs, abs=0.05)


def test_shapes_at_every_stage():
    config = paper_config((16, 2, 3), (3, 2, 2, 1, 2), 20, 1)
    decoder, widths, shapes = build_decoder(config), config.widths, []
    for up in decoder.up:
        up.register_forward_hook(lambda module, args, out: shapes.append(tuple(out.shape)))
    for fuse in decoder.fuse:
        fuse.register_forward_hook(lambda module, args, out: shapes.append(tuple(out.shape)))
    prediction = decoder([torch.rand(2, 16, 2, 3)], torch.rand(2, 2))
    sides = [(6, 9), (12, 18), (24, 36), (24, 36), (48, 72), (24, 36), (48, 72)]
    assert shapes == [(2, c, *side) for c, side in zip((*widths[1:], *widths[-2:]), sides, strict=True)]
    assert prediction.low.shape == (2, 3, 48, 72)
    assert prediction.high.shape == (2, 9, 48, 72)
    assert prediction.frame.shape == (2, 3, *config.padded_size) == (2, 3, 96, 144)
    assert Encoder(config)([prediction.low])[0].shape == (2, 16, 2, 3)


def test_widths_round_ties_to_even_as_the_paper_does():
    assert paper_widths(111, 5) == (111, 92, 77, 64, 53, 44)
    assert paper_widths(14, 5) == (14, 12, 12, 12, 12, 12)


TEMPORAL = [
    ("t", (5, 4, 2, 2, 2), 103, 6, 2_340_605, 546_402, 208.1),
    ("t", (5, 4, 2, 2, 2), 129, 8, 3_869_022, 546_402, None),
    ("t", (5, 4, 2, 2, 2), 146, 10, 5_300_598, 546_402, None),
    ("t", (5, 4, 3, 2, 2), 96, 6, 2_095_639, None, 401.5),
    ("t2d", (5, 4, 2, 2, 2), 103, 6, 3_849_545, 546_402, 208.1),
]


@pytest.mark.parametrize(("model", "strides", "channels", "blocks", "decoder", "encoder", "macs"), TEMPORAL)
def test_the_temporal_extension_is_the_papers(model, strides, channels, blocks, decoder, encoder, macs):
    config = paper_config((16, 2, 4), strides, channels, blocks, model, (3, 20, 40))
    cost = model_cost(config, 132)
    assert cost.decoder_parameters == decoder
    assert cost.embedding_parameters == 650_760
    if encoder is not None:
        assert cost.encoder_parameters == encoder
    if macs is not None:  # the paper does not count the inverse wavelet here
        height, width = config.padded_size
        assert (cost.decoder_macs + cost.encoder_macs - 12 * height * width) / 1e9 == pytest.approx(macs, abs=0.1)


@pytest.mark.parametrize(
    ("strides", "temporal", "expected"),
    [
        ((5, 4, 2, 2, 2), (5, 10), (4, 2, 2, 2, 2)),
        ((5, 4, 2, 2, 2), (10, 20), (4, 2, 2, 2)),
        ((5, 4, 2, 2, 2), (20, 40), (2, 2, 2, 2)),
        ((5, 4, 3, 2, 2), (5, 10), (4, 3, 2, 2, 2)),
        ((5, 4, 3, 2, 2), (10, 20), (4, 3, 2, 2)),
        ((5, 4, 3, 2, 2), (20, 40), (3, 2, 2, 2)),
    ],
)
def test_encoders_of_pairs_have_the_papers_strides(strides, temporal, expected):
    config = paper_config((16, 2, 4), strides, 20, 1, "t", (3, *temporal))
    assert pair_strides(config) == expected
    height, width = (side // 2 for side in config.padded_size)
    with torch.device("meta"):
        embeddings = Encoder(config)([torch.empty(2, 3, height, width)] * 3)
    assert [tuple(values.shape) for values in embeddings] == [(2, 16, 2, 4), (2, 6, *temporal)]


@pytest.mark.parametrize("moments_out", [1, 3])
def test_the_banded_convolution_is_the_three_dimensional_one(moments_out):
    layer = TimeConv(4, 5, moments_out=moments_out).double()
    x = torch.randn(2, 4, 3, 6, 7, dtype=torch.float64)
    padding = (1 if moments_out == 3 else 0, 1, 1)
    expected = torch.nn.functional.conv3d(x, layer.weight, layer.bias, padding=padding)
    stacked = layer(x.transpose(1, 2).flatten(1, 2))  # (N, 3·C, H, W): moment by moment
    torch.testing.assert_close(stacked.unflatten(1, (moments_out, 5)).transpose(1, 2), expected)


def test_before_and_after_are_not_confused():
    """A mirrored scene in time is decoded to another frame: each moment has weights of its own."""
    torch.manual_seed(0)
    config = paper_config((16, 2, 3), (2, 2, 1, 1, 1), 20, 1, "t", (3, 4, 6))
    decoder, embedding, temporal = build_decoder(config), torch.randn(1, 16, 2, 3), torch.randn(1, 6, 4, 6)
    frame = decoder([embedding, temporal], torch.tensor([[0.0, 2.0]])).frame
    mirrored = decoder([embedding, temporal.roll(3, dims=1)], torch.tensor([[0.0, 2.0]])).frame
    assert (frame - mirrored).abs().max() > 1e-3


def test_prime_factors_come_with_the_greatest_first():
    assert [prime_factors(n) for n in (1, 2, 8, 12, 45, 97)] == [[], [2], [2, 2, 2], [3, 2, 2], [5, 3, 3], [97]]


def test_joined_features_get_the_gradients_of_a_plain_concatenation():
    torch.manual_seed(0)
    block = FusionBlock(6, 4, stride=2, blocks=1)
    coarse, fine = torch.randn(2, 6, 3, 5, requires_grad=True), torch.randn(2, 4, 6, 10, requires_grad=True)
    plain = block.residuals(block.merge(torch.cat((block.up(coarse), fine), dim=1)))
    out = block(coarse, fine)
    assert torch.equal(out, plain)
    weight = torch.randn_like(out)
    sought = (coarse, fine, *block.parameters())
    for ours, theirs in zip(
        torch.autograd.grad(out, sought, weight), torch.autograd.grad(plain, sought, weight), strict=True
    ):
        torch.testing.assert_close(ours, theirs)
