"""SPEC.md is enough to write a decoder from: `independent` is one, and agrees with the network."""

import numpy as np
import pytest
import torch
from independent import network

from snerv_codec.bitstream.models import DecoderConfig
from snerv_codec.model.architectures import build_decoder, paper_config
from snerv_codec.model.canvas import scene_numbers

CONFIGS = [
    paper_config((16, 2, 3), (3, 2, 2, 1, 2), 15, 1),
    DecoderConfig((4, 3, 3), (2, 1, 3), (9, 14, 7, 10), (3, 1, 5), 1),
    DecoderConfig((3, 2, 2), (2, 1, 2, 1, 1, 2), (5, 6, 4, 8, 3, 7, 2), (1, 1, 3, 5, 3, 7), 0),
    paper_config((5, 1, 2), (3, 2, 1, 2, 2), 15, 2, "t", (3, 1, 2)),  # K = 6
    paper_config((4, 2, 2), (2, 2, 2, 1, 3), 14, 0, "t", (2, 8, 8)),  # K = 1
    paper_config((5, 1, 2), (4, 1, 1, 2, 2), 15, 1, "t2d", (3, 2, 4)),
    DecoderConfig((4, 3, 2), (3, 1, 2), (9, 14, 7, 10), (3, 1, 5), 0, "pixel"),
    DecoderConfig((2, 1, 3), (5,), (4, 6), (3,), 0, "pixel"),
    DecoderConfig((4, 3, 2), (3, 1, 2), (9, 14, 7, 10), (3, 1, 5), 0, "canvas", None, (2, 3, 0)),
    DecoderConfig((2, 1, 3), (5,), (4, 6), (3,), 0, "canvas", None, (1, 1, 0)),
    DecoderConfig((2, 3, 3), (1, 3), (4, 6, 5), (3, 1), 0, "sprite", None, (2, 2, 4)),
    DecoderConfig((4, 3, 2), (3, 1, 2), (9, 14, 7, 10), (3, 1, 5), 0, "sprite", None, (2, 3, 0)),
    DecoderConfig((2, 1, 3), (1, 5), (4, 6, 5), (3, 3), 0, "sprite", None, (1, 2, 0)),
    DecoderConfig((2, 3, 3), (1, 3), (4, 6, 5), (3, 1), 0, "sprite", None, (2, 1, 2), (1,)),
    DecoderConfig((2, 3, 3), (3, 1), (4, 6, 5), (3, 1), 0, "sprite", None, (1, 2, 1), (1, 2, 5)),
]


@pytest.mark.parametrize(
    "config", CONFIGS, ids=lambda config: f"{config.model}-{len(config.strides)}-{config.temporal_scale}"
)
def test_the_network_is_the_one_of_the_specification(config):
    torch.manual_seed(0)
    decoder = build_decoder(config).double()
    for parameter in decoder.parameters():  # those, too, that are zero before they are fitted
        torch.nn.init.normal_(parameter, std=0.2)
    embeddings = [torch.randn(2, *shape, dtype=torch.float64) for shape in config.embedding_shapes]
    side = torch.tensor([[0.25, 1.5], [0.0, 2.0]], dtype=torch.float64)
    if config.scenes:
        side = scene_numbers(config, 2).double()
    with torch.no_grad():
        frames = decoder(embeddings, side).frame.permute(0, 2, 3, 1).numpy()
    tensors = {name: parameter.detach().numpy() for name, parameter in decoder.named_parameters()}
    for i, frame in enumerate(frames):
        own = [values[i].numpy() for values in embeddings]
        expected = network.decode(config, tensors, own, side[i].numpy(), i)
        assert expected.shape == (*config.padded_size, 3)
        np.testing.assert_allclose(frame, expected, atol=1e-10)
