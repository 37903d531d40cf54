"""SPEC.md is enough to write a decoder from: `spec_decoder` is one, and agrees with the network."""

import numpy as np
import pytest
import spec_decoder
import torch

from bitstream.types import DecoderConfig
from snerv_codec.model.decoder import Decoder

CONFIGS = [
    DecoderConfig((16, 2, 3), (3, 2, 2, 1, 2), 15, 1),
    DecoderConfig((5, 1, 2), (3, 2, 1, 2, 2), 15, 2, "t", (3, 1, 2)),  # K = 6
    DecoderConfig((4, 2, 2), (2, 2, 2, 1, 3), 14, 0, "t", (2, 8, 8)),  # K = 1
    DecoderConfig((5, 1, 2), (4, 1, 1, 2, 2), 15, 1, "t2d", (3, 2, 4)),
]


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: f"{config.model}-{config.temporal_scale}")
def test_the_network_is_the_one_of_the_specification(config):
    torch.manual_seed(0)
    decoder = Decoder(config).double()
    embeddings = [torch.randn(2, *shape, dtype=torch.float64) for shape in config.embedding_shapes]
    ll_range = torch.tensor([[0.25, 1.5], [0.0, 2.0]], dtype=torch.float64)
    with torch.no_grad():
        frames = decoder(embeddings, ll_range).frame.permute(0, 2, 3, 1).numpy()
    tensors = {name: parameter.detach().numpy() for name, parameter in decoder.named_parameters()}
    for i, frame in enumerate(frames):
        own = [values[i].numpy() for values in embeddings]
        expected = spec_decoder.decode(config, tensors, own, ll_range[i].numpy())
        assert expected.shape == (*config.padded_size, 3)
        np.testing.assert_allclose(frame, expected, atol=1e-10)
