"""All that a file holds, by name: what belongs to it, and in which order."""

import torch
from torch import nn

from snerv_codec.compression.values import values_of


def test_values_are_those_of_the_decoder_and_then_the_embeddings():
    decoder, embeddings = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1)), [torch.zeros(5, 16), torch.ones(5, 6)]
    values = values_of(decoder, embeddings)
    assert [name for name, _ in values] == ["0.weight", "0.bias", "1.weight", "1.bias", "embeddings", "temporal"]
    assert values["0.bias"] is decoder[0].bias
    assert values["temporal"] is embeddings[1]
    shapes = values.map(lambda name, each: (name, tuple(each.shape)))
    assert shapes.weights["1.weight"] == ("1.weight", (1, 3))
    assert shapes.embeddings == {"embeddings": ("embeddings", (5, 16)), "temporal": ("temporal", (5, 6))}
