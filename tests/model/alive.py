"""The bytes of tensors that are alive while a network runs, counted on tensors without data."""

from weakref import finalize

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from snerv_codec.model.architectures import build_decoder
from snerv_codec.model.blocks import place
from snerv_codec.model.decoder import to_pixels

VECTOR = 16


def decoding_peak(config):
    """Values that are alive at once while a frame is decoded, without the decoder's own."""
    with torch.device("meta"), torch.no_grad(), Alive() as alive:
        decoder = build_decoder(config)
        place(decoder, torch.device("meta"))
        before = alive.peak = alive.now
        embeddings = [torch.empty(1, *shape) for shape in config.embedding_shapes]
        frame = decoder(embeddings, torch.zeros(1, config.side_values)).frame
        to_pixels(frame).permute(0, 2, 3, 1).contiguous()
    return (alive.peak - before) / 4


class Alive(TorchDispatchMode):
    """Bytes `now` and at their `peak`. A convolution has copies of what it reads and writes, with whole vectors."""

    def __init__(self):
        super().__init__()
        self.now = self.peak = 0
        self.known = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        made = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(made):
            if isinstance(tensor, Tensor):
                self.follow(tensor.untyped_storage())
        copies = 0
        if func is torch.ops.aten.convolution.default:
            copies = in_vectors(args[0]) + in_vectors(made)
        self.peak = max(self.peak, self.now + copies)
        return made

    def follow(self, storage):
        if storage._cdata not in self.known:
            self.known.add(storage._cdata)
            self.now += storage.nbytes()
            finalize(storage, self.forget, storage._cdata, storage.nbytes())

    def forget(self, key, size):
        self.known.remove(key)
        self.now -= size


def in_vectors(tensor):
    """Bytes of a copy of (N, C, ...) whose channels fill whole vectors."""
    channels = tensor.shape[1]
    return tensor.nbytes // channels * -(-channels // VECTOR) * VECTOR
