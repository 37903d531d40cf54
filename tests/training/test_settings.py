from dataclasses import replace

import pytest

from benchmarks.codecs import Snerv, find_codec
from snerv_codec.cli.encode import settings_of
from snerv_codec.errors import SettingsError
from snerv_codec.rate_control.targets import Target
from snerv_codec.settings import TARGETS, EncodeSettings
from snerv_codec.training.settings import PRESETS, FitSettings


def harness(text, size):
    """The settings of a benchmark's codec at a point."""
    codec = find_codec(text)
    assert isinstance(codec, Snerv)
    return codec.encode(size)


@pytest.mark.parametrize(("size", "recipe"), [("1M", "paper"), (None, "rd")])
def test_the_default_preset_is_what_settings_are_by_themselves(size, recipe):
    """Alone, in an encode, by name, on the command line and as a benchmark's codec."""
    ways = [
        EncodeSettings(size=size),
        EncodeSettings.of(size=size),
        settings_of({**dict.fromkeys(TARGETS), "size": size}),
        harness("snerv", size),
    ]
    assert FitSettings() == FitSettings.preset("default")
    assert {settings.fit for settings in ways} == {FitSettings(recipe=recipe)}
    assert FitSettings(optimizer="adam", schedule="cosine", epochs=300) == FitSettings.preset("paper")


@pytest.mark.parametrize(
    ("choices", "model"),
    [
        ({}, "sprite"),
        ({"target_size": 100_000}, "sprite"),
        ({"size": "1M", "recipe": "rd"}, "sprite"),
        ({"size": "1M"}, "b"),
        ({"preset": "paper"}, "b"),
        ({"preset": "paper", "target_size": 100_000}, "b"),
        ({"recipe": "hinerv"}, "b"),
        ({"rounding": "rdo"}, "b"),
        ({"size": "1M", "recipe": "rd", "blocks": 2}, "b"),
        ({"model": "b", "recipe": "rd"}, "b"),
        ({"model": "pixel", "size": "1M"}, "pixel"),
        ({"model": "auto", "target_psnr": 30}, "sprite"),
    ],
)
def test_the_model_is_the_papers_where_anything_of_the_paper_is_asked_for(choices, model):
    assert EncodeSettings.of(**choices).model == model


def test_a_target_is_trained_for_however_it_is_given():
    expected = EncodeSettings.of(target_psnr=34)
    assert expected.fit == FitSettings(recipe="rd")
    assert EncodeSettings(target=Target("psnr", 34)) == expected
    assert settings_of({**dict.fromkeys(TARGETS), "target_psnr": 34}) == expected
    assert harness("snerv:target_psnr=34", None) == expected
    assert replace(EncodeSettings(), target=Target("psnr", 34)) == expected
    assert EncodeSettings(target=Target("psnr", 34), fit=FitSettings(recipe="rd", epochs=7)).fit.epochs == 7
    with pytest.raises(SettingsError, match="paper cannot"):
        EncodeSettings(target=Target("psnr", 34), fit=FitSettings(recipe="paper", epochs=3))


@pytest.mark.parametrize("name", PRESETS)
def test_what_is_given_goes_before_the_preset_and_none_is_not_given(name):
    settings = FitSettings.preset(name, epochs=7, optimizer=None, seed=2)
    preset = PRESETS[name]
    assert settings == FitSettings(epochs=7, optimizer=preset.optimizer, schedule=preset.schedule, seed=2)


def test_unknown_names_are_refused_with_the_known_ones():
    with pytest.raises(SettingsError, match="preset 'quick' is not one of fast, default, best, paper"):
        FitSettings.preset("quick")  # type: ignore[arg-type]
    with pytest.raises(SettingsError, match="optimizer 'sgd' is not one of adam, muon"):
        FitSettings(optimizer="sgd")  # type: ignore[arg-type]
    with pytest.raises(SettingsError, match="schedule 'step' is not one of cosine, linear"):
        FitSettings(schedule="step")  # type: ignore[arg-type]


def test_training_for_rate_takes_no_more_epochs_than_it_is_given():
    assert [phase.epochs for phase in FitSettings(recipe="rd", epochs=60).phases()] == [3, 0, 57]
    assert [phase.epochs for phase in FitSettings(recipe="rd", epochs=1).phases()] == [1, 0, 1]
    assert [phase.epochs for phase in FitSettings(recipe="rd", epochs=60, grid_epochs=5).phases()] == [60, 0, 5]
    assert [phase.epochs for phase in FitSettings(epochs=60).phases()] == [60, 6]


def test_the_rate_weighs_what_suits_the_model_where_nobody_says():
    assert [EncodeSettings.of(model=model).rate_weight for model in ("b", "t", "sprite")] == [0.01, 0.01, 0.004]
    assert EncodeSettings.of(model="sprite", rate_weight=0.02).rate_weight == 0.02
    assert EncodeSettings.of(model="b", rate_weight=0).rate_weight == 0
    assert harness("snerv:model=sprite", "1M").rate_weight == 0.004
    assert harness("snerv:model=sprite", "1M").fit.rate_weight is None
    with pytest.raises(SettingsError, match=r"rate weight -1 is not in 0\.\.1000"):
        FitSettings(rate_weight=-1)


def test_a_record_holds_the_rate_weight_that_was_meant():
    assert Snerv({"model": "sprite", "recipe": "rd"}).settings("160k")["rate_weight"] == 0.004
