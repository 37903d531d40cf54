"""Segments whose networks were never fitted, for golden files: their values depend on the configuration alone."""

from fractions import Fraction

import numpy as np
import torch

from snerv_codec.bitstream.models import DecoderConfig
from snerv_codec.bitstream.types import QuantizedTensor, Segment, Stream, VideoInfo
from snerv_codec.model.architectures import build_decoder, paper_config


def small_video(frames):
    """30x16 pixels."""
    return VideoInfo(30, 16, Fraction(1, 25), tuple(range(frames)), 1, Fraction(25))


# By model, and of a scene for each frame.
CONFIGS = {
    **{model: paper_config((4, 1, 2), (2, 2, 2, 1, 1), 12, 1, model, (3, 2, 4)) for model in ("t", "t2d")},
    "pixel": DecoderConfig((4, 2, 3), (3, 2, 2), (9, 8, 7, 6), (1, 3, 5), 0, "pixel"),
    "canvas": DecoderConfig((4, 2, 3), (3, 2, 2), (9, 8, 7, 6), (1, 3, 5), 0, "canvas", None, (2, 3, 0)),
    "sprite": DecoderConfig((4, 2, 3), (3, 2, 2), (9, 8, 6, 7), (1, 3, 5), 0, "sprite", None, (2, 2, 3)),
    "scenes": DecoderConfig((4, 2, 3), (3, 2, 2), (9, 8, 6, 7), (1, 3, 5), 0, "sprite", None, (2, 2, 2), (1,)),
}


def model_stream(name):
    """Two frames by one of `CONFIGS`."""
    config = CONFIGS[name]
    return Stream(small_video(2), (arbitrary_segment(config),))


def arbitrary_segment(config, first_frame=0):
    """Two frames by a decoder of `config`; weights depend on the order of their names."""
    with torch.device("meta"):
        shapes = {name: tuple(p.shape) for name, p in build_decoder(config).named_parameters()}
    rng = np.random.RandomState(1)  # the legacy generator: its numbers never change

    def tensor(name, shape, spread):
        symbols = rng.binomial(7, 0.5, int(np.prod(shape))).astype(np.uint16)
        scale = np.array([spread], np.float16)
        return QuantizedTensor(name, shape, 3, symbols, scale, np.float16(-3.5) * scale)

    embeddings = [tensor(f"e{i}", (2, *shape), 0.7) for i, shape in enumerate(config.embedding_shapes)]
    # Without side values frames differ by their embeddings alone, which smaller weights would smother.
    gain = 0.3 if config.layout.frame_values else 0.9
    weights = [tensor(name, shape, gain * np.prod(shape[1:]) ** -0.5) for name, shape in shapes.items()]
    ranges = np.array([[0, 2], [0.5, 1.25]], np.float16)[:, : config.layout.frame_values]
    return Segment(first_frame, config, tuple(weights), tuple(embeddings), ranges)
