"""What tasks and trials share: models of equal size, fitted alike, clips coded and pictures measured alike."""

import argparse
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from time import process_time
from typing import Any, NamedTuple, get_args

import torch

from benchmarks import datasets
from benchmarks.datasets import Dataset
from snerv_codec import Decoder, encode
from snerv_codec.bitstream.container import read_header
from snerv_codec.bitstream.models import DecoderConfig, Model
from snerv_codec.errors import UserError
from snerv_codec.evaluation.metrics import mean_quality, psnr
from snerv_codec.events import EpochDone, Event
from snerv_codec.media.picture import Pixels
from snerv_codec.media.reader import read_video
from snerv_codec.media.source import Selection
from snerv_codec.model.sizing import choose_config, model_cost, parse_size
from snerv_codec.model.variants import FORMAT, HNERV, Variant
from snerv_codec.runtime.machine import choose_device
from snerv_codec.training.frames import FrameSet
from snerv_codec.training.loop import Trainer
from snerv_codec.training.settings import FitSettings, OptimizerName
from snerv_codec.training.trainer import make_trainer


class Coded(NamedTuple):
    """What became of a clip: the file's bytes, frames of each segment, PSNR (dB) of each frame, time of the encode."""

    bytes: int
    segments: list[int]
    psnr: list[float]
    cpu_seconds: float


def coded(frames: Pixels, *, device: str, **choices: Any) -> Coded:
    """Encode frames, 25 a second, by recipe rd and other settings by their names, and decode the file.

    The model is "b" where no other is among these: records have it so.
    """
    with TemporaryDirectory() as folder:
        path, began = Path(folder) / "coded.snrv", process_time()
        encode(frames, path, rate=25, recipe="rd", device=device, **{"model": "b", **choices})
        taken, segments = process_time() - began, [each.frame_count for each in read_header(path).segments]
        with Decoder(path, device=device) as decoder:
            values = [psnr(*pair) for pair in zip(frames, decoder, strict=True)]
        return Coded(path.stat().st_size, segments, values, taken)


@dataclass(frozen=True, slots=True)
class Subject:
    """A model under test; `in_files` says whether a `.snrv` file can hold it."""

    model: Model = "b"
    variant: Variant = FORMAT

    @property
    def in_files(self) -> bool:
        return self.variant == FORMAT

    def config(self, frames: Pixels, fitted: int, size: str) -> DecoderConfig:
        """The decoder for these frames, of which `fitted` have embeddings, with about `size` parameters in all."""
        height, width = frames.shape[1:3]
        return choose_config(height, width, fitted, parse_size(size), model=self.model, variant=self.variant)

    def describe(self, config: DecoderConfig, fitted: int) -> dict[str, Any]:
        """What a record says of the model."""
        cost = model_cost(config, fitted, self.variant)
        return {
            "config": asdict(config),
            "variant": asdict(self.variant),
            "parameters": {"decoder": cost.decoder_parameters, "embeddings": cost.embedding_parameters},
            "macs": cost.decoder_macs + cost.encoder_macs,
        }


SUBJECTS = {
    "b": Subject(),
    "t": Subject("t"),
    "t2d": Subject("t2d"),
    "pixel": Subject("pixel"),
    "canvas": Subject("canvas"),
    "sprite": Subject("sprite"),
    "hnerv": Subject(variant=HNERV),
}


def fit(subject: Subject, config: DecoderConfig, settings: FitSettings, frames: FrameSet) -> Trainer:
    """Networks fitted to `frames`; nothing is pruned. Prints ten lines."""
    trainer = make_trainer(frames, config, settings, schedule=settings.phases(subject.model)[:1])

    def tell(event: Event) -> None:
        if isinstance(event, EpochDone) and event.epoch % max(1, event.epochs // 10) == 0:
            print(f"  epoch {event.epoch} of {event.epochs}, {event.psnr:.2f} dB", flush=True)

    trainer.run(on_event=tell)
    return trainer


def quality(frames: Iterable[Pixels], others: Iterable[Pixels]) -> dict[str, Any]:
    """Means over frames: PSNR in dB, MS-SSIM (None where they are too small)."""
    return asdict(mean_quality(frames, others))


def arguments(text: str | None) -> argparse.ArgumentParser:
    """The options that both benchmarks have."""
    parser = argparse.ArgumentParser(description=text, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add(
        "--dataset",
        default="bunny-small",
        help="bunny, bunny-small, bikes-small, uvg[/SEQUENCE], davis[/SEQUENCE], or a path",
    )
    add("--frames", type=int, help="of a clip given by path: the first so many")
    add("--size", default="300k", help="parameters, embeddings included [%(default)s]")
    add("--epochs", type=int, default=60, help="[%(default)s; the paper's: 300]")
    add("--optimizer", choices=get_args(OptimizerName), default="adam", help="[%(default)s, the paper's]")
    add("--seed", type=int, default=0)
    add("--device", default="auto")
    add("--data", type=Path, default=datasets.DATA, help="folder of UVG and DAVIS")
    return parser


def settings_of(options: argparse.Namespace) -> FitSettings:
    """The paper's recipe with what the command line changes."""
    return FitSettings.preset("paper", epochs=options.epochs, seed=options.seed, optimizer=options.optimizer)


def identity(dataset: Dataset, model: str, options: argparse.Namespace) -> dict[str, Any]:
    """What makes two runs of a task the same."""
    settings = {key: getattr(options, key) for key in ("size", "epochs", "seed", "optimizer", "device")}
    return {"dataset": dataset.to_json(), "model": model, "settings": settings}


def clips(options: argparse.Namespace) -> Iterable[tuple[Dataset, Pixels]]:
    """Every clip asked for with its frames; ends the program where there is none."""
    selection = Selection(frames=(0, options.frames)) if options.frames else None
    try:
        choose_device(options.device)
        parse_size(options.size)
        found = datasets.find_datasets(options.dataset, data=options.data, cache=datasets.CACHE, selection=selection)
    except UserError as error:
        raise SystemExit(str(error)) from error
    return ((dataset, read_video(dataset.master).frames) for dataset in found)


def place(frames: Pixels, options: argparse.Namespace) -> torch.Tensor:
    """Pixels on the device that fits them."""
    return torch.from_numpy(frames).to(choose_device(options.device))
