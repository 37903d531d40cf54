import errno
import gc
import math
import os
import random
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from snerv_codec.errors import InputError, OutputError, SettingsError
from snerv_codec.evaluation.metrics import psnr
from snerv_codec.events import EpochDone, StateSaved, StepsDone
from snerv_codec.model.architectures import paper_config
from snerv_codec.model.sizing import choose_config
from snerv_codec.model.wavelet import dwt
from snerv_codec.rate_control.control import ToSize
from snerv_codec.training.checkpoint import Checkpoint, Saver
from snerv_codec.training.frames import FrameSet
from snerv_codec.training.losses import Loss, Term, fitting_loss
from snerv_codec.training.networks import Networks
from snerv_codec.training.settings import FitSettings
from snerv_codec.training.trainer import make_trainer

CONFIG = paper_config((16, 2, 3), (2, 2, 2, 1, 1), 12, 1)  # 32x48
SETTINGS = FitSettings.preset("paper", epochs=6, prune=0.3, prune_epochs=2, seed=3)


def moving_gradient(count=4, height=31, width=47):
    y, x = torch.meshgrid(torch.linspace(0, 1, height), torch.linspace(0, 1, width), indexing="ij")
    frames = [torch.stack((x, y, (x + y + t / count) / 3), dim=-1) for t in range(count)]
    return (torch.stack(frames) * 255).to(torch.uint8)


class Interrupt(Exception):
    pass


TEMPORAL = paper_config((16, 2, 3), (2, 2, 2, 1, 1), 12, 1, "t", (3, 4, 6))


def make(settings=SETTINGS, *, budget=None):
    weight = settings.weight_of_rate(CONFIG.model)
    control = ToSize(0, weight, lambda values, rounding: pytest.fail("nothing is packed"))
    control.budget = budget
    return make_trainer(FrameSet(moving_gradient(), CONFIG), CONFIG, settings, controller=control)


def run(directory, settings=SETTINGS, *, stop_after=None, resume=False, budget=None):
    """All phases of a fit, perhaps stopping after some epochs; return the trainer and the epochs."""
    trainer, seen = make(settings, budget=budget), []
    checkpoint = Checkpoint(directory, {"seed": settings.seed})
    if resume:
        trainer.load(checkpoint.load())

    def watch(event):
        if isinstance(event, EpochDone):
            seen.append(event)
            if len(seen) == stop_after:
                raise Interrupt

    trainer.run(checkpoint=checkpoint, on_event=watch)
    return trainer, seen


SLOW = pytest.mark.slow  # of cases that others stand for
WAYS: list[object] = [("adam", "paper"), ("muon", "rd")]
WAYS += [pytest.param(*way, marks=SLOW) for way in (("adam", "hinerv"), ("adam", "rd"), ("muon", "paper"))]


@pytest.mark.parametrize(("optimizer", "recipe"), WAYS)
def test_a_fit_interrupted_after_every_epoch_ends_bit_for_bit_where_a_whole_one_does(
    tmp_path, monkeypatch, optimizer, recipe
):
    monkeypatch.setattr("snerv_codec.training.settings.FEWEST_ENCODED", 1)
    settings = replace(SETTINGS, recipe=recipe, epochs=3, grid_epochs=2, optimizer=optimizer)
    epochs = sum(phase.epochs for phase in settings.phases())
    whole, _ = run(tmp_path / "whole", settings)
    for done in range(epochs):
        with pytest.raises(Interrupt):
            run(tmp_path / "cut", settings, stop_after=1, resume=done > 0)
    resumed, seen = run(tmp_path / "cut", settings, resume=True)
    assert seen == []  # no epoch was lost
    same_end(resumed, whole)


@pytest.mark.parametrize("optimizer", ["adam", "muon"])
def test_after_some_epochs_embeddings_are_learned_without_the_encoder(monkeypatch, optimizer):
    monkeypatch.setattr("snerv_codec.training.settings.FEWEST_ENCODED", 1)
    settings, seen = replace(SETTINGS, recipe="rd", epochs=1, prune=0, grid_epochs=3, optimizer=optimizer), []
    trainer = make_trainer(FrameSet(moving_gradient(), CONFIG, fitted=range(0, 4, 2)), CONFIG, settings)

    def watch(event):
        if isinstance(event, EpochDone) and event.phase == "grid":
            weights = torch.cat([each.flatten() for each in trainer.networks.encoder.parameters()])
            seen.append((weights.detach().clone(), trainer.values().embeddings["embeddings"].detach().clone()))

    trainer.run(on_event=watch)
    (first, encoded), (second, own), (third, last) = seen
    assert torch.equal(first, second)  # the encoder rests
    assert torch.equal(second, third)
    assert encoded.shape == own.shape == (2, *CONFIG.embedding_shape)
    for before, after in ((encoded, own), (own, last)):
        assert not any(torch.equal(*rows) for rows in zip(before, after, strict=True))
    assert all(each.is_contiguous() for each in trainer.networks.own.parameters())  # as a state that is loaded has them
    assert len(list(trainer.pictures([0, 2]))) == 2
    with pytest.raises(ValueError, match="frame 1 was not fitted"):
        list(trainer.pictures([1]))


@pytest.mark.parametrize("recipe", ["hinerv", "rd"])
def test_a_fit_that_ended_before_it_was_packed_is_taken_up_with_its_grids(tmp_path, recipe):
    settings = replace(SETTINGS, recipe=recipe, epochs=2, grid_epochs=1)
    whole, _ = run(tmp_path, settings)
    again, seen = run(tmp_path, settings, resume=True)
    assert seen == []
    same_end(again, whole)


def test_grids_at_their_finest_are_taken_up_too(tmp_path, monkeypatch):
    monkeypatch.setattr("snerv_codec.training.quantizers.MOST_STEPS", 2)
    settings = replace(SETTINGS, recipe="rd", epochs=2, grid_epochs=1)
    whole, _ = run(tmp_path, settings)
    quantizer = whole.networks.quantizer
    assert bool((quantizer.log_steps.exp() < quantizer.least).any())
    again, _ = run(tmp_path, settings, resume=True)
    same_end(again, whole)


def test_a_fit_to_a_budget_is_resumed_bit_for_bit_too(tmp_path):
    settings = replace(SETTINGS, recipe="rd", epochs=2, prune_epochs=1, grid_epochs=5)
    whole, _ = run(tmp_path / "whole", settings, budget=15_000)
    with pytest.raises(Interrupt):
        run(tmp_path / "cut", settings, budget=15_000, stop_after=6)
    resumed, _ = run(tmp_path / "cut", settings, resume=True)  # the state knows the budget
    same_end(resumed, whole)
    assert resumed.controller.rate_weight == whole.controller.rate_weight != settings.weight_of_rate(CONFIG.model)
    assert whole.state.estimated_bytes == pytest.approx(15_000, rel=0.1)


CUTS: list[object] = [("paper", "fit", 2, 3), ("hinerv", "grid", 2, 2), ("rd", "grid", 1, 3)]
CUTS += [pytest.param(*cut, marks=SLOW) for cut in (("paper", "prune", 1, 1), ("rd", "grid", 2, 1))]


@pytest.mark.parametrize(("recipe", "phase", "epoch", "step"), CUTS)
def test_a_fit_stopped_inside_an_epoch_ends_bit_for_bit_the_same_too(tmp_path, monkeypatch, recipe, phase, epoch, step):
    """It goes on after the step where it was stopped, and tells of the same epochs."""
    monkeypatch.setattr("snerv_codec.training.loop.TELL_EVERY", 0)
    monkeypatch.setattr("snerv_codec.training.checkpoint.EVERY", 0)
    monkeypatch.setattr("snerv_codec.training.settings.FEWEST_ENCODED", 1)
    settings = replace(SETTINGS, recipe=recipe, epochs=2, prune_epochs=1, grid_epochs=2, optimizer="muon")
    budget = 15_000 if recipe == "rd" else None
    checkpoint, whole, told = Checkpoint(tmp_path, {}), make(settings, budget=budget), []
    whole.run(on_event=told.append)

    def stop(event):
        if isinstance(event, StepsDone) and (event.phase, event.epoch, event.step) == (phase, epoch, step):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make(settings, budget=budget).run(checkpoint=checkpoint, on_event=stop)
    resumed, again = make(settings, budget=budget), []
    resumed.load(checkpoint.load())
    assert (resumed.state.phase, resumed.state.epoch, resumed.state.step) == (phase, epoch - 1, step)
    resumed.run(on_event=again.append)
    same_end(resumed, whole)
    epochs, later = ([replace(e, seconds=0) for e in events if isinstance(e, EpochDone)] for events in (told, again))
    assert later == epochs[-len(later) :]


def test_states_are_offered_in_time_and_told_when_they_are_on_disk(tmp_path, monkeypatch):
    monkeypatch.setattr("snerv_codec.training.checkpoint.EVERY", 0)
    monkeypatch.setattr("snerv_codec.training.checkpoint.SHARE", 1e9)  # saving may take all the time
    seen = []
    make(replace(SETTINGS, epochs=1, prune=0)).run(checkpoint=Checkpoint(tmp_path, {}), on_event=seen.append)
    saved = [(event.phase, event.epoch, event.step) for event in seen if isinstance(event, StateSaved)]
    assert saved == [("fit", 0, 1), ("fit", 0, 2), ("fit", 0, 3), ("fit", 1, 0), ("fit", 1, 0), ("prune", 0, 0)]


def test_an_interruption_while_a_state_is_written_loses_nothing(tmp_path, monkeypatch):
    """Ctrl-C comes when the file is about to be put in its place: leaving the block writes it again."""
    checkpoint, replaced = Checkpoint(tmp_path, {}), os.replace

    def interrupted(*paths):
        monkeypatch.setattr("os.replace", replaced)
        raise KeyboardInterrupt

    def offer():
        with Saver(checkpoint) as saver:
            monkeypatch.setattr("os.replace", interrupted)
            saver.offer(lambda: {"epoch": 7})

    with pytest.raises(KeyboardInterrupt):
        offer()
    assert checkpoint.load() == {"epoch": 7}


def test_the_callers_random_numbers_are_neither_used_nor_touched():
    settings, ends = replace(SETTINGS, recipe="hinerv", epochs=1, prune_epochs=1, grid_epochs=1), []
    for seed in (1, 2):
        torch.manual_seed(seed)
        np.random.seed(seed)
        random.seed(seed)
        before = torch.get_rng_state(), repr(np.random.get_state()), random.getstate()
        ends.append(make(settings))
        ends[-1].run()
        assert torch.equal(torch.get_rng_state(), before[0])
        assert (repr(np.random.get_state()), random.getstate()) == before[1:]
    same_end(*ends)


def test_a_state_of_another_schedule_is_refused():
    settings = replace(SETTINGS, recipe="rd", epochs=1, prune_epochs=1, grid_epochs=1)
    trainer = make(settings)
    trainer.run()
    with pytest.raises(SettingsError, match="of phase 'grid', which this fit does not have"):
        make(SETTINGS).load(trainer.save())


def test_epochs_tell_the_terms_of_the_loss():
    seen = []
    make(replace(SETTINGS, recipe="rd", epochs=1, prune=0, grid_epochs=1)).run(on_event=seen.append)
    fit, grid = (event for event in seen if isinstance(event, EpochDone))
    assert set(grid.terms) - set(fit.terms) == {"rate"}
    assert 1 < grid.terms["rate"] < 12  # bits a value
    loss = fitting_loss(SETTINGS.tuned.alpha)
    assert fit.loss == pytest.approx(sum(loss.weights[name] * value for name, value in fit.terms.items()), rel=1e-4)
    assert set(fit.terms) == set(loss.names)


def test_a_loss_may_change_within_a_phase():
    trainer = make(replace(SETTINGS, epochs=4, prune=0))
    trainer.loss = Loss((Term("frame", "l1", 1.0, until=0.5), Term("frame", "l2", 1.0, since=0.5)))
    seen = []
    trainer.run(on_event=seen.append)
    assert [set(e.terms) for e in seen if isinstance(e, EpochDone)] == [{"frame l1"}] * 2 + [{"frame l2"}] * 2


def same_end(mine, theirs):
    assert mine.results == theirs.results
    assert mine.state.estimated_bytes == theirs.state.estimated_bytes
    for one, other in zip(mine.networks.parameters(), theirs.networks.parameters(), strict=True):
        assert torch.equal(one, other)
    my_steps, their_steps = (trainer.networks.steps(trainer.values()) for trainer in (mine, theirs))
    if their_steps is not None:
        assert all(torch.equal(step, their_steps[name]) for name, step in my_steps)


def test_fitting_improves_the_picture_and_the_zeros_stay():
    trainer = make(replace(SETTINGS, epochs=12))
    untrained = trainer.psnr()
    trainer.run()
    assert trainer.results["fit"] > untrained + 0.5
    frames = moving_gradient().numpy()
    shown = [psnr(*pair) for pair in zip(frames, trainer.pictures(range(4)), strict=True)]
    assert trainer.results["prune"] == pytest.approx(np.mean(shown), abs=1e-4)
    weights = torch.cat([p.flatten() for p in trainer.networks.decoder.parameters() if p.dim() > 1])
    assert int((weights == 0).sum()) == pytest.approx(0.3 * weights.numel(), rel=0.001)  # one may be zero by chance


def test_another_runs_state_is_refused_and_says_what_differs(tmp_path):
    checkpoint = Checkpoint(tmp_path, {"epochs": 3, "seed": 1})
    checkpoint.save({"x": torch.zeros(2), "epoch": 1})
    assert checkpoint.load().keys() == {"x", "epoch"}
    with pytest.raises(SettingsError, match="differs in epochs"):
        Checkpoint(tmp_path, {"epochs": 4, "seed": 1}).load()


def test_a_damaged_state_is_refused(tmp_path):
    checkpoint = Checkpoint(tmp_path, {})
    checkpoint.save({"x": torch.zeros(2)})
    whole = checkpoint.path.read_bytes()
    for header in (b"[]", b"null", b'{"identity": [], "state": 3}', b"{"):
        np.savez(checkpoint.path, header=np.frombuffer(header, np.uint8))
        with pytest.raises(InputError, match="not a usable state"):
            checkpoint.load()
    for damaged in (whole[:50], b"", np.zeros(3).tobytes()):
        checkpoint.path.write_bytes(damaged)
        with pytest.raises(InputError, match="not a usable state"):
            checkpoint.load()


def test_a_full_disk_leaves_the_state_before(tmp_path, monkeypatch):
    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    new, old = Checkpoint(tmp_path / "new", {}), Checkpoint(tmp_path / "old", {})
    old.save({"epoch": 1})
    monkeypatch.setattr("os.fsync", full)
    for checkpoint in (new, old):
        with pytest.raises(OutputError, match="cannot be saved: No space left on device; free some space"):
            checkpoint.save({"epoch": 2})
    assert [path.name for path in tmp_path.rglob("*")] == ["old", "state.npz"]
    assert old.load() == {"epoch": 1}


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk_is_one_error_and_no_noise(tmp_path, monkeypatch):
    monkeypatch.setattr("secrets.token_hex", lambda size: "0")
    (tmp_path / "state.0.tmp").symlink_to("/dev/full")
    noise: list[object] = []
    monkeypatch.setattr("sys.unraisablehook", noise.append)
    with pytest.raises(OutputError, match="No space left on device"):
        Checkpoint(tmp_path, {}).save({"x": torch.zeros(100_000)})
    gc.collect()
    assert noise == []


def test_a_state_taken_away_is_told(tmp_path, monkeypatch):
    checkpoint, fsync = Checkpoint(tmp_path / "work", {}), os.fsync

    def take_away(descriptor):
        fsync(descriptor)
        Checkpoint(tmp_path / "work", {}).remove()

    monkeypatch.setattr("os.fsync", take_away)
    with pytest.raises(OutputError, match="No such file or directory; the directory has been removed"):
        checkpoint.save({"epoch": 1})


def test_two_who_save_the_same_state_at_once_leave_one_of_theirs_whole(tmp_path):
    """As a worker does whose driver was lost, while the next run goes on."""
    checkpoints = [Checkpoint(tmp_path / "work", {}) for _ in range(3)]
    checkpoints[0].save({"values": torch.zeros(20_000)})

    def save(number):
        for _ in range(10):
            checkpoints[number].save({"values": torch.full((20_000,), float(number))})

    with ThreadPoolExecutor(3) as threads:
        at_work = [threads.submit(save, number) for number in range(3)]
        while not all(each.done() for each in at_work):
            assert len(np.unique(checkpoints[0].load()["values"])) == 1
    assert [each.result() for each in at_work] == [None] * 3
    assert [path.name for path in (tmp_path / "work").iterdir()] == ["state.npz"]


def test_removing_a_state_spares_what_is_not_ours(tmp_path):
    for name in ("mine", "ours"):
        Checkpoint(tmp_path / name, {}).save({"epoch": 1})
    (tmp_path / "mine" / "diary.txt").write_text("dear diary")
    for name in ("mine", "ours", "none"):
        Checkpoint(tmp_path / name, {}).remove()
    assert [path.name for path in tmp_path.rglob("*")] == ["mine", "diary.txt"]


def test_the_schedule_warms_up_and_ends_at_zero():
    phase = FitSettings.preset("paper", learning_rate=1e-3).phases()[0]
    assert phase.rate(0) == pytest.approx(1e-4)
    assert phase.rate(0.05) == pytest.approx(5.5e-4)
    assert phase.rate(0.1) == pytest.approx(1e-3)
    assert phase.rate(0.55) == pytest.approx(5e-4)
    assert phase.rate(1) == pytest.approx(0, abs=1e-12)
    phase = FitSettings.preset("paper", learning_rate=1e-3, schedule="linear").phases()[0]
    assert [phase.rate(done) for done in (0.1, 0.55, 0.82, 1)] == pytest.approx([1e-3, 5e-4, 2e-4, 0], abs=1e-12)


def test_the_border_weighs_nothing_and_flat_frames_have_no_range():
    frames = moving_gradient()
    frames[1] = 77
    data = FrameSet(frames, CONFIG)
    batch = data.batch(torch.tensor([0, 1]))
    assert batch.inputs[0].shape == (2, 3, 16, 24)
    assert batch.target.frame.shape == (2, 3, 31, 47)
    assert batch.target.low.shape == (2, 3, 16, 24)
    assert batch.inputs[0].min() >= 0
    assert batch.inputs[0].max() <= 1
    assert (batch.inputs[0][1].abs() < 1e-2).all()
    ll = dwt(torch.full((1, 3, 32, 48), 77 / 255))[0]
    torch.testing.assert_close(data.sides[1], torch.stack((ll.min(), ll.max())), atol=1e-3, rtol=0)


@pytest.mark.parametrize("model", ["b", "t", "pixel"])
def test_what_the_encoder_sees_is_not_made_where_it_rests(model):
    config = choose_config(31, 47, 3, 400_000, model=model)
    data, indices = FrameSet(moving_gradient(3), config), torch.tensor([0, 2])
    networks = Networks(config, torch.device("cpu"))
    with_inputs = networks.batch(data, indices)
    networks.free_embeddings(tuple(networks.values_of(data).embeddings.values()))
    without = networks.batch(data, indices)
    assert with_inputs.inputs
    assert without.inputs == ()
    for ours, theirs in zip(without.target, with_inputs.target, strict=True):
        assert ours is theirs is None or torch.equal(ours, theirs)


def test_the_temporal_extension_warms_up_for_longer():
    assert FitSettings.preset("paper").phases("b")[0].warmup == 0.1
    assert {phase.warmup for phase in FitSettings.preset("paper").phases("t")} == {0.2}
    assert FitSettings.preset("paper", warmup=0).phases("t")[0].warmup == 0


@pytest.mark.parametrize("count", [1, 2, 4])
def test_neighbours_are_mirrored_at_the_ends_and_share_one_range(count):
    frames = moving_gradient(count)
    data, plain = FrameSet(frames, TEMPORAL), FrameSet(frames, CONFIG)
    for number in range(count):
        batch = data.batch(torch.tensor([number]))
        before = min(1, count - 1) if number == 0 else number - 1
        after = max(count - 2, 0) if number == count - 1 else number + 1
        least = plain.sides[[before, number, after], 0].min()
        greatest = plain.sides[[before, number, after], 1].max()
        assert batch.side.tolist() == [[least, greatest]]

        def scaled(i, least=least, greatest=greatest):
            padded = torch.nn.functional.pad(frames[[i]].permute(0, 3, 1, 2) / 255, (0, 1, 0, 1), mode="replicate")
            return (dwt(padded)[0] - least) / (greatest - least)

        low, *pairs = batch.inputs
        torch.testing.assert_close(low, scaled(number).clamp(0, 1))
        for pair, other in zip(pairs, (before, after), strict=True):
            expected = (scaled(number).clamp(0, 1) + scaled(other).clamp(0, 1)) / 2**1.5
            torch.testing.assert_close(pair, expected)
            assert pair.max() < 1


def test_the_temporal_extension_learns_and_resumes(tmp_path):
    """The same machinery: one epoch less of it, then the rest, ends where all at once does."""
    settings = FitSettings.preset("paper", epochs=4, prune=0, seed=1)

    def trained(stop):
        trainer, seen = make_trainer(FrameSet(moving_gradient(), TEMPORAL), TEMPORAL, settings), []
        checkpoint = Checkpoint(tmp_path / str(stop), {})
        if checkpoint.exists():
            trainer.load(checkpoint.load())

        def watch(event):
            if isinstance(event, EpochDone):
                seen.append(event.loss)
                if len(seen) == stop:
                    raise Interrupt

        try:
            trainer.run(checkpoint=checkpoint, on_event=watch)
        except Interrupt:
            return trained(stop)
        return trainer, seen

    whole, losses = trained(0)
    assert losses[-1] < losses[0]
    resumed, _ = trained(3)
    for mine, theirs in zip(resumed.networks.parameters(), whole.networks.parameters(), strict=True):
        assert torch.equal(mine, theirs)
    shapes = {name: tuple(values.shape) for name, values in whole.values().embeddings.items()}
    assert shapes == {"embeddings": (4, 16, 2, 3), "temporal": (4, 6, 4, 6)}


@pytest.mark.parametrize("wrong", [{"epochs": 0}, {"alpha": 1.5}, {"prune": 0.99}, {"learning_rate": 0}, {"batch": 0}])
def test_settings_out_of_range_are_refused(wrong):
    with pytest.raises(SettingsError):
        FitSettings.preset("paper", **wrong)


def poisoned_at(trainer, kind, *place):
    """A watcher that spoils a weight at the event of that `kind` and `place`."""

    def watch(event):
        if isinstance(event, kind) and (event.phase, event.epoch, getattr(event, "step", 0)) == place:
            with torch.no_grad():
                next(trainer.networks.decoder.parameters()).fill_(math.nan)

    return watch


ILL = [(EpochDone, "fit", 1, 0), (StepsDone, "fit", 2, 2), (EpochDone, "grid", 1, 0), (StepsDone, "grid", 2, 3)]


@pytest.mark.parametrize(("kind", "phase", "epoch", "step"), ILL)
def test_a_fit_that_diverges_stops_and_leaves_the_last_good_state(tmp_path, monkeypatch, kind, phase, epoch, step):
    monkeypatch.setattr("snerv_codec.training.loop.TELL_EVERY", 0)
    monkeypatch.setattr("snerv_codec.training.checkpoint.EVERY", 0)
    trainer = make(replace(SETTINGS, recipe="rd", epochs=2, prune=0, grid_epochs=2))
    checkpoint = Checkpoint(tmp_path / "work", {})
    with pytest.raises(SettingsError, match=f"the fit diverged in epoch 2 of phase '{phase}'.*lower one"):
        trainer.run(checkpoint=checkpoint, on_event=poisoned_at(trainer, kind, phase, epoch, step))
    state = checkpoint.load()
    assert (state["phase"], state["epoch"], state["step"]) == (phase, 1, step)
    assert all(torch.isfinite(value).all() for value in state.values() if isinstance(value, torch.Tensor))
