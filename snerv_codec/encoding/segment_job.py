"""From footage to the segment of a file: the training, with its work directory, and the packing."""

from collections.abc import Callable
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from snerv_codec.bitstream.models import DecoderConfig
from snerv_codec.bitstream.segmentsection import CodedSegment, write_segment
from snerv_codec.bitstream.types import Segment
from snerv_codec.compression.quantize import MAX_DEADZONE
from snerv_codec.encoding.footage import Footage
from snerv_codec.encoding.planning import require_room
from snerv_codec.errors import OutputError, SettingsError
from snerv_codec.events import Event, Warned
from snerv_codec.runtime.machine import available_memory, choose_device, keep_freed_memory, require_memory
from snerv_codec.settings import EncodeSettings

if TYPE_CHECKING:
    from torch import Tensor

    from snerv_codec.compression.rounding import Rounding
    from snerv_codec.compression.values import Values
    from snerv_codec.rate_control.quality import Judge
    from snerv_codec.training.checkpoint import Checkpoint
    from snerv_codec.training.frames import FrameSet
    from snerv_codec.training.loop import Trainer

TOLERANCE = 0.1  # dB, or of VMAF, that a file may stay below its target
AIM = 0.995  # share of a target in bytes that training goes for: what it misses it by, rounding makes up for at a price
HALVINGS = 10  # in the search for how much rounding has to make up for

FileSize = Callable[[CodedSegment], int]  # bytes of the whole file around a segment, its checksums included


class Fitted(NamedTuple):
    """A segment without checksums, and its bytes; `results` is the PSNR in dB at the end of each phase of training.

    `reached` is its quality in the unit of a target that asks for one.
    """

    segment: Segment
    coded: CodedSegment
    results: dict[str, float]
    estimated_bytes: float | None
    reached: float | None = None


def fit(
    footage: Footage,
    config: DecoderConfig,
    settings: EncodeSettings,
    checkpoint: "Checkpoint",
    file_size: FileSize,
    *,
    resume: bool,
    on_event: Callable[[Event], None],
) -> Fitted:
    """Train a model of `config` on `footage` and put it on the grids of a file.

    Goes on from the checkpoint where `resume` asks for it and there is one. With a target in bytes the file is not
    larger, by `file_size`; raises `SettingsError` where it cannot be met. One of quality that cannot be met is an
    event.
    """
    from snerv_codec.rate_control.steering import Steering
    from snerv_codec.training.trainer import make_trainer

    limit, steering = settings.target_bytes(footage.info), Steering(settings.fit.rate_weight)
    trainer = make_trainer(_place(footage, config, settings), config, settings.fit, controller=steering)
    if resume and checkpoint.exists():
        trainer.load(checkpoint.load())
    elif resume:
        on_event(Warned(f"{checkpoint.directory}: holds no interrupted run; starting from the beginning"))
    judge = _judge(settings, footage)
    if limit is not None and steering.budget is None:
        steering.budget = _budget(limit, _Packing(trainer, config, settings)(scale=1), file_size)
    if judge is not None:
        steering.find_goal = lambda: judge.goal(_Packing(trainer, config, settings))
    trainer.run(checkpoint=checkpoint, on_event=on_event)
    pack = _Packing(trainer, config, settings)
    if judge is not None:
        segment, reached = judge.pack(pack)
        if reached < judge.target.value - TOLERANCE:
            short = f"the target, {judge.target}, is out of this fit's reach, which came to {reached:.2f}"
            on_event(Warned(f"{short}; raise --size or --epochs"))
        return Fitted(segment, write_segment(segment), trainer.results, trainer.state.estimated_bytes, reached)
    segment, coded = _pack_within(limit, pack, file_size)
    return Fitted(segment, coded, trainer.results, trainer.state.estimated_bytes)


def open_checkpoint(
    output: Path, footage: Footage, config: DecoderConfig, settings: EncodeSettings, *, resume: bool, overwrite: bool
) -> "Checkpoint":
    """The state of a fit, beside the file to be. Raises `OutputError` where an interrupted run would be lost."""
    from snerv_codec.training.checkpoint import MADE_BY, Checkpoint
    from snerv_codec.training.state import STATE_LAYOUT

    target = None if settings.target is None else asdict(settings.target)
    made_by = {MADE_BY: f"{version('snerv-codec')}, state {STATE_LAYOUT}"}
    identity = {**made_by, **footage.identity, "config": asdict(config), "target": target, **asdict(settings.fit)}
    checkpoint = Checkpoint(output.with_name(output.name + ".work"), identity)
    if checkpoint.exists() and not (resume or overwrite):
        raise OutputError(
            f"{checkpoint.directory}: an interrupted run; use --resume to go on with it, --overwrite to drop it"
        )
    return checkpoint


def _place(footage: Footage, config: DecoderConfig, settings: EncodeSettings) -> "FrameSet":
    """The frames where the fit reads them: on its device, or on the host where that has no room for them all."""
    import torch

    from snerv_codec.model.sizing import fitting_memory
    from snerv_codec.training.frames import FrameSet

    device, batch = choose_device(settings.device), min(settings.fit.batch, len(footage.frames))
    keep_freed_memory(device)
    need = fitting_memory(config, batch)
    require_memory(need, device, "fitting", "lower --size or --batch, or crop the video with --crop")
    frames = torch.from_numpy(footage.frames)
    if need + frames.nbytes <= available_memory(device):
        frames = frames.to(device)
    known = None if footage.known is None else torch.from_numpy(footage.known)
    return FrameSet(frames, config, device, known=known)


def _judge(settings: EncodeSettings, footage: Footage) -> "Judge | None":
    from snerv_codec.rate_control.quality import Judge

    if settings.target is None or not settings.target.of_quality:
        return None
    return Judge(settings.target, footage, choose_device(settings.device))


class _Packing:
    """A fit as it is, to be packed in several ways; on steps `scale` times as coarse as those it has, or would have."""

    def __init__(self, trainer: "Trainer", config: DecoderConfig, settings: EncodeSettings) -> None:
        self.trainer, self.config, self.settings = trainer, config, settings
        self.values = trainer.values()
        self.steps = trainer.networks.steps(self.values)

    def __call__(self, *, deadzone: float = 0, scale: float | None = None) -> Segment:
        from snerv_codec.compression.packing import pack_segment
        from snerv_codec.compression.rounding import Learned
        from snerv_codec.training.quantizers import first_steps

        rounding: Rounding
        if scale is not None:
            rounding = Learned(self.steps or first_steps(self.values)).coarser(scale)
        elif self.steps is not None:
            rounding = Learned(self.steps, deadzone)
        else:
            rounding = _rounding(self.trainer, self.values, self.settings)
        return pack_segment(self.values, self.config, self.trainer.frames.ll_ranges, rounding)


def _rounding(trainer: "Trainer", values: "Values[Tensor]", settings: EncodeSettings) -> "Rounding":
    """How to round networks that know of no grid."""
    from snerv_codec.compression.rounding import Nnc, Plain, RateDistortion
    from snerv_codec.compression.sensitivity import sensitivities

    frames, plain = trainer.frames, Plain(*settings.fit.bits)
    if settings.entropy == "nnc":
        return Nnc(settings.qp, plain.embed_bits)
    if settings.rounding == "plain":
        return plain
    embeddings, size = tuple(values.embeddings.values()), (frames.height, frames.width)
    return RateDistortion(sensitivities(trainer.networks.decoder, embeddings, frames.ll_ranges, size), plain)


def _budget(limit: int, segment: Segment, file_size: FileSize) -> float:
    """Bytes to aim at for the symbols of weights and embeddings. Raises `SettingsError` where there is no room."""
    coded = write_segment(segment)
    rest = file_size(coded) - coded.symbol_bytes
    require_room(limit, rest, coded.value_count)
    return AIM * limit - rest


def _pack_within(limit: int | None, pack: _Packing, file_size: FileSize) -> tuple[Segment, CodedSegment]:
    """The segment that makes a file of at most `limit` bytes, with the least rounding towards zero that it takes."""
    segment = pack()
    coded = write_segment(segment)
    if limit is None or file_size(coded) <= limit:
        return segment, coded
    low, high = 0.0, MAX_DEADZONE
    segment = pack(deadzone=high)
    coded = write_segment(segment)
    smallest = file_size(coded)
    if smallest > limit:
        raise SettingsError(
            f"a file of {limit:,} bytes is too small for this model, which takes {smallest:,}; "
            "lower --size, give more --epochs, or raise the target"
        )
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        candidate = pack(deadzone=middle)
        written = write_segment(candidate)
        if file_size(written) <= limit:
            high, segment, coded = middle, candidate, written
        else:
            low = middle
    return segment, coded
