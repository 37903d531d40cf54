"""The temporal extension through the whole codec: files, decoding, random access."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from networks import model_stream

from snerv_codec import Decoder, EncodeSettings, decode, encode
from snerv_codec.bitstream.container import StreamFile, write_stream
from snerv_codec.cli.main import main
from snerv_codec.encoding.planning import plan
from snerv_codec.errors import SettingsError
from snerv_codec.media.writer import write_image
from snerv_codec.training.settings import FitSettings

FIT = FitSettings.preset("paper", epochs=2, prune_epochs=1)


@pytest.fixture
def clip(tmp_path):
    """A folder of `count` frames, 41x26, of a square that moves over a gradient."""

    def make(count):
        folder = tmp_path / f"clip{count}"
        folder.mkdir()
        y, x = np.mgrid[0:26, 0:41]
        for t in range(count):
            frame = np.stack((x * 6, y * 9, (x + y) * 3), axis=-1).astype(np.uint8)
            frame[8:16, 3 + 4 * t : 11 + 4 * t] = 255 - 40 * t
            write_image(folder / f"{t}.png", frame)
        return folder

    return make


@pytest.mark.parametrize(("model", "count"), [("t", 1), ("t", 2), ("t2d", 5), ("t", 4)])
def test_a_video_comes_back_and_every_frame_from_its_own_embeddings(clip, tmp_path, model, count):
    coded = tmp_path / "a.snrv"
    report = encode(clip(count), coded, EncodeSettings(size="250k", model=model, fit=FIT, device="cpu"))
    assert report.config.model == model
    with StreamFile(coded) as file:
        segment = file.read_segment(0)
    assert segment.config == report.config
    assert [(tensor.name, tensor.bits) for tensor in segment.embeddings] == [("embeddings", 6), ("temporal", 6)]
    with Decoder(coded, device="cpu") as decoder:
        frames = decoder[:]
        assert frames.shape == (count, 26, 41, 3)
        for number in reversed(range(count)):  # any order: no state between frames
            assert np.array_equal(decoder[number], frames[number])
    decode(coded, tmp_path / "frames", device="cpu")
    assert len(list((tmp_path / "frames").iterdir())) == count


@pytest.mark.parametrize("model", ["t", "t2d"])
def test_the_temporal_embeddings_matter(tmp_path, model):
    """A frame decoded with another's temporal embedding is another frame."""
    coded, swapped = tmp_path / "a.snrv", tmp_path / "b.snrv"
    stream = model_stream(model)
    segment = stream.segments[0]
    frame, temporal = segment.embeddings
    much = np.float16(4096)  # to outweigh the rest
    large = replace(temporal, scales=much * temporal.scales, offsets=much * temporal.offsets)
    turned = replace(large, symbols=np.roll(temporal.symbols.reshape(temporal.shape), 1, axis=0).ravel())
    for path, each in ((coded, large), (swapped, turned)):
        path.write_bytes(write_stream(replace(stream, segments=(replace(segment, embeddings=(frame, each)),))))
    mine, other = (Decoder(path, device="cpu")[1].astype(int) for path in (coded, swapped))
    assert np.abs(mine - other).mean() > 1


def test_the_plan_names_the_model_and_counts_its_embeddings(clip):
    chosen = plan(clip(4), EncodeSettings(size="120k", model="t", temporal_size=(5, 7), device="cpu"))
    assert (chosen.model, chosen.temporal_shape) == ("t", (3, 5, 7))
    assert chosen.embedding_parameters == 4 * (
        16 * chosen.embedding_shape[1] * chosen.embedding_shape[2] + 2 + 2 * 3 * 5 * 7
    )
    assert chosen.total_parameters == chosen.decoder_parameters + chosen.embedding_parameters


def test_wrong_temporal_settings_say_what_would_be_right(clip):
    source = clip(2)
    with pytest.raises(SettingsError, match="7x9 .* does not fit these strides; take one of"):
        plan(source, EncodeSettings(size="120k", model="t", temporal_size=(7, 9)))
    with pytest.raises(SettingsError, match="for models t and t2d"):
        plan(source, EncodeSettings(size="120k", temporal_size=(4, 6)))
    with pytest.raises(SettingsError, match="model 'x' is not one of auto, b, t, t2d"):
        EncodeSettings(model="x")


def test_the_command_line_plans_and_names_the_model(clip, capsys):
    arguments = ["encode", str(clip(2)), "--size", "120k", "--dry-run", "--json"]
    assert main([*arguments, "--model", "t", "--temporal-size", "15x21"]) == 0
    chosen = json.loads(capsys.readouterr().out)
    assert (chosen["model"], chosen["temporal_shape"]) == ("t", [3, 15, 21])
    assert main([*arguments, "--model", "t", "--temporal-size", "15"]) == 2
    assert main([*arguments, "--model", "q"]) == 2
    capsys.readouterr()
    assert main(["info", str(Path(__file__).parent / "golden" / "t2d.snrv")]) == 0
    assert "model t2d, C0 12, N_RB 1, strides 2,2,2,1,1, embedding 4x1x2 + 3x2x4 + 3x2x4" in capsys.readouterr().out
