import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from snerv_codec.bitstream.errors import Corrupt
from snerv_codec.compression.packing import pack_segment, unpack_decoder, unpack_embeddings
from snerv_codec.compression.prune import magnitude_masks
from snerv_codec.compression.quantize import dequantize, quantize
from snerv_codec.compression.rounding import Nnc, Plain
from snerv_codec.compression.values import values_of
from snerv_codec.errors import SettingsError
from snerv_codec.model.architectures import build_decoder, paper_config


def normal(shape, seed=0, spread=1.0):
    return np.random.default_rng(seed).normal(0, spread, shape).astype(np.float32)


@pytest.mark.parametrize("bits", [2, 6, 8, 16])
def test_no_value_is_off_by_more_than_half_a_step(bits):
    values = normal((40, 30, 3, 3), spread=0.05)
    tensor = quantize("w", values, bits)
    step = (values.max() - values.min()) / (2**bits - 1)
    tolerance = step / 2 * 1.02 + 2**-12  # scales are 16-bit floats, offsets too
    assert np.abs(dequantize(tensor) - values).max() <= tolerance


def test_a_grid_per_slice_is_taken_where_slices_differ():
    values = normal((8, 4000)) * np.logspace(-3, 0, 8, dtype=np.float32)[:, None]
    tensor = quantize("w", values, 6)
    assert tensor.axis == 0
    assert len(tensor.scales) == 8
    assert quantize("w", normal((20, 20)), 6).axis is None  # 20 scales for 400 values cost too much


def test_flat_and_tiny_tensors_survive():
    for values in (np.full((5, 3), 0.3, np.float32), np.zeros(7, np.float32), np.array([1e-9, -1e-9], np.float32)):
        np.testing.assert_allclose(dequantize(quantize("w", values, 8)), values, atol=3e-4)
    with pytest.raises(ValueError, match="not finite"):
        quantize("w", np.array([1e9, 0], np.float32), 8)


def test_pruning_drops_the_smallest_weights_of_all_layers_and_is_idempotent():
    torch.manual_seed(0)
    decoder = build_decoder(paper_config((16, 2, 2), (2, 2, 1, 1, 1), 20, 1))
    masks = magnitude_masks(decoder, 0.1)
    weights = {name: p for name, p in decoder.named_parameters() if p.dim() > 1}
    assert masks.keys() == weights.keys()
    total = sum(mask.numel() for mask in masks.values())
    assert sum(int((~mask).sum()) for mask in masks.values()) == round(0.1 * total)
    kept = min(weights[name].abs()[mask].min() for name, mask in masks.items())
    dropped = max(weights[name].abs()[~mask].max() for name, mask in masks.items() if not mask.all())
    assert dropped <= kept
    with torch.no_grad():
        for name, mask in masks.items():
            weights[name].mul_(mask)
    again = magnitude_masks(decoder, 0.1)
    assert all(torch.equal(again[name], mask) for name, mask in masks.items())
    assert all(
        mask.all() for mask in magnitude_masks(build_decoder(paper_config((16, 2, 2), (1,) * 5, 9, 0)), 0).values()
    )


def test_a_packed_decoder_comes_back_on_its_grids():
    torch.manual_seed(0)
    config = paper_config((16, 2, 3), (2, 2, 1, 1, 1), 20, 1)
    decoder, embeddings = build_decoder(config), torch.randn(5, 16, 2, 3)
    ranges = torch.tensor([[0.1, 1.7]] * 5)
    segment = pack_segment(values_of(decoder, [embeddings]), Plain(16, 16), config, ranges)
    restored, ((values,), again) = unpack_decoder(segment), unpack_embeddings(segment)
    assert segment.frame_count == 5
    torch.testing.assert_close(values, embeddings, atol=2e-3, rtol=0)
    torch.testing.assert_close(again, ranges, atol=1e-3, rtol=0)
    for (name, mine), (_, theirs) in zip(restored.named_parameters(), decoder.named_parameters(), strict=True):
        torch.testing.assert_close(mine, theirs, atol=1e-4, rtol=1e-3, msg=name)


def test_tensors_of_another_network_are_refused():
    config = paper_config((16, 2, 3), (2, 2, 1, 1, 1), 20, 1)
    other = paper_config((16, 2, 3), (2, 2, 1, 1, 1), 21, 1)
    embeddings, ranges = [torch.zeros(1, 16, 2, 3)], torch.zeros(1, 2)
    segment = pack_segment(values_of(build_decoder(other), embeddings), Plain(), other, ranges)
    with pytest.raises(Corrupt, match="'stem.weight' has shape"):
        unpack_decoder(replace(segment, config=config))


def test_a_decoder_packed_as_nnc_comes_back_near_what_it_was():
    pytest.importorskip("nncodec", reason="nncodec is not installed (extra nnc)")
    torch.manual_seed(0)
    config = paper_config((16, 2, 3), (2, 2, 1, 1, 1), 20, 1)
    decoder, embeddings = build_decoder(config), torch.randn(5, 16, 2, 3)
    ranges = torch.tensor([[0.1, 1.7]] * 5)
    segment = pack_segment(values_of(decoder, [embeddings]), Nnc(-38, embed_bits=16), config, ranges)
    assert segment.tensors == ()
    restored = unpack_decoder(segment)
    torch.testing.assert_close(unpack_embeddings(segment)[0][0], embeddings, atol=2e-3, rtol=0)
    for (name, mine), (_, theirs) in zip(restored.named_parameters(), decoder.named_parameters(), strict=True):
        torch.testing.assert_close(mine, theirs, atol=3e-3, rtol=0, msg=name)


def test_embeddings_that_no_file_holds_say_that_the_fit_diverged():
    config = paper_config((2, 1, 1), (2, 2, 2, 1, 1), 12, 0)
    decoder, ranges = build_decoder(config), torch.zeros(1, 2)
    for value in (1e5, math.nan):
        with pytest.raises(SettingsError, match="the fit diverged: embeddings has values up to"):
            pack_segment(values_of(decoder, [torch.full((1, 2, 1, 1), value)]), Plain(), config, ranges)
