"""Other ways to run a training step, held against the plain one: recorded, at 16 bits, compiled."""

import shutil
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from clips import moving_picture
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from snerv_codec.errors import ResourceError, SettingsError
from snerv_codec.events import Warned
from snerv_codec.model.sizing import choose_config
from snerv_codec.model.variants import build_networks
from snerv_codec.rate_control.control import ToSize
from snerv_codec.runtime.capture import WARM_UP, Captured
from snerv_codec.runtime.precision import fitting_precision
from snerv_codec.training import loop
from snerv_codec.training.frames import FrameSet
from snerv_codec.training.settings import FitSettings
from snerv_codec.training.step import Step
from snerv_codec.training.trainer import make_trainer

CPU = torch.device("cpu")


class Recorder(TorchDispatchMode):
    """Notes every operation that runs, as a CUDA graph does: its tensors by their memory, all else by its value."""

    def __init__(self):
        super().__init__()
        self.noted = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        self.noted.append((function, args, kwargs or {}, result))
        return result

    @torch.no_grad()
    def replay(self):
        """The same operations with the same values, on the same memory."""
        for function, args, kwargs, result in self.noted:
            again = function(*args, **kwargs)
            known = {place(each) for each in tree_leaves((args, kwargs)) if isinstance(each, torch.Tensor)}
            for old, new in zip(tree_leaves(result), tree_leaves(again), strict=True):
                if isinstance(old, torch.Tensor) and place(old) not in known:  # neither a view nor updated in place
                    old.detach().copy_(new)


def place(tensor):
    return tensor.untyped_storage().data_ptr()


class Imitation(Captured):
    """A CUDA graph on a CPU. Recording computes, which a graph's does not, so what it changed is put back."""

    recorded = 0

    def _record(self, indices):
        type(self).recorded += 1
        step = self._work
        assert isinstance(step, Step)
        assert isinstance(step.optimizer, torch.optim.Optimizer)
        tensors = [*step.networks.parameters(), *step.networks.buffers()]
        tensors += [each for state in step.optimizer.state.values() for each in state.values()]
        before, generators = [each.detach().clone() for each in tensors], [g.get_state() for g in self._generators]
        with Recorder() as recorder:
            result = step(indices)
        with torch.no_grad():
            for each, old in zip(tensors, before, strict=True):
                each.copy_(old)
        for generator, state in zip(self._generators, generators, strict=True):
            generator.set_state(state)
        return result, recorder


def make(recipe="paper", device="cpu", **settings):
    """A fit of a moving picture that is about to begin."""
    rng = np.random.default_rng(0)
    base = rng.integers(0, 256, (40, 60, 3))
    frames = np.stack([np.roll(base, i, axis=1)[:32, :48] for i in range(7)]).astype(np.uint8)
    config = choose_config(32, 48, len(frames), 50_000)
    options = {"epochs": 3, "prune_epochs": 1, "grid_epochs": 2, **settings}
    control = ToSize(0, options.get("rate_weight", 0.01), lambda values, rounding: pytest.fail("nothing is packed"))
    control.budget = 12_000  # so the weight of the rate changes
    clip = FrameSet(torch.from_numpy(frames).to(device), config)
    return make_trainer(clip, config, FitSettings.preset("paper", recipe=recipe, **options), controller=control)


def fit(recipe="paper", device="cpu", on_event=lambda event: None, **settings):
    """Weights after a short fit of a moving picture, and the PSNR of its phases."""
    trainer = make(recipe, device, **settings)
    trainer.run(on_event=on_event)
    return {name: p.detach().cpu() for name, p in trainer.networks.decoder.named_parameters()}, trainer.results


CASES: list[object] = [("paper", 1, "adam"), ("hinerv", 3, "adam"), ("rd", 1, "muon")]
CASES += [pytest.param(*case, marks=pytest.mark.slow) for case in (("paper", 2, "adam"), ("paper", 1, "muon"))]


@pytest.fixture
def captured(monkeypatch):
    """Steps are captured on a CPU."""
    monkeypatch.setattr(Imitation, "recorded", 0)
    monkeypatch.setattr(loop, "Captured", Imitation)
    monkeypatch.setattr(loop, "can_capture", lambda device: True)
    return Imitation


@pytest.mark.parametrize(("recipe", "batch", "optimizer"), CASES)
def test_a_captured_step_is_the_plain_one(captured, recipe, batch, optimizer):
    """Also where rates, curves, grids and the weight of the rate change, for none of which it is captured again."""
    plain = fit(recipe, batch=batch, optimizer=optimizer, compile="none")
    assert captured.recorded == 0
    graph = fit(recipe, batch=batch, optimizer=optimizer)
    phases = 3 if recipe in ("hinerv", "rd") else 2
    assert 0 < captured.recorded <= phases * (1 if 7 % batch == 0 else 2)
    assert_same(graph, plain)


def test_where_a_step_cannot_be_captured_the_fit_goes_on_plainly(captured, monkeypatch):
    def fail(self, indices):
        raise RuntimeError("operation not permitted when stream is capturing\nand a long story")

    plain, told = fit("rd", compile="none"), []
    monkeypatch.setattr(captured, "_record", fail)
    assert_same(fit("rd", on_event=told.append), plain)
    (warning,) = (event.message for event in told if isinstance(event, Warned))
    assert "cannot be captured as a CUDA graph here (operation not permitted when stream is capturing)" in warning
    with pytest.raises(ResourceError, match="choose compile none"):
        fit(compile="graph")


def assert_same(mine, theirs):
    assert mine[1] == theirs[1]
    assert all(torch.equal(mine[0][name], theirs[0][name]) for name in theirs[0])


def test_work_is_run_plainly_first_and_recorded_for_each_number_of_frames(monkeypatch):
    seen, recorded = [], []

    class Fake(Captured):
        def _record(self, indices):
            recorded.append(len(indices))
            result = torch.zeros(2)
            return result, SimpleNamespace(replay=lambda: result.copy_(self._work(indices)))

    def work(indices):
        seen.append(indices.tolist())
        return indices[:2].float()

    step = Fake(work, CPU)
    results = [step(torch.tensor([i, i + 1])).tolist() for i in range(WARM_UP + 3)]
    assert results == [[i, i + 1] for i in range(WARM_UP + 3)]
    assert recorded == [2]
    step(torch.tensor([7, 8, 9]))
    assert recorded == [2]
    assert seen[-1] == [7, 8, 9]


def test_work_is_recorded_on_its_own_device_whichever_is_the_current_one(monkeypatch):
    asked = []
    monkeypatch.setattr(torch.cuda, "Stream", asked.append)
    Captured(torch.clone, torch.device("cuda:1"))
    Captured(torch.clone, CPU)
    assert asked == [torch.device("cuda:1")]


@pytest.mark.needs_cuda
@pytest.mark.parametrize("optimizer", ["adam", "muon"])
@pytest.mark.parametrize("recipe", ["paper", "hinerv", "rd"])
def test_a_graph_ends_near_the_plain_fit_on_a_gpu(recipe, optimizer):
    options = {"epochs": 20, "optimizer": optimizer}
    plain, captured = (fit(recipe, "cuda", compile=mode, **options)[1] for mode in ("none", "graph"))
    assert plain.keys() == captured.keys()
    assert all(abs(plain[phase] - captured[phase]) < 0.5 for phase in plain)


@pytest.mark.needs_cuda
@pytest.mark.parametrize("optimizer", ["adam", "muon"])
@pytest.mark.parametrize("recipe", ["paper", "hinerv", "rd"])
def test_a_step_waits_for_nothing_on_a_gpu(monkeypatch, recipe, optimizer):
    plain_step = Step.__call__

    def strict(self, indices):
        torch.cuda.set_sync_debug_mode("error")
        try:
            return plain_step(self, indices)
        finally:
            torch.cuda.set_sync_debug_mode("default")

    monkeypatch.setattr(Step, "__call__", strict)
    fit(recipe, "cuda", compile="none", optimizer=optimizer)


def test_sixteen_bits_learn_what_thirty_two_do():
    """The first step's loss, and the way it goes: later ones start from different weights."""
    frames = torch.from_numpy(moving_picture(2, 32, 48))
    config = choose_config(32, 48, len(frames), 50_000)
    losses, gradients = [], []
    for precision in ("float32", "bfloat16"):
        trainer = make_trainer(FrameSet(frames, config), config, FitSettings.preset("paper", precision=precision))
        losses.append(trainer.advance(torch.tensor([0, 1]))[0].item())
        gradients.append(torch.cat([parameter.grad.flatten() for parameter in trainer.networks.parameters()]))
    assert 0 < abs(losses[1] - losses[0]) < 0.01 * losses[0]  # bfloat16 makes a difference, and a small one
    assert torch.cosine_similarity(gradients[0], gradients[1], dim=0) > 0.99


def test_the_pixels_of_a_sixteen_bit_decoder_are_not_rounded_to_sixteen_bits():
    config = choose_config(32, 48, 2, 50_000)
    _, decoder = build_networks(config)
    embeddings = [torch.randn(1, *shape) for shape in config.embedding_shapes]
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        prediction = decoder(embeddings, torch.tensor([[0.0, 2.0]]))
    assert all(part.dtype == torch.float32 for part in prediction)
    assert not torch.equal(prediction.frame, prediction.frame.bfloat16().float())


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("c++") is None, reason="torch.compile needs a C++ compiler here")
@pytest.mark.parametrize("recipe", ["paper", "rd"])
def test_a_compiled_fit_ends_near_the_plain_one(recipe):
    plain, compiled = (fit(recipe, epochs=20, compile=mode)[1] for mode in ("none", "full"))
    assert all(abs(plain[phase] - compiled[phase]) < 0.5 for phase in plain)


def test_compiling_without_a_compiler_is_told_first(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(ResourceError, match="needs a C\\+\\+ compiler"):
        fit(compile="full")


def test_wrong_settings_are_told():
    with pytest.raises(SettingsError, match="float16, whose range is too small"):
        fit(precision="float16")
    with pytest.raises(SettingsError, match="precision 'double' is not one of auto, float32"):
        FitSettings.preset("paper", precision="double")
    with pytest.raises(SettingsError, match="compile 'jit' is not one of auto, none"):
        FitSettings.preset("paper", compile="jit")
    assert fitting_precision("auto", torch.device("cpu")) == "float32"
