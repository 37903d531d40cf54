"""The networks of a fit: frames to embeddings and back, by the values that a file would hold of them."""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.func import functional_call

from snerv_codec.bitstream.models import DecoderConfig
from snerv_codec.compression.values import Values, values_of
from snerv_codec.model.blocks import place
from snerv_codec.model.decoder import Prediction, to_pixels
from snerv_codec.model.variants import FORMAT, Variant, build_networks
from snerv_codec.runtime.precision import computing
from snerv_codec.training.frames import Batch, FrameSet
from snerv_codec.training.quantizers import Quantizer

EMBED_CHUNK = 8
LEAST_SPREAD = 1e-6


class OwnEmbeddings(nn.Module):
    """The embeddings of all fitted frames, (T, *shape), as parameters that no encoder makes.

    They are in units of their spread at the start, so that a learning rate means the same whatever their scale.
    """

    spread: Tensor

    def __init__(self, embeddings: Tensor) -> None:
        super().__init__()
        self.register_buffer("spread", embeddings.std(correction=0).clamp_min(LEAST_SPREAD))
        # Of one layout, whether made or loaded: the last bits of sums follow it, and a resumed fit has to have them.
        self.units = nn.Parameter((embeddings / self.spread).contiguous())

    def forward(self, rows: Tensor | slice) -> Tensor:
        """Those of the frames at `rows`, (N,) or a slice: (N, *shape)."""
        return self.units[rows] * self.spread


class Networks(nn.Module):
    """Encoder and decoder of `config`, with weights drawn by `seed`; the caller's random numbers are left alone.

    Embeddings are the encoder's until `free_embeddings`; from there on they are parameters of their `own`, a module for
    each of the configuration's embedding shapes. With a `quantizer` the decoder computes by quantised values. Where one
    of `masks`, by the name of a parameter of the decoder, is false, that parameter is held at zero.
    """

    def __init__(
        self, config: DecoderConfig, device: torch.device, *, variant: Variant = FORMAT, seed: int = 0
    ) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            self.encoder, self.decoder = build_networks(config, variant)
        place(self, device)
        self.shapes, self.own = config.embedding_shapes, nn.ModuleList()
        self.quantizer: Quantizer | None = None
        self.masks: dict[str, Tensor] = {}

    @property
    def learners(self) -> nn.ModuleList:
        """All that learns but the quantiser: the decoder, and the encoder or the embeddings."""
        return nn.ModuleList((self.own if self.own else self.encoder, self.decoder))

    def weights(self) -> dict[str, Tensor]:
        """What another fit of the same configuration can start from, by `load_state_dict`: encoder and decoder."""
        parts = nn.ModuleDict({"encoder": self.encoder, "decoder": self.decoder})
        return dict(parts.state_dict())

    def free_embeddings(self, embeddings: Sequence[Tensor]) -> None:
        """From now on the embeddings of the fitted frames, (T, *shape) each, are parameters, and the encoder rests."""
        self.own = nn.ModuleList(OwnEmbeddings(each.detach()) for each in embeddings)

    def batch(self, frames: FrameSet, indices: Tensor) -> Batch:
        """Some of `frames`, with what `embed` needs of them."""
        return frames.batch(indices, encoded=not self.own)

    def embed(self, batch: Batch) -> tuple[Tensor, ...]:
        """Embeddings of some frames: (N, *shape) for each of the configuration's embedding shapes."""
        if self.own:
            return tuple(each(batch.rows) for each in self.own)
        return tuple(values.float() for values in self.encoder(batch.inputs))

    def values(self, embeddings: tuple[Tensor, ...]) -> Values[Tensor]:
        """The decoder's parameters, not copied, and these embeddings: not quantised yet."""
        return values_of(self.decoder, embeddings)

    def render(self, values: Values[Tensor], side: Tensor) -> Prediction:
        """The frames of some embeddings, by the values that a file would hold where those are known."""
        if self.quantizer is None:
            prediction: Prediction = self.decoder(tuple(values.embeddings.values()), side)
            return prediction
        values = self.quantizer(values)
        embeddings = tuple(values.embeddings.values())
        prediction = functional_call(self.decoder, dict(values.weights), (embeddings, side))
        return prediction

    @torch.no_grad()
    def values_of(self, frames: FrameSet) -> Values[Tensor]:
        """All that a file would hold of these networks and the fitted frames."""
        if self.own:
            return self.values(tuple(each(slice(None)) for each in self.own))
        with computing("float32", frames.device):
            parts = [self.embed(self.batch(frames, indices)) for indices in torch.split(frames.fitted, EMBED_CHUNK)]
        return self.values(tuple(torch.cat(part) for part in zip(*parts, strict=True)))

    @torch.no_grad()
    def steps(self, values: Values[Tensor]) -> Values[Tensor] | None:
        """The steps of the grids that the networks have learned with, for `values`; None where there are none."""
        return None if self.quantizer is None else self.quantizer.steps(values)

    @torch.no_grad()
    def predict(self, batch: Batch, frames: FrameSet) -> Prediction:
        """What a file would give for some of `frames`, so in 32 bits."""
        with computing("float32", frames.device):
            return frames.crop(self.render(self.values(self.embed(batch)), batch.side))

    def psnr(self, frames: FrameSet, batch: int = 1) -> float:
        """Mean PSNR (dB) of the fitted frames, rounded to 8 bits, `batch` of them at a time."""
        total = torch.zeros((), device=frames.device)
        for indices in torch.split(frames.fitted, batch):
            shown = self.batch(frames, indices)
            frame = to_pixels(self.predict(shown, frames).frame).float() / 255
            total += psnr(frame, shown).sum()
        return total.item() / len(frames.fitted)

    def pictures(self, frames: FrameSet, numbers: Iterable[int]) -> Iterator[npt.NDArray[np.uint8]]:
        """Frames by their numbers, through encoder and decoder: uint8 (H, W, 3).

        Raises `ValueError` for a frame that was not fitted where embeddings are not the encoder's.
        """
        for number in numbers:
            if self.own and number not in frames.fitted:
                raise ValueError(f"frame {number} was not fitted, so it has no embedding")
            batch = self.batch(frames, torch.tensor([number], device=frames.frames.device))
            yield to_pixels(self.predict(batch, frames).frame)[0].permute(1, 2, 0).cpu().numpy()

    def hold_zeros(self, masks: dict[str, Tensor]) -> None:
        """Set the decoder's parameters to zero where their mask is false, and keep them there."""
        self.masks = masks
        self.apply_masks()

    @torch.no_grad()
    def apply_masks(self) -> None:
        """Set to zero again what an update has moved."""
        for name, parameter in self.decoder.named_parameters():
            if name in self.masks:
                parameter.mul_(self.masks[name])


def psnr(image: Tensor, batch: Batch) -> Tensor:
    """PSNR (dB) of each image of a batch, (N,), over what is known; at most 100, as in `evaluation.metrics`."""
    error = (image - batch.target.frame).square()
    if batch.known is None:
        error = error.mean(dim=(1, 2, 3))
    else:
        known = batch.known.frame.expand_as(error)
        error = (error * known).sum(dim=(1, 2, 3)) / known.sum(dim=(1, 2, 3))
    return -10 * error.clamp_min(1e-10).log10()
