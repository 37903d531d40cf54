import pytest

from snerv_codec.errors import SettingsError
from snerv_codec.training.settings import PRESETS, FitSettings


def test_the_papers_preset_is_what_settings_are_by_themselves():
    assert FitSettings.preset("paper") == FitSettings()
    assert (FitSettings().optimizer, FitSettings().epochs, FitSettings().learning_rate) == ("adam", 300, 1e-3)


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
