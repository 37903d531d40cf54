"""The yardstick of speed: model B and a training step written down as the paper describes them, and no more.

32-bit floats, one frame a step, one operation after the other, the common SSIM library, PyTorch's ordinary Adam, and
a wait for the loss after every step. The names of the layers are those of `snerv_codec.model`, so weights pass over;
the branches of the high bands alone are apart here.
"""

import torch
import torch.nn.functional as F
from pytorch_msssim import ssim
from torch import Tensor, nn

from snerv_codec.bitstream.models import DecoderConfig
from snerv_codec.model.wavelet import dwt, idwt

ENCODER_WIDTH = 64
ALPHA, CLIP, RATE = 0.7, 1.0, 1e-3


class PlainEncoder(nn.Module):
    """ConvNeXt stages, stride by stride (supplement A)."""

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()
        widths = (3, *(ENCODER_WIDTH,) * (len(config.strides) - 1), config.embedding_shape[0])
        self.down, self.norm, self.deep, self.inner, self.expand, self.project = (nn.ModuleList() for _ in range(6))
        self.scale = nn.ParameterList()
        for i, stride in enumerate(config.strides):
            narrow, wide = widths[i], widths[i + 1]
            self.down.append(nn.Conv2d(narrow, wide, stride, stride))
            self.norm.append(nn.LayerNorm(wide if i == 0 else narrow, eps=1e-6))
            self.deep.append(nn.Conv2d(wide, wide, 7, padding=3, groups=wide))
            self.inner.append(nn.LayerNorm(wide, eps=1e-6))
            self.expand.append(nn.Linear(wide, 4 * wide))
            self.project.append(nn.Linear(4 * wide, wide))
            self.scale.append(nn.Parameter(torch.full((wide,), 1e-6)))

    def forward(self, x: Tensor) -> Tensor:
        for i, down in enumerate(self.down):
            x = self._normed(down(x), i) if i == 0 else down(self._normed(x, i))
            y = self.inner[i](self.deep[i](x).permute(0, 2, 3, 1))
            y = self.project[i](F.gelu(self.expand[i](y))) * self.scale[i]
            x = x + y.permute(0, 3, 1, 2)
        return x

    def _normed(self, x: Tensor, i: int) -> Tensor:
        y: Tensor = self.norm[i](x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        return y


class PlainDecoder(nn.Module):
    """Stem, five NeRV blocks, two fusions, the head of the low band and three of the high ones (section 3.2)."""

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()
        self.strides, self.blocks, widths = config.strides, config.blocks, config.widths
        self.stem = nn.Conv2d(config.embedding_shape[0], widths[0], 1)
        self.up = nn.ModuleList(
            nn.Conv2d(widths[i], widths[i + 1] * s * s, config.kernels[i], padding=config.kernels[i] // 2)
            for i, s in enumerate(self.strides)
        )
        self.lift, self.merge, self.residuals = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        for coarse, fine, stride in ((widths[3], widths[4], self.strides[3]), (widths[4], widths[5], self.strides[4])):
            self.lift.append(nn.ConvTranspose2d(coarse, coarse, stride, stride))
            self.merge.append(nn.Conv2d(coarse + fine, fine, 3, padding=1))
            self.residuals.extend(nn.Conv2d(fine, fine, 3, padding=1) for _ in range(2 * self.blocks))
        self.low = nn.Conv2d(widths[5], 3, 3, padding=1)
        self.split = nn.ModuleList(nn.Conv2d(widths[5], widths[5], 1) for _ in range(3))
        self.restore = nn.ModuleList(nn.Conv2d(widths[5], 3, 3, padding=1) for _ in range(3))

    def forward(self, embedding: Tensor, least: Tensor, greatest: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The frame, LL scaled to [0, 1], and LH, HL and HH on the channel axis."""
        x, features = F.gelu(self.stem(embedding)), []
        for conv, stride in zip(self.up, self.strides, strict=True):
            x = F.gelu(F.pixel_shuffle(conv(x), stride))
            features.append(x)
        m = features[2]
        for i in range(2):
            m = self.merge[i](torch.cat((self.lift[i](m), features[3 + i]), dim=1))
            for n in range(self.blocks):
                first, second = self.residuals[2 * (i * self.blocks + n) :][:2]
                m = m + second(F.leaky_relu(first(m), 0.1))
        low = (torch.tanh(self.low(m)) + 1) / 2
        bands = [restore(F.leaky_relu(split(m), 0.1)) for split, restore in zip(self.split, self.restore, strict=True)]
        return idwt(least + low * (greatest - least), *bands), low, torch.cat(bands, dim=1)


class PlainTrainer:
    """Fits to `frames`, uint8 (T, H, W, 3), of the decoder's own size."""

    def __init__(self, frames: Tensor, config: DecoderConfig, device: torch.device) -> None:
        self.device = device
        self.frames = frames.permute(0, 3, 1, 2).float().cpu() / 255
        self.encoder, self.decoder = PlainEncoder(config).to(device), PlainDecoder(config).to(device)
        self.parameters = [*self.encoder.parameters(), *self.decoder.parameters()]
        self.optimizer = torch.optim.Adam(self.parameters, lr=RATE)

    def step(self, number: int) -> float:
        """One frame; the loss."""
        frame = self.frames[number : number + 1].to(self.device)
        ll, *details = dwt(frame)
        high, least, greatest = torch.cat(details, dim=1), ll.min(), ll.max()
        low = (ll - least) / (greatest - least)
        shown = self.decoder(self.encoder(low), least, greatest)
        loss = torch.stack([_loss(*pair) for pair in zip(shown, (frame, low, high), strict=True)]).sum()
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.parameters, CLIP)
        self.optimizer.step()
        return loss.item()


def _loss(image: Tensor, target: Tensor) -> Tensor:
    similarity: Tensor = ssim(image, target, data_range=1.0)
    return ALPHA * F.l1_loss(image, target) + (1 - ALPHA) * (1 - similarity)
