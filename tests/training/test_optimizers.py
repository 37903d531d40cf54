import pytest
import torch
from torch import nn

from snerv_codec.model.architectures import paper_config
from snerv_codec.model.sizing import choose_config
from snerv_codec.model.variants import FORMAT, build_networks
from snerv_codec.training.optimizers import ADAM_SIZE, Muon, is_hidden, make_optimizer, orthogonalize, parameter_groups

CONFIG = paper_config((16, 2, 4), (3, 2, 2, 2, 2), 41, 2)


@pytest.mark.parametrize("shape", [(3, 24, 24), (2, 36, 300), (2, 300, 36), (1, 12, 1000)])
def test_orthogonalisation_keeps_the_singular_vectors_and_makes_their_values_alike(shape):
    matrices = (
        torch.randn(shape, generator=torch.Generator().manual_seed(1)) * torch.logspace(-6, 3, shape[0])[:, None, None]
    )
    u, s, vh = torch.linalg.svd(matrices, full_matrices=False)
    resolved = s > 0.02 * s.square().sum(-1, keepdim=True).sqrt()
    inner = u.mT @ orthogonalize(matrices) @ vh.mT  # diagonal, and near 1 there
    values = torch.diagonal(inner, dim1=-2, dim2=-1)
    assert resolved.float().mean() > 0.9
    assert values[resolved].min() > 0.65
    assert values[resolved].max() < 1.25
    assert torch.allclose(inner, torch.diag_embed(values), atol=1e-3)


def test_a_gradient_of_zero_moves_nothing():
    weight = nn.Parameter(torch.ones(12, 12, 3, 3))
    weight.grad = torch.zeros_like(weight)
    Muon([weight], lr=1.0, hidden=True).step()
    assert torch.equal(weight.detach(), torch.ones(12, 12, 3, 3))


def test_a_decoder_too_narrow_for_hidden_kernels_is_adam_s_alone():
    _, decoder = build_networks(choose_config(32, 48, 6, 20_000, model="pixel"))
    (group,) = parameter_groups("muon", decoder)
    assert len(group["params"]) == len(list(decoder.parameters()))
    group["lr"] = torch.tensor(1e-3)
    make_optimizer("muon", [group], capturable=False).step()


def kernels(layout=torch.contiguous_format):
    """Two of one shape among others, with gradients."""
    generator = torch.Generator().manual_seed(2)
    shapes = [(24, 16, 3, 3), (16, 24, 2, 2), (24, 16, 3, 3), (32, 16)]
    made = []
    for shape in shapes:
        weight, gradient = (torch.randn(shape, generator=generator) for _ in range(2))
        if len(shape) == 4:
            weight = weight.contiguous(memory_format=layout)
        made.append(nn.Parameter(weight))
        made[-1].grad = gradient
    return made


def stepped(parameters, rate=0.01, steps=3):
    optimizer = Muon(parameters, lr=rate, hidden=True)
    for _ in range(steps):
        optimizer.step()
    return [parameter.detach() for parameter in parameters]


def test_an_update_is_of_the_size_that_adam_would_make_it():
    before, after = [p.detach().clone() for p in kernels()], stepped(kernels(), rate=0.01, steps=1)
    for old, new in zip(before, after, strict=True):
        assert (new - old).square().mean().sqrt() == pytest.approx(0.01 * ADAM_SIZE, rel=0.2)


def test_kernels_of_one_shape_go_together_and_come_out_as_alone():
    alone = [stepped([parameter])[0] for parameter in kernels()]
    for one, other in zip(stepped(kernels()), alone, strict=True):
        assert torch.allclose(one, other, atol=1e-6)


def test_neither_the_memory_layout_nor_a_rate_in_a_tensor_changes_the_result():
    plain = stepped(kernels())
    for other in (stepped(kernels(torch.channels_last)), stepped(kernels(), rate=torch.tensor(0.01))):
        for one, two in zip(plain, other, strict=True):
            assert torch.allclose(one, two, atol=1e-6)


def test_a_step_decides_nothing_by_the_values_of_tensors():
    parameters = [nn.Parameter(parameter.detach().to("meta")) for parameter in kernels()]
    for parameter in parameters:
        parameter.grad = torch.empty_like(parameter)
    stepped(parameters, rate=torch.tensor(0.01, device="meta"))  # there are no values to look at on this device


def test_momentum_carries_on_where_the_gradient_has_changed():
    one, other = kernels(), kernels()
    optimizers = [Muon(parameters, lr=0.01, hidden=True) for parameters in (one, other)]
    optimizers[0].step()
    for parameters, optimizer in zip((one, other), optimizers, strict=True):
        for parameter in parameters:
            parameter.grad = torch.ones_like(parameter)
        optimizer.step()
    mine, theirs = one[0] - stepped(kernels(), steps=1)[0], other[0] - kernels()[0]
    assert not torch.allclose(mine, theirs, atol=1e-4)


def test_hidden_are_the_matrices_between_features():
    encoder, decoder = build_networks(CONFIG, FORMAT)
    left = [name for name, p in decoder.named_parameters() if p.dim() > 1 and not is_hidden(p)]
    assert left == ["low.weight", "high.restore.weight"]
    kinds = {name.split(".", 2)[2] for name, p in encoder.named_parameters() if p.dim() > 1 and not is_hidden(p)}
    assert kinds == {"0.patchify.0.weight", *(f"{stage}.block.depthwise.weight" for stage in range(5))}
    assert not any(is_hidden(p) for p in decoder.parameters() if p.dim() < 2)


def test_what_is_not_hidden_is_trained_by_adam():
    one, other = kernels(), kernels()
    reference = torch.optim.Adam(other, lr=0.01, fused=True)
    optimizer = Muon(one, lr=torch.tensor(0.01))
    for _ in range(3):
        optimizer.step()
        reference.step()
    for mine, theirs in zip(one, other, strict=True):
        assert torch.allclose(mine, theirs, atol=1e-6)


def test_every_parameter_is_in_one_group():
    networks = nn.ModuleList(build_networks(CONFIG, FORMAT))
    for name in ("adam", "muon"):
        grouped = [p for group in parameter_groups(name, networks) for p in group["params"]]
        assert sorted(map(id, grouped)) == sorted(map(id, networks.parameters()))


@pytest.mark.parametrize("model", ["b", "t", "t2d"])
def test_a_step_moves_every_parameter_of_every_model(model):
    networks = nn.ModuleList(build_networks(choose_config(32, 48, 4, 150_000, model=model), FORMAT))
    groups = [{**group, "lr": torch.tensor(1e-3)} for group in parameter_groups("muon", networks)]
    before = [p.detach().clone() for p in networks.parameters()]
    for parameter in networks.parameters():
        parameter.grad = torch.randn_like(parameter)
    make_optimizer("muon", groups, capturable=False).step()
    for old, new in zip(before, networks.parameters(), strict=True):
        assert 0 < (new - old).abs().max() < 0.1
