"""A segment to be fitted, as a job of its own: frames in, the bytes of the segment and what came of it out."""

import json
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from importlib.metadata import version
from operator import mul
from typing import TYPE_CHECKING, Any, NamedTuple

from snerv_codec.bitstream.models import DecoderConfig
from snerv_codec.bitstream.segmentsection import CodedSegment
from snerv_codec.bitstream.types import Segment
from snerv_codec.encoding.footage import Clip, Footage
from snerv_codec.encoding.segmentation import SegmentPlan, shares
from snerv_codec.encoding.workdir import SEGMENT, WorkDirectory
from snerv_codec.events import EpochDone, Event, StateSaved, StepsDone
from snerv_codec.rate_control.targets import Target
from snerv_codec.runtime.machine import available_memory, choose_device, keep_freed_memory, require_memory
from snerv_codec.settings import EncodeSettings
from snerv_codec.training.checkpoint import MADE_BY, Checkpoint

if TYPE_CHECKING:
    from snerv_codec.compression.rounding import Rounding
    from snerv_codec.rate_control.control import Pack, RateControl
    from snerv_codec.training.frames import FrameSet
    from snerv_codec.training.loop import Trainer

TOLERANCE = 0.1  # dB, or of VMAF, that a file may stay below its target
ENDED = "ended"  # of a state: what the fit came to, which needs no more of it


class Outcome(NamedTuple):
    """What a fit came to: `results` is the PSNR in dB at the end of each phase of training.

    `symbol_bytes` is what coded weights and embeddings take, `estimated_bytes` what training took them to come to,
    where it knew. `reached` is the quality in the unit of a target that asks for one.
    """

    results: dict[str, float]
    symbol_bytes: int
    estimated_bytes: float | None
    reached: float | None


class FittedSegment(NamedTuple):
    """A segment with the checksums of its frames."""

    coded: CodedSegment
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class SegmentJob:
    """All that fitting one segment takes, and nothing else of the encode: it can be pickled and run in any process.

    `settings` are those of the whole encode. `limit` is the most bytes that the segment may take of the file, None for
    no limit. The state is kept in `checkpoint`, also once the segment is done. Events tell the `number`.
    """

    footage: Footage
    config: DecoderConfig
    settings: EncodeSettings
    checkpoint: Checkpoint
    number: int = 0
    limit: int | None = None

    def run(self, on_event: Callable[[Event], None] = lambda event: None) -> FittedSegment:
        """Fit the segment, or what of it is not yet in its checkpoint, and code it.

        The result depends on the job alone, on one machine with one number of threads. Raises `SettingsError` where a
        limit cannot be met, and what training raises.
        """
        from snerv_codec.compression.packing import pack_segment
        from snerv_codec.training.trainer import make_trainer

        saved = self.checkpoint.load() if self.checkpoint.exists() else None
        if saved is not None and ENDED in saved:
            return self._ended(saved)
        clip = self.footage.load(available_memory())
        frames = self._place(clip)
        pack = partial(pack_segment, config=self.config, ll_ranges=frames.ll_ranges)
        control = self._control(clip, pack)
        trainer = make_trainer(frames, self.config, self.settings.fit, controller=control)
        if saved is not None:
            with self.checkpoint.using():
                trainer.load(saved)
        control.plan(trainer.values())
        trainer.run(checkpoint=self.checkpoint, on_event=self._numbered(on_event))
        packed = control.pack(trainer.values(), self._rounding(trainer))
        coded = packed.coded.with_checksums(self._checksums(packed.segment))
        outcome = Outcome(trainer.results, coded.symbol_bytes, trainer.state.estimated_bytes, packed.quality)
        fitted = FittedSegment(coded, outcome)
        self._save(fitted)
        return fitted

    def _numbered(self, on_event: Callable[[Event], None]) -> Callable[[Event], None]:
        def tell(event: Event) -> None:
            if isinstance(event, StepsDone | EpochDone | StateSaved):
                event = replace(event, segment=self.number)
            on_event(event)

        return tell

    def _place(self, clip: Clip) -> "FrameSet":
        """The frames where the fit reads them: on its device, or on the host where that has no room for them all."""
        import torch

        from snerv_codec.model.sizing import fitting_memory
        from snerv_codec.training.frames import FrameSet

        device, batch = choose_device(self.settings.device), min(self.settings.fit.batch, len(clip.frames))
        keep_freed_memory(device)
        need = fitting_memory(self.config, batch)
        require_memory(need, device, "fitting", "lower `size` or `batch`, or crop the video with `crop`")
        frames = torch.from_numpy(clip.frames)
        if need + frames.nbytes <= available_memory(device):
            frames = frames.to(device)
        known = None if clip.known is None else torch.from_numpy(clip.known)
        return FrameSet(frames, self.config, device, known=known)

    def _control(self, clip: Clip, pack: "Pack") -> "RateControl":
        from snerv_codec.rate_control.control import Free, ToQuality, ToSize
        from snerv_codec.rate_control.judge import ClipJudge

        target, weight = self.settings.target, self.settings.fit.rate_weight
        if self.limit is not None:
            return ToSize(self.limit, weight, pack)
        if target is not None and target.of_quality:
            return ToQuality(target, ClipJudge(clip, choose_device(self.settings.device)), weight, pack)
        return Free(weight, pack)

    def _rounding(self, trainer: "Trainer") -> "Rounding":
        """How to round networks that know of no grid, or on the grids that they have learned."""
        from snerv_codec.compression.rounding import Learned, Nnc, Plain, RateDistortion
        from snerv_codec.compression.sensitivity import sensitivities

        values, frames, plain = trainer.values(), trainer.frames, Plain(*self.settings.fit.bits)
        steps = trainer.networks.steps(values)
        if steps is not None:
            return Learned(steps)
        if self.settings.entropy == "nnc":
            return Nnc(self.settings.qp, plain.embed_bits)
        if self.settings.rounding == "plain":
            return plain
        embeddings, size = tuple(values.embeddings.values()), (frames.height, frames.width)
        return RateDistortion(sensitivities(trainer.networks.decoder, embeddings, frames.ll_ranges, size), plain)

    def _checksums(self, segment: Segment) -> list[int]:
        """The CRC-32 of each frame that the segment decodes to here."""
        from snerv_codec.decoding import SegmentPlayer

        player = SegmentPlayer(segment, self.footage.info, choose_device(self.settings.device))
        return [zlib.crc32(frame.data) for frame in player.play(player.numbers)]

    def _save(self, fitted: FittedSegment) -> None:
        import torch

        coded = fitted.coded
        kept = {"counts": [coded.tensor_count, coded.value_count], "outcome": fitted.outcome._asdict()}
        section = torch.frombuffer(bytearray(coded.section), dtype=torch.uint8)
        self.checkpoint.save({ENDED: json.dumps(kept), "section": section})

    def _ended(self, saved: Mapping[str, Any]) -> FittedSegment:
        """What `_save` kept. Raises `InputError` where that is damaged."""
        with self.checkpoint.using():
            kept, section = json.loads(saved[ENDED]), saved["section"].numpy().tobytes()
            tensors, values = kept["counts"]
            coded = CodedSegment(self.footage.info.frame_count, self.config, tensors, values, section)
            return FittedSegment(coded, Outcome(**kept["outcome"]))


def make_jobs(
    footage: Footage, segments: Sequence[SegmentPlan], settings: EncodeSettings, work: WorkDirectory, rest: int
) -> list[SegmentJob]:
    """The jobs of an encode, in the order of their frames; `rest` is what the file takes besides segments, in bytes."""
    target = settings.target_bytes(footage.info)
    limits = [None] * len(segments) if target is None else shares(target - rest, segments)
    jobs = []
    for number, (segment, limit) in enumerate(zip(segments, limits, strict=True)):
        part = footage.part(segment.numbers)
        checkpoint = Checkpoint(work.directory, _identity(part, segment.config, settings, limit), f"{SEGMENT}{number}")
        jobs.append(SegmentJob(part, segment.config, settings, checkpoint, number, limit))
    return jobs


def in_all(fitted: Sequence[FittedSegment]) -> Outcome:
    """What several segments came to: quality as the mean over their frames, bytes as their sum."""
    outcomes, frames = [each.outcome for each in fitted], [each.coded.frame_count for each in fitted]

    def mean(values: Iterable[float]) -> float:
        return float(sum(map(mul, values, frames)) / sum(frames))

    estimates = [each.estimated_bytes for each in outcomes if each.estimated_bytes is not None]
    reached = [each.reached for each in outcomes if each.reached is not None]
    return Outcome(
        results={phase: mean(each.results[phase] for each in outcomes) for phase in outcomes[0].results},
        symbol_bytes=sum(each.symbol_bytes for each in outcomes),
        estimated_bytes=sum(estimates) if estimates else None,
        reached=mean(reached) if reached else None,
    )


def shortfall(target: Target | None, outcome: Outcome) -> Iterator[str]:
    """What to tell where a target of quality was not reached."""
    if target is not None and outcome.reached is not None and outcome.reached < target.value - TOLERANCE:
        reached = f"is out of this fit's reach, which came to {outcome.reached:.2f}"
        yield f"the target, {target}, {reached}; raise `size` or `epochs`"


def _identity(
    footage: Footage, config: DecoderConfig, settings: EncodeSettings, limit: int | None
) -> dict[str, object]:
    """What a state must have in common with a fit that goes on from it."""
    from snerv_codec.training.state import STATE_LAYOUT

    return {
        MADE_BY: f"{version('snerv-codec')}, state {STATE_LAYOUT}",
        **footage.identity,
        "config": asdict(config),
        "target": None if settings.target is None else asdict(settings.target),
        "limit": limit,
        **{name: getattr(settings, name) for name in ("entropy", "qp", "rounding")},
        **asdict(settings.fit),
    }
