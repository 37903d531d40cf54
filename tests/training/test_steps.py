"""Other ways to run a training step, held against the plain one: recorded, at 16 bits, compiled."""

import shutil

import numpy as np
import pytest
import torch
from clips import moving_picture

from snerv_codec.errors import ResourceError, SettingsError
from snerv_codec.model.sizing import choose_config
from snerv_codec.runtime.capture import WARM_UP, Captured
from snerv_codec.training import trainer as trainer_module
from snerv_codec.training.frames import FrameSet
from snerv_codec.training.settings import FitSettings
from snerv_codec.training.trainer import Trainer

CPU = torch.device("cpu")


class Imitation(Captured):
    """Records on a CPU: a replay runs the step again on the memory it was recorded with, as a graph would."""

    recorded = 0

    def _record(self, indices):
        type(self).recorded += 1
        work, result = self._work, torch.zeros(2)

        class Replay:
            def replay(self):
                result.copy_(work(indices))

        return result, Replay()


def fit(recipe="paper", device="cpu", **settings):
    """Weights after a short fit of a moving picture, and the PSNR of its phases."""
    rng = np.random.default_rng(0)
    base = rng.integers(0, 256, (40, 60, 3))
    frames = np.stack([np.roll(base, i, axis=1)[:32, :48] for i in range(7)]).astype(np.uint8)
    config = choose_config(32, 48, len(frames), 50_000)
    options = {"epochs": 3, "prune_epochs": 1, "grid_epochs": 2, **settings}
    trainer = Trainer(
        FrameSet(torch.from_numpy(frames).to(device), config), config, FitSettings(recipe=recipe, **options)
    )
    for phase in trainer.settings.phases():
        trainer.run(phase)
    return {name: p.detach().cpu() for name, p in trainer.decoder.named_parameters()}, trainer.results


CASES = [("paper", 1, "adam"), ("paper", 2, "adam"), ("paper", 1, "muon"), ("hinerv", 3, "adam"), ("rd", 1, "adam")]


@pytest.mark.parametrize(("recipe", "batch", "optimizer"), CASES)
def test_a_captured_step_is_the_plain_one(monkeypatch, recipe, batch, optimizer):
    plain = fit(recipe, batch=batch, optimizer=optimizer)
    monkeypatch.setattr(Imitation, "recorded", 0)
    monkeypatch.setattr(Trainer, "_capture", lambda self: Imitation(self._step, self.frames.device))
    captured = fit(recipe, batch=batch, optimizer=optimizer)
    assert Imitation.recorded > 0
    assert captured[1] == plain[1]
    assert all(torch.equal(captured[0][name], plain[0][name]) for name in plain[0])


def test_steps_are_run_plainly_first_and_recorded_for_each_number_of_frames(monkeypatch):
    seen = []
    monkeypatch.setattr(Imitation, "recorded", 0)
    step = Imitation(lambda indices: seen.append(indices.tolist()) or indices[:2].float(), CPU)
    results = [step(torch.tensor([i, i + 1])).tolist() for i in range(WARM_UP + 3)]
    assert results == [[i, i + 1] for i in range(WARM_UP + 3)]
    assert Imitation.recorded == 1
    step(torch.tensor([7, 8, 9]))
    assert Imitation.recorded == 1
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
    plain_step = Trainer._step

    def strict(self, indices):
        torch.cuda.set_sync_debug_mode("error")
        try:
            return plain_step(self, indices)
        finally:
            torch.cuda.set_sync_debug_mode("default")

    monkeypatch.setattr(Trainer, "_step", strict)
    fit(recipe, "cuda", compile="none", optimizer=optimizer)


def test_sixteen_bits_learn_what_thirty_two_do():
    """The first step's loss, and the way it goes: later ones start from different weights."""
    frames = torch.from_numpy(moving_picture(2, 32, 48))
    config = choose_config(32, 48, len(frames), 50_000)
    losses, gradients = [], []
    for precision in ("float32", "bfloat16"):
        trainer = Trainer(FrameSet(frames, config), config, FitSettings(precision=precision))
        losses.append(trainer._step(torch.tensor([0, 1]))[0].item())
        gradients.append(torch.cat([parameter.grad.flatten() for parameter in trainer.networks.parameters()]))
    assert 0 < abs(losses[1] - losses[0]) < 0.01 * losses[0]  # bfloat16 makes a difference, and a small one
    assert torch.cosine_similarity(*gradients, dim=0) > 0.99


def test_the_pixels_of_a_sixteen_bit_decoder_are_not_rounded_to_sixteen_bits():
    config = choose_config(32, 48, 2, 50_000)
    trainer = Trainer(FrameSet(torch.zeros(2, 32, 48, 3, dtype=torch.uint8), config), config, FitSettings())
    embeddings = [torch.randn(1, *shape) for shape in config.embedding_shapes]
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        prediction = trainer.decoder(embeddings, torch.tensor([[0.0, 2.0]]))
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
        FitSettings(precision="double")
    with pytest.raises(SettingsError, match="compile 'jit' is not one of auto, none"):
        FitSettings(compile="jit")
    assert trainer_module.fitting_precision("auto", torch.device("cpu")) == "float32"
