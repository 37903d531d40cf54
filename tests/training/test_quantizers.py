"""What training sees of the grids and of the rate is what the file will hold and cost."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from snerv_codec.bitstream.drafts import encode_symbols, encode_tensor
from snerv_codec.bitstream.entropy import Coder
from snerv_codec.compression.packing import pack_segment, unpack_decoder, unpack_embeddings
from snerv_codec.compression.quantize import dequantize, quantize_on
from snerv_codec.compression.rate import CodeLengths
from snerv_codec.compression.rounding import Learned
from snerv_codec.compression.values import Values, values_of
from snerv_codec.model.architectures import build_decoder, paper_config
from snerv_codec.training.quantizers import PULL, PULL_FROM, NoisyQuantizer, RateQuantizer

CONFIG = paper_config((16, 2, 3), (2, 2, 1, 1, 1), 20, 1)
WEIGHT = "fuse.0.merge.weight"


def model():
    torch.manual_seed(0)
    decoder = build_decoder(CONFIG)
    embeddings = (torch.randn(5, 16, 2, 3) * torch.linspace(0.1, 2, 16)[:, None, None]).requires_grad_()
    return values_of(decoder, [embeddings])


def alone(tensor, name="embeddings"):
    """Values of one tensor."""
    return Values({}, {name: tensor}) if name == "embeddings" else Values({name: tensor}, {})


def fitted(symbols, sizes=None):
    lengths = CodeLengths(sizes or [len(symbols)], symbols.device)
    lengths.fit(symbols)
    return lengths


def quantizers(values):
    return RateQuantizer(values), NoisyQuantizer(values, 6, 6, 0.9)


def test_multiples_of_a_step_come_back_exactly_and_zero_is_zero():
    steps = np.array([[0.007], [0.3]], np.float16).astype(np.float32)
    multiples = np.array([[0, -1, 5, 300, -2047], [0, 0, 0, 1, -1]])
    tensor = quantize_on("w", (steps * (multiples + np.float32(0.3))).astype(np.float32), steps)
    assert tensor.axis == 0
    assert np.array_equal(dequantize(tensor), steps * multiples.astype(np.float32))
    assert (dequantize(tensor)[multiples == 0] == 0).all()
    with pytest.raises(ValueError, match="too small"):
        quantize_on("w", np.ones((2, 5), np.float32), np.full((1, 1), 1e-5, np.float32))


@pytest.mark.parametrize("kind", [0, 1])
def test_the_values_that_training_sees_are_those_of_the_file(kind):
    values = model()
    quantizer = quantizers(values)[kind].eval()
    quantizer.prepare(values)
    seen = quantizer(values)
    packed = pack_segment(values, Learned(quantizer.steps(values)), CONFIG, torch.zeros(5, 2))
    for name, parameter in unpack_decoder(packed).named_parameters():
        assert torch.equal(parameter, seen[name]), name
    assert torch.equal(unpack_embeddings(packed)[0][0], seen["embeddings"])
    assert kind == 0 or max(tensor.bits for tensor in packed.tensors) <= 6


def test_noise_leaves_a_tenth_of_the_values_and_passes_gradients():
    values = model()
    quantizer = NoisyQuantizer(values, 3, 3, 0.9)
    quantizer.prepare(values)
    name = WEIGHT
    weight = values[name]
    seen = quantizer(values)[name]
    assert 0.05 < float((seen == weight).float().mean()) < 0.15
    seen.sum().backward()
    assert (weight.grad == 1).all()


def test_code_lengths_are_what_the_coder_takes():
    symbols = torch.from_numpy(np.random.default_rng(0).laplace(0, 4, 20_000).round().astype(np.float32))
    lengths = fitted(symbols)
    estimated = float(lengths(symbols).sum()) + lengths.table_bits
    _, coded = encode_symbols((symbols - symbols.min()).numpy().astype(np.uint16), 16)
    assert len(coded) == pytest.approx(estimated / 8, abs=6)
    x = torch.tensor([2.25, -3.5, 1e4, -1e4], requires_grad=True)
    between = lengths(x)
    between.sum().backward()
    assert x.grad[0] > 0 > x.grad[1]
    assert 2 * 2 ** -between[1].item() == pytest.approx(sum(2 ** -lengths(torch.tensor([-3.0, -4.0])).numpy()))
    assert x.grad[2] == -x.grad[3] == 4  # bits a step, far outside
    assert float(fitted(torch.zeros(9))(torch.zeros(1))) == 0


def test_curves_of_several_tensors_in_a_line_are_those_of_each_alone():
    parts = [torch.randn(400) * 3, torch.full((7,), 2.0), torch.randn(90).cumsum(0)]
    symbols = [part.round() for part in parts]
    sizes = [len(part) for part in parts]
    together = fitted(torch.cat(symbols), sizes)
    alone = [fitted(part) for part in symbols]
    assert together.table_bits == sum(lengths.table_bits for lengths in alone)
    line = torch.cat([part + 0.3 for part in parts]).requires_grad_()
    slopes = torch.autograd.grad(together(line).sum(), line)[0].split(sizes)
    for lengths, part, bits, slope in zip(alone, parts, together(line).split(sizes), slopes, strict=True):
        x = (part + 0.3).requires_grad_()
        torch.testing.assert_close(lengths(x), bits)
        torch.testing.assert_close(torch.autograd.grad(lengths(x).sum(), x)[0], slope)


def test_rounding_passes_gradients_to_values_and_steps():
    values = model()
    quantizer = RateQuantizer(values)
    quantizer.prepare(values)
    weights = values.map(lambda _, value: torch.randn_like(value))
    loss = sum((value * weights[name]).sum() for name, value in quantizer(values))
    loss.backward()
    slopes = quantizer.log_steps.grad.split([shape.numel() for _, shape in quantizer.shapes])
    for (name, step), slope in zip(quantizer.steps(values), slopes, strict=True):
        torch.testing.assert_close(values[name].grad, weights[name])
        scaled = (values[name] / step).detach()
        each = (weights[name] * (scaled.round() - scaled) * step.detach()).sum_to_size(step.shape)
        torch.testing.assert_close(slope.view(step.shape), each, rtol=1e-3, atol=1e-4)


def test_the_rate_pulls_values_inwards_and_steps_up():
    values = model()
    quantizer = RateQuantizer(values)
    quantizer.prepare(values)
    bits = quantizer.bits(values, torch.arange(5))
    assert 3 < bits.item() < 9
    bits.backward()
    slopes = quantizer.log_steps.grad.split([shape.numel() for _, shape in quantizer.shapes])
    for (name, _), slope in zip(quantizer.shapes, slopes, strict=True):
        share = values[name].numel() / quantizer.count
        if values[name].numel() > 1000:  # an e-fold of the step saves 1 / ln 2 bits, at high rates
            assert slope.sum().item() == pytest.approx(-share / np.log(2), rel=0.2), name
    weight = values[WEIGHT]
    far = weight.abs() > weight.std()
    assert float((weight.grad * weight.detach().sign())[far].mean()) > 0
    some = quantizer.bits(replace(values, embeddings={"embeddings": values["embeddings"][:1]}), torch.tensor([0]))
    assert some.item() == pytest.approx(bits.item(), rel=0.05)  # a batch stands for all frames


def test_towards_the_end_values_are_pulled_to_the_symbols_that_they_have():
    values = model()
    quantizer = RateQuantizer(values)
    quantizer.prepare(values)

    def slopes(done):
        quantizer.settle(done)
        bits = quantizer.bits(values, torch.arange(5))
        weights = [values[name] for name in (WEIGHT, "embeddings")]
        return bits.item(), [grad * quantizer.count for grad in torch.autograd.grad(bits, weights)]

    told, before = slopes(PULL_FROM)
    told_after, after = slopes(1.0)
    assert told_after == told  # what it takes stays what it is
    for name, early, late in zip((WEIGHT, "embeddings"), before, after, strict=True):
        step = quantizer.steps(values)[name].detach()
        scaled = values[name].detach() / step
        torch.testing.assert_close((late - early) * step, 2 * PULL * (scaled - scaled.round()), rtol=1e-3, atol=1e-3)
    assert all(torch.equal(*each) for each in zip(before, slopes(0.1)[1], strict=True))
    again = RateQuantizer(values)
    quantizer.settle(0.8)
    again.load_state_dict(quantizer.state_dict())
    assert again.pull == quantizer.pull > 0


def test_the_estimated_bytes_are_the_written_ones():
    values = model()
    quantizer = RateQuantizer(values)
    quantizer.prepare(values)
    segment = pack_segment(values, Learned(quantizer.steps(values)), CONFIG, torch.zeros(5, 2))
    coded = [encode_tensor(tensor)[1] for tensor in (*segment.tensors, *segment.embeddings)]
    assert sum(map(len, coded)) == pytest.approx(quantizer.estimated_bytes(values), rel=0.02)


def test_a_tensor_that_hardly_varies_still_fits_the_file():
    values = alone(torch.full((20, 3, 3, 3), 1.25) + 1e-6 * torch.randn(20, 3, 3, 3), "w")
    quantizer = RateQuantizer(values)
    quantizer.prepare(values)
    assert bool(torch.isfinite(quantizer.bits(values, torch.arange(1))))
    torch.testing.assert_close(quantizer(values)["w"], values["w"], atol=1e-3, rtol=0)
    tensor = quantize_on("w", values["w"].numpy(), quantizer.steps(values)["w"].detach().numpy())
    assert tensor.bits <= 16


def test_embeddings_that_change_little_are_rated_by_their_changes():
    torch.manual_seed(0)
    still = torch.randn(1, 16, 2, 4)
    embeddings = still + 0.02 * torch.randn(30, 16, 2, 4).cumsum(dim=0)
    values = alone(embeddings.requires_grad_())
    quantizer = RateQuantizer(values)
    quantizer.prepare(values)
    estimated = quantizer.estimated_bytes(values)
    tensor = quantize_on(
        "embeddings", embeddings.detach().numpy(), quantizer.steps(values)["embeddings"].detach().numpy()
    )
    coder, coded = encode_tensor(tensor)
    assert coder == Coder.DIFFERENCE
    assert len(coded) == pytest.approx(estimated, rel=0.03)
    assert len(coded) < 0.7 * len(encode_symbols(tensor.symbols, tensor.bits)[1])
    # A frame alone costs its share, and is pulled towards its neighbours, the one behind and the one ahead.
    rows = torch.arange(30)
    whole = quantizer.bits(values, rows)
    assert whole.item() == pytest.approx(8 * estimated / embeddings.numel(), rel=0.1)
    whole.backward()
    parts = [quantizer.bits(alone(embeddings[i : i + 1]), rows[i : i + 1]).item() for i in range(30)]
    assert sum(parts) / 30 == pytest.approx(whole.item(), rel=1e-4)
    away = (embeddings.detach()[10:11] + 1).requires_grad_()
    quantizer.bits(alone(away), rows[10:11]).backward()
    assert (away.grad > 0).float().mean() > 0.9


def test_a_quantizer_taken_up_from_its_state_goes_on_alike():
    torch.manual_seed(0)
    drifting = 0.02 * torch.randn(5, 16, 2, 3).cumsum(dim=0) + torch.randn(1, 16, 2, 3)
    for embeddings in (torch.randn(5, 16, 2, 3), drifting):
        values, rows = replace(model(), embeddings={"embeddings": embeddings}), torch.tensor([1, 2])
        some = replace(values, embeddings={"embeddings": embeddings[rows]})
        for first, second in zip(quantizers(values), quantizers(model()), strict=True):
            first.prepare(values, seed=7)
            first(some)  # noise is drawn
            state = {name: tensor.clone() for name, tensor in first.state_dict().items()}
            second.load_state_dict(state)
            mine, theirs = first(some), second(some)
            assert all(torch.equal(each, theirs[name]) for name, each in mine)
            if isinstance(first, RateQuantizer):
                assert torch.equal(first.bits(some, rows), second.bits(some, rows))
                assert first.estimated_bytes(values) == second.estimated_bytes(values)


def test_what_a_captured_step_reads_stays_where_it_is():
    values = model()
    for quantizer in quantizers(values):
        places = [tensor.data_ptr() for tensor in (*quantizer.parameters(), *quantizer.buffers())]
        for stretch in (1, 3):
            quantizer.prepare(values.map(lambda _, each, stretch=stretch: each.detach() * stretch))
            assert [tensor.data_ptr() for tensor in (*quantizer.parameters(), *quantizer.buffers())] == places


def test_curves_of_the_widest_symbols_there_can_be():
    """Rows that go from end to end of the grid at its finest; and values that only a fit that diverges has."""
    rows = torch.linspace(-1, 1, 64).repeat(4, 1).view(4, 64, 1, 1)
    rows[1::2] = -rows[1::2]
    values = Values({"w": torch.linspace(-1, 1, 50)}, {"embeddings": rows})
    quantizer = RateQuantizer(values)
    with torch.no_grad():
        quantizer.log_steps.fill_(-20)
    quantizer.prepare(values)
    assert bool(torch.isfinite(quantizer.bits(values, torch.arange(4))))
    for wrong in (1e30, float("inf"), float("nan")):
        quantizer.prepare(Values({"w": wrong * values["w"]}, {"embeddings": wrong * values["embeddings"]}))


def test_noise_leaves_the_callers_random_numbers_alone():
    values = model()
    quantizer = NoisyQuantizer(values, 3, 3, 0.9)
    quantizer.prepare(values, seed=1)
    before = torch.get_rng_state()
    first = quantizer(values)
    assert torch.equal(torch.get_rng_state(), before)
    quantizer.prepare(values, seed=1)
    assert all(torch.equal(each, first[name]) for name, each in quantizer(values))
