"""The paper's tables: what each fit is, and that fits run, are measured, recorded and not run twice."""

import numpy as np
import pytest
import torch
from clips import moving_picture

from benchmarks.paper import reproduce
from benchmarks.paper.reproduce import Work, run_fit, table_sections
from benchmarks.paper.tables import FITS, TABLES
from snerv_codec.events import EpochDone
from snerv_codec.model.sizing import decoder_parameters


def work(folder, *, frames=2, height=48, width=64):
    pictures = moving_picture(frames, height, width)
    return Work(pictures, torch.device("cpu"), folder / "records", folder / "states", quick=True)


def full_work(folder):
    """Black frames of the paper's clip's size, which take no memory."""
    pictures = np.broadcast_to(np.uint8(0), (132, 640, 1280, 3))
    return Work(pictures, torch.device("cpu"), folder / "records", folder / "states", quick=False)


def test_every_row_names_a_fit_that_exists_and_every_fit_has_a_row():
    named = {row.fit for _, rows in TABLES.values() for row in rows} - {None}
    assert named == FITS.keys()


@pytest.mark.parametrize(
    ("name", "parameters"),
    [("b-0.35M", 353_432), ("b-3M", 2_993_042), ("b-5.95M", 5_930_835), ("t-3M", 2_340_605), ("t-5.95M", 5_300_598)],
)
def test_fits_have_the_papers_architecture_on_its_clip(tmp_path, name, parameters):
    full = full_work(tmp_path)
    assert decoder_parameters(full.config(FITS[name])) == parameters
    assert full.settings(FITS[name]).epochs == 300


def test_fits_differ_in_what_their_rows_say(tmp_path):
    full = full_work(tmp_path)
    settings = {name: full.settings(FITS[name]) for name in ("b-l2", "b-l1", "b-alpha0.5", "t-3M-2400")}
    assert [settings[name].squared for name in settings] == [True, False, False, False]
    assert [settings[name].tuned.alpha for name in settings] == [1.0, 1.0, 0.5, 0.7]
    assert settings["t-3M-2400"].epochs == 2400
    assert [full.config(FITS[name]).blocks for name in ("b-blocks4", "b-3M", "b-blocks8")] == [4, 6, 8]


@pytest.mark.parametrize("name", ["b-hfr", "t-widening3", "hnerv-3M"])
def test_a_toy_is_fitted_recorded_and_not_fitted_again(tmp_path, monkeypatch, name):
    toy = work(tmp_path)
    values = run_fit(name, toy)
    assert 5 < values["psnr"] < 40
    assert values["ms_ssim"] is None, "frames of 48x64 are too small for it"
    assert values["parameters"]["decoder"] == decoder_parameters(toy.config(FITS[name]), FITS[name].variant)
    assert list(toy.states.iterdir()) == [], "its state is gone once it is recorded"
    monkeypatch.setattr(reproduce, "make_trainer", None)
    again = run_fit(name, toy)
    assert again["psnr"] == values["psnr"]


def test_ms_ssim_is_measured_where_frames_allow(tmp_path):
    assert 0 < run_fit("b-3M", work(tmp_path, frames=1, height=176, width=176))["ms_ssim"] < 1


def test_an_interrupted_fit_goes_on_to_the_same_end(tmp_path, monkeypatch):
    whole = run_fit("b-3M-2400", work(tmp_path / "whole"))  # four epochs

    class Interrupting:
        def __init__(self, name):
            self.name = name

        def __call__(self, event):
            if isinstance(event, EpochDone) and event.epoch == 2:
                raise KeyboardInterrupt

    cut = work(tmp_path / "cut")
    with monkeypatch.context() as patched:
        patched.setattr(reproduce, "_Progress", Interrupting)
        with pytest.raises(KeyboardInterrupt):
            run_fit("b-3M-2400", cut)
    assert len(list(cut.states.iterdir())) == 1
    resumed = run_fit("b-3M-2400", cut)
    assert resumed["psnr"] == whole["psnr"]
    assert resumed["seconds"] is None, "the time of a resumed fit is not known whole"


def test_tables_put_ours_beside_the_papers(tmp_path):
    toy = work(tmp_path)
    values = run_fit("b-mfu", toy)
    sections = {section.title.partition(":")[0]: section for section in table_sections(toy.records)}
    rows = {row[0]: row for row in sections["Table 5a"].blocks[0].rows}
    ours, difference = f"{values['psnr']:.2f}", f"{values['psnr'] - 39.20:+.2f}"
    assert rows["MFU"][:4] == ("MFU", "39.20", ours, difference)
    assert rows["both"][:4] == ("both", "39.64", "–", "–")
    assert {row[-1] for row in sections["Table 2a"].blocks[0].rows[:4]} == {"not built here"}
