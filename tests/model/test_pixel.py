"""Models "pixel", "canvas" and "sprite": their sizes, and a video through the whole codec."""

import json
from dataclasses import replace
from math import prod

import numpy as np
import pytest
import torch
from clips import moving_picture, write_clip
from conftest import QUICK

from snerv_codec import Decoder, EncodeSettings, encode
from snerv_codec.bitstream.container import StreamFile
from snerv_codec.cli.main import main
from snerv_codec.encoding.planning import plan
from snerv_codec.errors import SettingsError
from snerv_codec.model.architectures import ARCHITECTURES, build_decoder
from snerv_codec.model.canvas import Sprite
from snerv_codec.model.sizing import choose_config, model_cost
from snerv_codec.training.frames import FrameSet
from snerv_codec.training.settings import FitSettings
from snerv_codec.training.trainer import make_trainer

MODELS = ("pixel", "canvas", "sprite")
ALONE = torch.zeros(1, 0)  # the number of a canvas where there is no other
SIZES = [(96, 192, 33, 20_000), (192, 384, 132, 110_000), (640, 1280, 132, 350_000), (1080, 1920, 60, 3_000_000)]


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize(("height", "width", "frames", "budget"), SIZES)
def test_a_size_is_met_from_twenty_thousand_parameters_on(height, width, frames, budget, model):
    config = choose_config(height, width, frames, budget, model=model)
    cost = model_cost(config, frames)
    within = 0.08 if model == "sprite" else 0.06  # beside its canvas a channel of the narrowest decoder is 15 %
    assert cost.total_parameters == pytest.approx(budget, rel=within)
    assert cost.embedding_parameters <= ARCHITECTURES["pixel"].proportions.share * budget
    assert cost.encoder_macs < 1.5 * cost.decoder_macs
    rows, columns = config.padded_size
    assert height <= rows
    assert width <= columns
    assert rows * columns <= 1.1 * height * width
    assert max(config.widths) == config.widths[0]


@pytest.mark.parametrize(("height", "width", "frames", "budget"), SIZES)
def test_a_canvas_takes_about_an_eighth_of_the_parameters_and_is_fine(height, width, frames, budget):
    config = choose_config(height, width, frames, budget, model="canvas")
    (stage, channels, levels), values = config.canvas, prod(config.canvas_shape)
    assert budget / 16 <= values <= budget / 5
    assert channels >= 1.5
    assert levels == 0
    if stage < len(config.strides):  # the next finer one has no room for as many
        assert values / channels * config.strides[stage] ** 2 * 1.5 > budget / 8


@pytest.mark.parametrize(("height", "width", "frames", "budget"), SIZES)
def test_a_sprite_is_one_picture_as_fine_as_three_fifths_of_the_parameters_make_it(height, width, frames, budget):
    config = choose_config(height, width, frames, budget, model="sprite")
    (stage, channels, levels), values = config.canvas, prod(config.canvas_shape)
    assert channels == 1
    assert values <= 0.6 * budget
    if stage < len(config.strides):
        assert values * config.strides[stage] ** 2 > 0.6 * budget
    assert 3 <= levels <= 4
    assert min(config.canvas_shape[1:]) >> levels >= 6


def test_a_canvas_has_four_values_a_pixel_at_most():
    assert choose_config(64, 64, 2, 3_000_000, model="canvas").canvas_shape == (4, 64, 64)


@pytest.mark.parametrize(("height", "width"), [(96, 192), (192, 384), (480, 960), (270, 480)])
def test_embeddings_have_a_position_for_about_24_x_24_pixels_where_parameters_allow(height, width):
    channels, rows, columns = choose_config(height, width, 5, 3_000_000, model="pixel").embedding_shape
    assert channels == 16
    assert 16 <= (height * width / (rows * columns)) ** 0.5 <= 36
    few = choose_config(height, width, 1000, 500_000, model="pixel").embedding_shape
    assert prod(few) <= 200
    assert few[1] * few[2] <= rows * columns


@pytest.mark.parametrize("model", MODELS)
def test_a_video_comes_back_with_no_side_values(tmp_path, model):
    clip, coded = write_clip(tmp_path / "clip.mkv", width=35, height=19, frames=5), tmp_path / "a.snrv"
    encode(clip, coded, replace(QUICK, size="30k", model=model))
    with StreamFile(coded) as file:
        segment = file.read_segment(0)
    assert segment.config.model == model
    assert segment.side.shape == (5, 0)
    with Decoder(coded, device="cpu") as decoder:
        frames = decoder[:]
        assert frames.shape == (5, 19, 35, 3)
        for number in (4, 0, 2):
            assert np.array_equal(decoder[number], frames[number])


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize(
    "others",
    [{"rounding": "rdo"}, {"fit": FitSettings(epochs=2, recipe="rd")}, {"fit": FitSettings(epochs=2, recipe="hinerv")}],
)
def test_the_other_ways_to_round_take_it_too(tmp_path, others, model):
    clip = write_clip(tmp_path / "clip.mkv", width=34, height=18, frames=3)
    report = encode(clip, tmp_path / "a.snrv", replace(QUICK, size="30k", model=model, **others))
    assert len(Decoder(tmp_path / "a.snrv", device="cpu")) == 3
    assert report.config.model == model


def test_a_canvas_is_learned_and_pruning_leaves_it_alone():
    frames = torch.from_numpy(moving_picture(3, 19, 34))
    config = choose_config(19, 34, 3, 30_000, model="canvas")
    trainer = make_trainer(FrameSet(frames, config), config, FitSettings(epochs=2))
    canvas = trainer.networks.decoder.get_parameter("canvas.map")
    assert not canvas.any()
    trainer.run()
    assert canvas.any()
    assert "canvas.map" not in trainer.networks.masks
    assert not all(mask.all() for mask in trainer.networks.masks.values())


@pytest.mark.parametrize("size", [(9, 14), (1, 5), (16, 24)])
def test_a_sprite_is_put_together_whole_whatever_its_size(size):
    sprite = Sprite((2, *size), width=5, stage=1, step=1, levels=3)
    assert sprite.pictures(ALONE).shape == (1, 2, *size)
    with torch.no_grad():
        sprite.map.fill_(0.5)
    assert (sprite.pictures(ALONE) == 0.5).all()
    with torch.no_grad():
        sprite.details[0][:, 0, 0] = 1
    changed = sprite.pictures(ALONE)[0, 0] != 0.5
    assert changed[0, 0]
    assert not changed[4:].any()
    assert not changed[:, 4:].any()


def test_what_stands_before_a_sprite_covers_it():
    sprite, features = Sprite((1, 6, 8), width=4, stage=1, step=1, levels=1), torch.randn(1, 4, 6, 8)
    features[0, 0, 2, 3] = 2
    with torch.no_grad():
        sprite.map.fill_(1)
        shown = sprite(features, torch.zeros(1, 8, 1, 1), ALONE) - features
        torch.testing.assert_close(shown[0, :, 0, 0], sprite.mix.weight[:, 0, 0, 0] + sprite.mix.bias)
        sprite.gate.weight[0, 0] = -100
        covered = sprite(features, torch.zeros(1, 8, 1, 1), ALONE) - features
    before = features[0, 0] > 1
    torch.testing.assert_close(covered[0, :, before], sprite.mix.bias[:, None].expand(-1, int(before.sum())))


def test_all_frames_share_what_a_canvas_adds():
    config = choose_config(19, 34, 3, 30_000, model="canvas")
    decoder, embeddings = build_decoder(config), [torch.zeros(2, *config.embedding_shape)]
    before = decoder(embeddings, torch.zeros(2, 0)).frame
    with torch.no_grad():
        decoder.get_parameter("canvas.map")[:, 2:5, 3:9] = 1
    changed = (decoder(embeddings, torch.zeros(2, 0)).frame != before).any(dim=1)
    assert torch.equal(changed[0], changed[1])
    assert 0 < changed[0].float().mean() < 1


def test_the_loss_is_of_the_frame_alone_and_skips_what_is_not_known():
    frames = torch.from_numpy(moving_picture(3, 19, 34))
    known = torch.ones(1, 19, 34, dtype=torch.bool)
    known[:, 4:9, 10:20] = False
    config = choose_config(19, 34, 3, 30_000, model="pixel")
    data = FrameSet(frames, config, known=known)
    trainer = make_trainer(data, config, FitSettings(epochs=1))
    assert trainer.loss.names == ("frame l1", "frame dssim")
    batch = data.batch(torch.tensor([1]))
    assert batch.inputs[0].shape == (1, 3, *config.padded_size)
    assert batch.target.frame.shape == (1, 3, 19, 34)
    other = batch.target._replace(frame=torch.where(known, batch.target.frame, 0.5))
    assert trainer.loss(batch.judged(other), batch.target).item() == pytest.approx(0, abs=1e-6)


def test_any_stride_works_also_to_odd_sizes():
    config = choose_config(45, 27, 3, 30_000, model="pixel", strides=(3, 3))
    assert config.padded_size == (45, 27)
    frame = build_decoder(config)([torch.zeros(2, *config.embedding_shape)], torch.zeros(2, 0)).frame
    assert frame.shape == (2, 3, 45, 27)


def test_the_command_line_takes_an_embedding(tmp_path, capsys):
    clip = write_clip(tmp_path / "clip.mkv", width=34, height=18, frames=2)
    arguments = ["encode", str(clip), "--size", "30k", "--model", "pixel", "--dry-run", "--json", "--embedding"]
    assert main([*arguments, "5x3x6"]) == 0
    assert json.loads(capsys.readouterr().out)["embedding_shape"] == [5, 3, 6]
    assert main([*arguments, "5x3"]) == 2
    assert "8x4x8" in capsys.readouterr().err


def test_it_has_no_residual_blocks(tmp_path):
    clip = write_clip(tmp_path / "clip.mkv", width=34, height=18, frames=2)
    with pytest.raises(SettingsError, match="'pixel' has no residual blocks, not 2"):
        plan(clip, EncodeSettings(size="30k", model="pixel", blocks=2))
