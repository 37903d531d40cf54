"""Rounding by sensitivity, against what the frames of a small network really do."""

import numpy as np
import pytest
import torch

from snerv_codec.bitstream.drafts import encode_tensors
from snerv_codec.compression.packing import pack_segment
from snerv_codec.compression.quantize import dequantize, quantize
from snerv_codec.compression.rounding import Learned, Plain, RateDistortion
from snerv_codec.compression.sensitivity import Weighed, round_as_good, round_for_rate, sensitivities, weigh
from snerv_codec.compression.values import Values, values_of
from snerv_codec.model.architectures import build_decoder, paper_config

CONFIG = paper_config((2, 1, 1), (2, 2, 2, 1, 1), 12, 1)
SIZE = (14, 16)  # of the padded 16x16


@pytest.fixture(scope="module")
def model():
    """A decoder, its embeddings of three frames, and their ranges."""
    torch.manual_seed(0)
    return build_decoder(CONFIG), (torch.randn(3, 2, 1, 1),), torch.tensor([[0.0, 2.0]] * 3)


def frames(model, values):
    """The frames by these values."""
    decoder, embeddings, ranges = model
    weights = {name: values.get(name, parameter) for name, parameter in decoder.named_parameters()}
    with torch.no_grad():
        inputs = (values.get("embeddings", embeddings[0]),)
        return torch.func.functional_call(decoder, weights, (inputs, ranges)).frame[..., : SIZE[0], : SIZE[1]]


def harm(model, tensors):
    """Mean squared error between the frames as fitted and those of rounded tensors."""
    rounded = {name: torch.from_numpy(dequantize(tensor)) for name, tensor in tensors}
    return float((frames(model, rounded) - frames(model, {})).square().mean())


def size(tensors):
    return sum(len(data) for _, data in encode_tensors([tensor for _, tensor in tensors]))


@pytest.mark.parametrize("name", ["low.weight", "up.0.conv.bias", "embeddings"])
def test_sensitivities_foretell_what_noise_does_to_the_frames(model, name):
    decoder, embeddings, ranges = model
    values = values_of(decoder, embeddings)[name].detach()
    found = sensitivities(decoder, embeddings, ranges, SIZE, probes=60)[name]
    torch.manual_seed(1)
    plain, measured, step = frames(model, {}), 0.0, 1e-3
    for _ in range(60):
        noise = step * (torch.randint(0, 2, values.shape) * 2.0 - 1)
        measured += (frames(model, {name: values + noise}) - plain).square().mean().item() / 60
    assert measured == pytest.approx(found.sum().item() * step**2, rel=0.3)


@pytest.fixture(scope="module")
def weighed(model):
    decoder, embeddings, ranges = model
    return weigh(values_of(decoder, embeddings), sensitivities(decoder, embeddings, ranges, SIZE))


def test_a_dearer_bit_is_saved_and_choosing_neighbours_saves_more(model, weighed):
    sizes = [size(round_for_rate(weighed, price)) for price in (1e-8, 1e-7, 1e-6)]
    assert sizes[0] > 1.1 * sizes[1] > 1.2 * sizes[2]
    nearest, chosen = (round_for_rate(weighed, 1e-7, choose=choose) for choose in (False, True))
    assert size(chosen) < 0.97 * size(nearest)
    assert harm(model, chosen) < 3 * harm(model, nearest)
    cost = [harm(model, each) + 1e-7 * 8 * size(each) for each in (chosen, nearest)]
    assert cost[0] < cost[1]


@pytest.mark.parametrize("bits", [8, 5])
def test_no_more_harm_than_plain_grids_at_fewer_bytes(model, weighed, bits):
    plain = weighed.map(lambda name, tensor: quantize(name, tensor.values, bits))
    rounded = round_as_good(weighed, Plain(bits, bits).bits(weighed))
    assert [name for name, _ in rounded] == [*dict(model[0].named_parameters()), "embeddings"]
    assert size(rounded) < 0.9 * size(plain)
    assert harm(model, rounded) < 1.2 * harm(model, plain)


def test_values_that_do_not_matter_or_are_zero_cost_nothing():
    idle = Weighed(np.ones((40, 5), np.float32), np.zeros((40, 5), np.float32))
    zero = Weighed(np.zeros((40, 5), np.float32), np.ones((40, 5), np.float32))
    tensors = round_for_rate(Values({"idle": idle, "zero": zero}, {}), 1e-6)
    assert all(not dequantize(tensor).any() for _, tensor in tensors)
    assert size(tensors) < 8


def test_a_file_takes_what_the_strategy_finds(model, weighed):
    decoder, embeddings, ranges = model
    strategy = RateDistortion(sensitivities(decoder, embeddings, ranges, SIZE), Plain(8, 6))
    segment = pack_segment(values_of(decoder, embeddings), strategy, CONFIG, ranges)
    expected = round_as_good(weighed, Plain(8, 6).bits(weighed))
    assert list(segment.all_tensors) == [tensor for _, tensor in expected]


def test_learned_steps_are_kept_or_coarsened_and_a_dead_zone_rounds_towards_zero():
    tensors = Values(
        {"w": np.random.default_rng(0).normal(0, 1, (30, 20)).astype(np.float32)},
        {"embeddings": np.random.default_rng(1).normal(0, 1, (3, 4, 2, 2)).astype(np.float32)},
    )
    steps = tensors.map(lambda _, each: torch.full((1, 4, 1, 1) if each.ndim == 4 else (1, 1), 0.1).half().float())
    learned = Learned(steps)
    ways = [each(tensors) for each in (learned, learned.coarser(3), Learned(steps, 0.5))]
    for name, each in tensors:
        part = "embeddings" if name == "embeddings" else "tensors"
        kept, coarser, truncated = (getattr(rounded, part)[0] for rounded in ways)
        step = steps[name].numpy()
        assert np.array_equal(dequantize(kept), np.rint(each / step) * step)
        assert np.array_equal(dequantize(truncated), np.trunc(each / step) * step)
        scale = float(coarser.scales.max())
        assert 3 * step.max() <= scale < 3.01 * step.max()
