"""Masks: read, kept out of the fit, and filled in by the decoder."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from clips import moving_picture
from conftest import QUICK

from snerv_codec import Decoder, encode
from snerv_codec.cli.main import main
from snerv_codec.errors import InputError, SettingsError
from snerv_codec.evaluation.metrics import psnr
from snerv_codec.events import EpochDone
from snerv_codec.media.mask import read_mask
from snerv_codec.media.reader import read_video
from snerv_codec.media.source import Selection
from snerv_codec.media.writer import open_writer, write_image
from snerv_codec.model.architectures import paper_config
from snerv_codec.settings import EncodeSettings
from snerv_codec.training.frames import FrameSet
from snerv_codec.training.settings import FitSettings
from snerv_codec.training.trainer import make_trainer

HOLE = (slice(5, 11), slice(20, 30))


def picture(*holes, height=18, width=34):
    mask = np.zeros((height, width, 3), np.uint8)
    for hole in holes:
        mask[hole] = 255
    return mask


@pytest.fixture
def mask(tmp_path):
    write_image(tmp_path / "mask.png", picture(HOLE))
    return tmp_path / "mask.png"


def test_a_picture_serves_all_frames_and_is_cropped_like_the_video(clip, mask):
    info = read_video(clip).info
    known = read_mask(mask, info, Selection())
    assert known.shape == (1, 18, 34)
    assert not known[0][HOLE].any()
    assert known.sum() == 18 * 34 - 60
    selection = Selection(crop=(16, 30), frames=(2, 5))
    cropped = read_mask(mask, read_video(clip, selection).info, selection)
    assert np.array_equal(cropped, known[:, 1:17, 2:32])


@pytest.mark.parametrize("kind", ["folder", "video.mkv"])
def test_a_folder_or_a_video_has_a_mask_for_each_frame(clip, tmp_path, kind):
    info = read_video(clip).info
    masks = [picture((slice(t, t + 4), slice(2 * t, 2 * t + 8))) for t in range(6)]
    with open_writer(tmp_path / kind, info) as writer:
        for one in masks:
            writer.write(one)
    known = read_mask(tmp_path / kind, info, Selection())
    assert np.array_equal(known, [one[..., 0] == 0 for one in masks])
    part = Selection(frames=(2, 4))
    assert np.array_equal(read_mask(tmp_path / kind, read_video(clip, part).info, part), known[2:4])


def test_masks_that_do_not_fit_are_refused(clip, tmp_path, mask):
    info = read_video(clip).info
    write_image(tmp_path / "small.png", picture(height=17))
    with pytest.raises(SettingsError, match="mask of 34x17 does not fit a video of 34x18"):
        read_mask(tmp_path / "small.png", info, Selection())
    write_image(tmp_path / "white.png", picture((slice(None), slice(None))))
    with pytest.raises(SettingsError, match="mask 0 hides the whole frame"):
        read_mask(tmp_path / "white.png", info, Selection())
    (tmp_path / "two").mkdir()
    for name in ("a.png", "b.png"):
        write_image(tmp_path / "two" / name, picture(HOLE))
    with pytest.raises(SettingsError, match="2 masks for 6 frames"):
        read_mask(tmp_path / "two", info, Selection())
    with pytest.raises(InputError, match="no such file"):
        read_mask(tmp_path / "none.png", info, Selection())
    with pytest.raises(SettingsError, match="choose one of `holdout` and `mask`"):
        EncodeSettings(holdout="even", mask=mask)


CONFIG = paper_config((16, 2, 3), (2, 2, 2, 1, 1), 12, 1)  # 32x48
TEMPORAL = paper_config((16, 2, 3), (2, 2, 2, 1, 1), 12, 1, "t", (3, 4, 6))


@pytest.mark.parametrize("config", [CONFIG, TEMPORAL])
def test_what_is_hidden_has_no_part_in_the_fit(config):
    """The same weights come out whatever lies under the mask."""
    frames = torch.from_numpy(moving_picture(3, 31, 47))
    known = torch.ones(3, 31, 47, dtype=torch.bool)
    known[:, 9:20, 13:30] = False
    known[1] = known[1].flip(0)
    noise = torch.randint(0, 256, frames.shape, dtype=torch.uint8)
    fits = []
    for source in (frames, torch.where(known[..., None], frames, noise)):
        settings = FitSettings.preset("paper", epochs=2, prune=0)
        trainer = make_trainer(FrameSet(source, config, known=known), config, settings)
        trainer.run()
        fits.append(trainer)
    for mine, theirs in zip(fits[0].networks.parameters(), fits[1].networks.parameters(), strict=True):
        assert torch.equal(mine, theirs)
    assert fits[0].results == fits[1].results


def test_a_prediction_is_judged_where_the_target_is_known():
    frames = torch.from_numpy(moving_picture(1, 31, 47))
    known = torch.ones(1, 31, 47, dtype=torch.bool)
    known[0, 9:20, 13:30] = False
    batch = FrameSet(frames, CONFIG, known=known).batch(torch.tensor([0]))
    wrong = type(batch.target)(*(value + 1 for value in batch.target))
    judged = batch.judged(wrong)
    assert torch.equal(judged.frame == wrong.frame, known[:, None].expand(1, 3, 31, 47))
    band = torch.ones(16, 24, dtype=torch.bool)
    band[4:10, 6:15] = False  # every 2x2 block with a pixel in the hole
    for name in ("low", "high"):
        assert torch.equal((getattr(judged, name) == getattr(wrong, name))[0, 0], band)
    hidden = batch.target.frame[0, :, 9:20, 13:30]
    around = batch.target.frame[0, :, 8:21, 12:31]
    assert (hidden - around.mean(dim=(1, 2), keepdim=True)).abs().max() < 0.5  # filled in from there
    assert batch.inputs[0].min() >= 0


def test_the_decoder_fills_the_hole(tmp_path, mask):
    """A fit that never saw what is hidden shows something like it, far better than the mark in the source."""
    frames = moving_picture(3, 18, 34)
    frames[:, HOLE[0], HOLE[1]] = (0, 255, 0)
    frames[:, HOLE[0], HOLE[1]][:, ::2] = 255
    source, truth = tmp_path / "in", moving_picture(3, 18, 34)
    source.mkdir()
    for number, frame in enumerate(frames):
        write_image(source / f"{number}.png", frame)
    fit = FitSettings.preset("paper", epochs=20, prune_epochs=0, optimizer="muon")
    report = encode(source, tmp_path / "a.snrv", replace(QUICK, mask=mask, fit=fit))
    assert report.known == pytest.approx(1 - 60 / (18 * 34))
    with Decoder(tmp_path / "a.snrv", device="cpu") as decoder:
        decoded = decoder[:]
    outside = np.ones((18, 34), bool)
    outside[HOLE] = False
    known = np.mean([psnr(a[outside], b[outside]) for a, b in zip(truth, decoded, strict=True)])
    assert report.quality.psnr == pytest.approx(known)
    assert report.quality.ms_ssim is None
    inside = [psnr(a[HOLE], b[HOLE]) for a, b in zip(truth, decoded, strict=True)]
    mark = [psnr(a[HOLE], b[HOLE]) for a, b in zip(truth, frames, strict=True)]
    assert np.mean(inside) > np.mean(mark) + 6


def test_an_interrupted_run_is_not_resumed_with_another_mask(clip, tmp_path, mask):
    def interrupt(event):
        if isinstance(event, EpochDone):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        encode(clip, tmp_path / "a.snrv", replace(QUICK, mask=mask), on_event=interrupt)
    with pytest.raises(SettingsError, match="differs in known"):
        encode(clip, tmp_path / "a.snrv", QUICK, resume=True)


def test_the_command_line_takes_a_mask_and_says_what_was_measured(clip, tmp_path, mask, capsys):
    arguments = ["encode", str(clip), "-o", str(tmp_path / "a.snrv"), "--size", "40k", "--epochs", "2"]
    assert main([*arguments, "--mask", str(mask), "--device", "cpu"]) == 0
    assert "over the 90.2% of pixels that are known" in capsys.readouterr().out
    assert main([*arguments, "--mask", str(tmp_path / "none.png"), "--overwrite"]) == 1
    assert "none.png: no such file" in capsys.readouterr().err
