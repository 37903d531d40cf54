"""How the camera moves, seen in pictures whose motion is known, and a canvas that follows it."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from snerv_codec.model.canvas import warp
from snerv_codec.model.sizing import choose_config
from snerv_codec.training.camera import camera_motion
from snerv_codec.training.frames import FrameSet
from snerv_codec.training.settings import FitSettings
from snerv_codec.training.trainer import make_trainer

HEIGHT, WIDTH = 72, 104


def scene(height, width, seed=0):
    """A picture (height, width, 3) in [0, 1] with structure of many sizes."""
    rng, y, x = np.random.default_rng(seed), *np.mgrid[:height, :width]
    waves = [np.sin((y * rng.normal() + x * rng.normal()) / size + rng.uniform(0, 6)) for size in (2, 3, 5, 8, 13, 21)]
    pictures = [sum(wave * rng.uniform(0.3, 1) for wave in waves) for _ in range(3)]
    return np.clip(0.5 + 0.12 * np.stack(pictures, axis=-1), 0, 1)


def panned(steps, height=HEIGHT, width=WIDTH):
    """uint8 frames (T, height, width, 3): windows of a scene at `steps`, (down, right) each, in pixels."""
    whole = (scene(height + 60, width + 60) * 255).astype(np.uint8)
    return torch.from_numpy(np.stack([whole[30 + y : 30 + y + height, 30 + x : 30 + x + width] for y, x in steps]))


def test_a_camera_that_rests_does_not_move_whatever_moves_before_it():
    frames = panned([(0, 0)] * 5)
    assert not camera_motion(frames, (HEIGHT, WIDTH)).any()
    for number in range(5):
        frames[number, 20:36, 10 * number : 10 * number + 16] = 255
    assert camera_motion(frames, (HEIGHT, WIDTH)).abs().max() <= 1 / 16


@pytest.mark.parametrize("speed", [(0, 1), (1, -2), (-4, 5)])
def test_a_pan_is_found_from_the_middle_frame_on(speed):
    steps = [(speed[0] * t, speed[1] * t) for t in range(-2, 3)]
    motion = camera_motion(panned(steps), (HEIGHT, WIDTH)).view(5, 2, 4)
    expected = torch.tensor(steps, dtype=torch.float32)[:, :, None].expand(-1, -1, 4)
    assert (motion - expected).abs().max() < 0.5
    assert not motion[2].any()


@settings(max_examples=10, deadline=None)
@given(st.lists(st.floats(-3, 3), min_size=8, max_size=8))
def test_any_motion_of_the_corners_is_found(corners):
    truth = torch.tensor([corners])
    picture = torch.from_numpy(scene(HEIGHT, WIDTH)).permute(2, 0, 1)[None].float()
    moved = warp(picture, truth, 1)
    frames = (torch.cat((moved, picture)) * 255).round().to(torch.uint8).permute(0, 2, 3, 1)
    assert (camera_motion(frames, (HEIGHT, WIDTH))[0] - truth[0]).abs().max() < 1


@pytest.mark.parametrize("shape", [(1, 16, 16), (3, 16, 300), (2, 17, 16), (2, 600, 20), (2, 16, 5000)])
def test_it_takes_frames_of_any_size_plain_ones_and_noise(shape):
    for frames in (torch.full((*shape, 3), 77, dtype=torch.uint8), torch.randint(0, 256, (*shape, 3)).byte()):
        motion = camera_motion(frames, shape[1:])
        assert motion.shape == (shape[0], 8)
        assert motion.isfinite().all()
        assert (motion.abs().amax(dim=0) <= torch.tensor(shape[1:]).repeat_interleave(4) / 2).all()


def test_motion_is_told_for_the_padded_frame():
    """A zoom moves the corners of a larger frame further."""
    picture = torch.from_numpy(scene(HEIGHT, WIDTH)).permute(2, 0, 1)[None].float()
    zoom = torch.tensor([[0.0, 0, 3, 3, 0, 4, 0, 4]])
    frames = (torch.cat((warp(picture, zoom, 1), picture)) * 255).round().to(torch.uint8).permute(0, 2, 3, 1)
    found = camera_motion(frames, (2 * HEIGHT, 2 * WIDTH))[0]
    assert (found - 2 * zoom[0]).abs().max() < 1


def test_a_warp_without_motion_is_the_picture_and_looks_where_the_corners_say():
    picture = torch.rand(1, 2, 9, 13)
    assert torch.allclose(warp(picture, torch.zeros(3, 8), 2), picture.expand(3, -1, -1, -1), atol=1e-5)
    down, right = torch.tensor([[2.0] * 4 + [0.0] * 4]), torch.tensor([[0.0] * 4 + [-6.0] * 4])
    assert torch.allclose(warp(picture, down, 2)[..., :-1, :], picture[..., 1:, :], atol=1e-5)
    assert torch.allclose(warp(picture, right, 2)[..., 3:], picture[..., :-3], atol=1e-5)
    far = warp(picture, torch.full((1, 8), 6e4), 2)
    assert torch.allclose(far, picture[..., -1:, -1:].expand_as(far), atol=1e-5)


def test_a_sprite_learns_the_motion_with_the_embeddings():
    frames = panned([(0, t) for t in range(6)], 32, 48)
    config = choose_config(32, 48, 6, 20_000, model="sprite")
    data = FrameSet(frames, config)
    trainer = make_trainer(data, config, FitSettings(epochs=12, recipe="rd", optimizer="muon"))
    before = data.motion.clone()
    assert torch.equal(trainer.values().embeddings["temporal"], before)
    trainer.run()
    after = trainer.values().embeddings["temporal"]
    assert after.shape == (6, 8, 1, 1)
    assert (after != before).any()
    assert torch.equal(data.motion, before)
