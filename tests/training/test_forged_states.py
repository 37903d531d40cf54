"""States of a fit that no fit saved."""

import json
from typing import Any

import pytest
import torch
from test_trainer import make

from snerv_codec.errors import InputError, SettingsError
from snerv_codec.training.checkpoint import Checkpoint

FORGED: dict[str, dict[str, Any]] = {
    "nothing": {},
    "no phase": {"phase": None},
    "another phase": {"phase": "nap"},
    "no number": {"epoch": "many"},
    "a far epoch": {"epoch": 10**9},
    "a negative epoch": {"epoch": -1},
    "a far step": {"step": 10**9},
    "a negative step": {"step": -1},
    "no results": {"about": "{}"},
    "results of nobody": {"about": json.dumps([0.0, {"nap": 30.0}, None])},
    "a phase finished early": {"about": json.dumps([0.0, {"fit": 30.0}, None])},
    "no numbers": {"about": json.dumps([0.0, {}, "many"])},
    "deep text": {"about": "[" * 100_000},
    "other sums": {"sums": torch.zeros(3, 3), "step": 1},
    "no control": {"controller": "[]"},
    "a mask of another shape": {"mask:stem.weight": torch.zeros(2, dtype=torch.bool)},
    "a mask of nobody": {"mask:nap": torch.zeros(2, dtype=torch.bool)},
    "weights of another shape": {"networks:decoder.stem.weight": torch.zeros(2)},
    "moments of another shape": {"optimizer:exp_avg:decoder.stem.weight": torch.zeros(3, 3)},
    "moments of nobody": {"optimizer:exp_avg:nap": torch.zeros(3, 3)},
    "text for a tensor": {"sums": "none"},
}


@pytest.mark.parametrize("forged", FORGED)
def test_a_forged_state_is_told_in_one_line_and_not_used(tmp_path, forged):
    checkpoint, trainer = Checkpoint(tmp_path / "work", {}), make()
    trainer.state.enter(trainer.schedule[0])
    trainer.state.epoch, saved = 2, trainer.save()
    checkpoint.save(saved)
    with checkpoint.using():
        make().load(checkpoint.load())
    changed = {**saved, **FORGED[forged]} if FORGED[forged] else {}
    checkpoint.save({key: value for key, value in changed.items() if value is not None})
    with pytest.raises((InputError, SettingsError)) as told, checkpoint.using():
        make().load(checkpoint.load())
    assert len(str(told.value).splitlines()) == 1
    assert forged == "another phase" or str(told.value).startswith(f"{checkpoint.path}: not a usable state (")


def test_memory_that_is_refused_is_not_the_fault_of_a_state(tmp_path):
    with pytest.raises(MemoryError), Checkpoint(tmp_path, {}).using():
        raise MemoryError
