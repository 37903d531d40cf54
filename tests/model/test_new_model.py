"""What adding a model takes: its networks, and a row in each of two tables."""

import json
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from clips import write_clip
from conftest import QUICK
from torch import nn

from snerv_codec import Decoder, encode
from snerv_codec.bitstream.container import StreamFile, StreamWriter
from snerv_codec.bitstream.errors import UnsupportedVersion
from snerv_codec.bitstream.models import LAYOUTS, Layout, UnknownModel
from snerv_codec.bitstream.types import VideoInfo
from snerv_codec.cli.main import main
from snerv_codec.model.architectures import ARCHITECTURES, Architecture, Proportions
from snerv_codec.model.decoder import Prediction
from snerv_codec.model.encoder import DownPath
from snerv_codec.model.wavelet import idwt


class ToyEncoder(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.path = DownPath(config.strides, config.embedding_shape[0])

    def forward(self, lows):
        return (self.path(lows[0]),)


class ToyDecoder(nn.Module):
    """Convolutions at three scales, of any width, and one head for all subbands."""

    def __init__(self, config):
        super().__init__()
        self.strides = config.strides
        ins = (config.embedding_shape[0], *config.widths[1:])
        self.convs = nn.ModuleList(
            nn.Conv2d(ins[i], ins[i + 1], kernel, padding=kernel // 2) for i, kernel in enumerate(config.kernels)
        )
        self.head = nn.Conv2d(ins[-1], 12, 1)

    def forward(self, embeddings, side):
        x = embeddings[0]
        for conv, stride in zip(self.convs, self.strides, strict=True):
            x = F.gelu(conv(F.interpolate(x, scale_factor=stride)))
        low, high = self.head(x).tensor_split((3,), dim=1)
        frame = idwt(2 * torch.sigmoid(low), *high.chunk(3, dim=1))
        return Prediction(frame, torch.sigmoid(low), high)


@pytest.fixture
def toy(monkeypatch):
    """A model "toy" with four stages, an embedding of 4 channels at about 32 positions, and no side values."""
    layout = Layout(number=99, scale=2, temporal=False, frame_values=0, least_stages=4)
    monkeypatch.setitem(LAYOUTS, "toy", layout)
    proportions = Proportions(
        stages=4,
        positions=lambda height, width, values: 32,
        channels=lambda values: 4,
        widths=lambda channels, stages: (channels,) * (stages + 1),
        kernels=lambda stages: (3,) * stages,
    )
    row = Architecture(
        encoder=ToyEncoder, decoder=ToyDecoder, features=lambda config: 10**6, warmup=0.3, proportions=proportions
    )
    monkeypatch.setitem(ARCHITECTURES, "toy", row)
    return monkeypatch


@pytest.fixture
def files(toy, tmp_path):
    """Six frames by model "toy", the same by model "b", and one file of both, the toy's segment first."""
    clip = write_clip(tmp_path / "clip.mkv", width=34, height=18, frames=6)
    paths = [tmp_path / f"{name}.snrv" for name in ("toy", "b", "both")]
    for path in paths[:2]:
        encode(clip, path, replace(QUICK, size="40k", model=path.stem))
    video = VideoInfo(34, 18, Fraction(1, 25), tuple(range(12)), 1, Fraction(25))
    with paths[2].open("wb") as target, StreamFile(paths[0]) as first, StreamFile(paths[1]) as second:
        writer = StreamWriter(target.write, video)
        writer.add(first.coded_segment(0))
        writer.add(second.coded_segment(0))
        writer.finish()
    return paths


def test_a_row_is_all_that_the_codec_needs_of_a_model(files):
    with Decoder(files[0], device="cpu") as decoder, StreamFile(files[0]) as file:
        assert decoder[:].shape == (6, 18, 34, 3)
        segment = file.read_segment(0)
        assert segment.config.model == "toy"
        assert (len(segment.config.strides), len(set(segment.config.widths))) == (4, 1)
        assert set(segment.config.kernels) == {3}
        assert segment.config.embedding_shape[0] == 4
        assert segment.side.shape == (6, 0)
        values = file.header.segments[0].value_count
    assert 36_000 < values < 44_000  # as many as asked for


def test_who_lacks_the_row_decodes_what_else_is_in_the_file(files, toy, tmp_path, capsys):
    with Decoder(files[2], device="cpu") as decoder, Decoder(files[1], device="cpu") as alone:
        frames, others = decoder[:], alone[:]
    assert len(frames) == 12
    toy.delitem(LAYOUTS, "toy")
    toy.delitem(ARCHITECTURES, "toy")
    with Decoder(files[2], device="cpu") as decoder:
        assert np.array_equal(decoder[6:], frames[6:])
        assert np.array_equal(decoder[6:], others)
        with pytest.raises(UnsupportedVersion, match=r"both\.snrv: .*model 99"):
            decoder[5]
    with StreamFile(files[2]) as file:
        assert isinstance(file.header.segments[0].config, UnknownModel)
    main(["info", str(files[2])])
    assert "unknown model 99" in capsys.readouterr().out
    main(["info", "--json", str(files[2])])
    assert [each["model"] for each in json.loads(capsys.readouterr().out)["segments"]] == [None, "b"]
    assert main(["decode", str(files[2]), "--frames", "6:", "-o", str(tmp_path / "rest.mkv")]) == 0
    assert (tmp_path / "rest.mkv").exists()
    assert main(["decode", str(files[2]), "-o", str(tmp_path / "all.mkv")]) != 0
    assert "model 99" in capsys.readouterr().err
    assert not (tmp_path / "all.mkv").exists()
