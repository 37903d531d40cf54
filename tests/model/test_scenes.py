"""Model "sprite" on several scenes: each has a canvas of its own, and all share the rest of the network."""

from dataclasses import replace
from fractions import Fraction
from math import prod

import numpy as np
import pytest
import torch
from clips import moving_picture, write_frames
from conftest import QUICK

from snerv_codec import Decoder, encode, plan
from snerv_codec.errors import SettingsError
from snerv_codec.media.source import Selection
from snerv_codec.model.canvas import Sprite, scene_numbers
from snerv_codec.model.sizing import choose_config, model_cost
from snerv_codec.training.frames import FrameSet
from snerv_codec.training.settings import FitSettings
from snerv_codec.training.trainer import make_trainer

SPRITE = replace(QUICK, size="30k", model="sprite", source=Selection(rate=Fraction(25)))


def two_scenes(first=6, second=5):
    """Frames, (T, 32, 48, 3), of which the later ones show something else."""
    frames = moving_picture(first + second, 32, 48)
    frames[first:] = 255 - frames[first:, ::-1]
    return frames


@pytest.mark.parametrize(("scenes", "own"), [((40, 90), (40, 90)), ((2, 3, 40, 97), (40,)), ((), ())])
def test_scenes_that_last_have_a_canvas_of_their_own(scenes, own):
    assert choose_config(96, 192, 100, 120_000, model="sprite", scenes=scenes).scenes == own
    assert choose_config(96, 192, 100, 120_000, model="pixel", scenes=scenes).scenes == ()


@pytest.mark.parametrize("count", [1, 2, 6, 20, 249])
def test_canvases_share_what_there_is_for_one(count):
    scenes = range(4, 4 * count, 4)
    config = choose_config(96, 192, 1000, 150_000, model="sprite", scenes=scenes)
    assert config.canvas_values <= 0.6 * 150_000
    assert model_cost(config, 1000).total_parameters == pytest.approx(150_000, rel=0.08)
    if count <= 20:
        assert config.scenes == tuple(scenes)
    assert prod(choose_config(96, 192, 1000, 150_000, model="sprite").canvas_shape) >= prod(config.canvas_shape)


def test_a_frame_has_the_canvas_of_its_scene_and_one_between_two_a_mix():
    sprite = Sprite((1, 6, 8), width=4, stage=1, step=1, levels=1, scenes=3)
    with torch.no_grad():
        for scene, band in enumerate(sprite.map):
            band.fill_(scene * scene)
        sprite.details[0].view(3, 3, 3, 4)[0, 2, 0, 0] = 1  # LH of the last
    shown = sprite.pictures(torch.tensor([[0.0], [1], [2], [0.25]]))
    assert shown.shape == (4, 1, 6, 8)
    assert (shown[0] == 0).all()
    assert (shown[1] == 1).all()
    assert (shown[3] == 0.25).all()
    assert shown[2, 0, 0, 0] != 4
    assert (shown[2, 0, 4:] == 4).all()


def test_motion_is_counted_from_the_middle_of_each_scene():
    frames = torch.from_numpy(two_scenes())
    config = choose_config(32, 48, 11, 30_000, model="sprite", scenes=[6])
    data = FrameSet(frames, config)
    assert data.sides.flatten().tolist() == [0] * 6 + [1] * 5
    assert torch.equal(data.batch(torch.tensor([7, 2])).side, torch.tensor([[1.0], [0.0]]))
    assert not data.motion[[3, 8]].any()
    alone = FrameSet(frames[6:], choose_config(32, 48, 5, 30_000, model="sprite"))
    assert torch.equal(data.motion[6:], alone.motion)
    assert alone.sides.shape == (5, 0)


def test_frames_of_one_scene_teach_its_canvas_alone():
    config = choose_config(32, 48, 11, 30_000, model="sprite", scenes=[6])
    frames = FrameSet(torch.from_numpy(two_scenes()), config, fitted=range(6))
    trainer = make_trainer(frames, config, FitSettings(epochs=2))
    trainer.run()
    first, second = trainer.networks.decoder.get_parameter("canvas.map")
    assert first.any()
    assert not second.any()


def test_a_film_of_two_scenes_comes_back(tmp_path):
    coded = tmp_path / "a.snrv"
    report = encode(two_scenes(), coded, replace(SPRITE, fit=FitSettings(epochs=2, recipe="rd")))
    assert report.config.scenes == (6,)
    with Decoder(coded, device="cpu") as decoder:
        frames = decoder[:]
        assert np.array_equal(decoder[8], frames[8])
        numbers = range(21)
        between = list(decoder.frames(numbers, rate=2))
    assert len(between) == 21
    assert np.array_equal(np.stack(between[::2]), frames)


@pytest.mark.parametrize(
    ("choices", "expected"),
    [
        ({}, [(6,)]),
        ({"segment": None}, [(6,)]),
        ({"segment": 8}, [(), ()]),  # what follows the cut there is too short
        ({"segment": 5}, [(), (), ()]),
        ({"model": "pixel"}, [()]),
        ({"segment": 8, "chain": 2}, [(), ()]),
    ],
)
def test_scenes_are_those_of_the_segment(tmp_path, choices, expected):
    coded = tmp_path / "a.snrv"
    encode(two_scenes(), coded, replace(SPRITE, **{"size": "70k", **choices}))
    with Decoder(coded, device="cpu") as decoder:
        assert decoder[:].shape == (11, 32, 48, 3)
        found = [entry.config.scenes for entry in decoder._file.header.segments]
    assert found == expected


def test_a_plan_knows_the_scenes_that_the_encode_has(tmp_path):
    """Though it reads the file in another way: of the crop, as RGB, where colour alone may change."""
    frames = moving_picture(21, 32, 64)
    for start, channels in ((7, (2, 1, 0)), (14, (1, 0, 2))):
        frames[start : start + 7] = frames[start : start + 7, ..., channels]
    frames[10:, :, 48:] = 255 - frames[10:, :, 48:]  # not in the crop
    clip = tmp_path / "clip.mp4"
    write_frames(clip, frames)
    settings = replace(SPRITE, source=Selection(crop=(32, 48)))
    told = plan(clip, settings)
    report = encode(clip, tmp_path / "a.snrv", settings)
    assert told.scenes == report.config.scenes == (7, 14)
    assert told.widths == report.config.widths
    assert plan(clip, replace(settings, segment=21)).scenes == (7, 14)


def test_a_network_too_narrow_to_meet_a_size_is_taken_one_channel_below():
    config = choose_config(32, 48, 10, 12_765, model="sprite")
    assert model_cost(config, 10).total_parameters < 12_765


def test_strides_of_nothing_are_told():
    with pytest.raises(SettingsError, match=r"strides \(0, 2\) are not"):
        choose_config(32, 48, 10, 30_000, model="sprite", strides=(0, 2))


def test_scenes_are_numbered_by_the_frames_that_are_fitted(tmp_path):
    coded = tmp_path / "a.snrv"
    report = encode(two_scenes(10, 9), coded, replace(SPRITE, holdout="even"))
    assert report.config.scenes == (5,)
    assert scene_numbers(report.config, 10).flatten().tolist() == [0] * 5 + [1] * 5
