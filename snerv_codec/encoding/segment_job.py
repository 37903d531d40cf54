"""A segment to be fitted, as a job of its own: frames in, the bytes of the segment and what came of it out."""

import json
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, NamedTuple

from snerv_codec.bitstream.container import segment_bytes
from snerv_codec.bitstream.models import DecoderConfig
from snerv_codec.bitstream.segmentsection import CodedSegment
from snerv_codec.encoding.footage import Clip, Footage
from snerv_codec.encoding.segmentation import SegmentPlan, shares
from snerv_codec.encoding.workdir import SEGMENT, WorkDirectory
from snerv_codec.events import EpochDone, Event, StateSaved, StepsDone
from snerv_codec.runtime.machine import available_memory, choose_device, keep_freed_memory, require_memory
from snerv_codec.settings import EncodeSettings
from snerv_codec.training.checkpoint import MADE_BY, Checkpoint
from snerv_codec.training.settings import NO_BORDERS, Borders

if TYPE_CHECKING:
    from snerv_codec.compression.rounding import Rounding
    from snerv_codec.rate_control.control import Pack, Packed, RateControl
    from snerv_codec.rate_control.judge import ClipJudge
    from snerv_codec.training.frames import FrameSet
    from snerv_codec.training.loop import Trainer

SECTION = "section "  # of a state that is ended: what names of drafts begin with; the number of the draft follows
NETWORKS = "networks:"  # what names of tensors begin with that are those of networks
ENDED = "ended"  # of a state: what the fit came to, which needs no more of it


class PackedDraft(NamedTuple):
    """A way in which a segment is packed: its bytes in the file, those of its symbols, and the CRC-32 of all.

    `quality` is in the unit of a target of quality, else the PSNR, and `psnr` in dB; None where nothing asks for them.
    """

    size: int
    symbol_bytes: int
    checksum: int
    quality: float | None
    psnr: float | None


class FittedSegment(NamedTuple):
    """What a fit came to: `results` is the PSNR in dB at the end of each phase of training.

    The bytes of its `drafts` are in the job's checkpoint. The first meets the target by itself; the others are there
    for a segment that shares it with others. `estimated_bytes` is what training took symbols to come to, where it knew.
    """

    results: dict[str, float]
    estimated_bytes: float | None
    drafts: tuple[PackedDraft, ...]


@dataclass(frozen=True, slots=True)
class SegmentJob:
    """All that fitting one segment takes, and nothing else of the encode: it can be pickled and run in any process.

    `settings` are those of the whole encode. `limit` is the segment's share of the file in bytes, None for no limit,
    and `shared` says that others share its target. The state is kept in `checkpoint`, also once the segment is done.
    Events tell the `number`. In a chain the fit starts with the networks that the segment before it has left in the
    checkpoint `start`, and where a segment is `followed`, it leaves its own. Of its ends those at `borders` are fitted
    more often.
    """

    footage: Footage
    config: DecoderConfig
    settings: EncodeSettings
    checkpoint: Checkpoint
    number: int = 0
    limit: int | None = None
    shared: bool = False
    start: Checkpoint | None = None
    followed: bool = False
    borders: Borders = NO_BORDERS

    @property
    def after(self) -> int | None:
        """The number of the segment that has to be done before, where there is one."""
        return None if self.start is None else self.number - 1

    def run(self, on_event: Callable[[Event], None] = lambda event: None) -> FittedSegment:
        """Fit the segment, or what of it is not yet in its checkpoint, and code it.

        The result depends on the job alone, on one machine with one number of threads. Raises `SettingsError` where a
        limit cannot be met, and what training raises.
        """
        from snerv_codec.compression.packing import pack_segment
        from snerv_codec.rate_control.judge import ClipJudge
        from snerv_codec.training.trainer import make_trainer

        ended = self.ended()
        if ended is not None:
            return ended
        saved = self.checkpoint.load() if self.checkpoint.exists() else None
        clip = self.footage.load(available_memory())
        frames = self._place(clip)
        pack = partial(pack_segment, config=self.config, sides=frames.sides)
        judge = ClipJudge(clip, choose_device(self.settings.device))
        control = self._control(judge, pack)
        fit = self.settings.fit
        trainer = make_trainer(frames, self.config, fit, controller=control, borders=self.borders)
        if saved is not None:
            with self.checkpoint.using():
                trainer.load(saved)
        elif self.start is not None:
            left = self.start.load(lambda name: name.startswith(NETWORKS))
            with self.start.using():
                trainer.networks.load_state_dict(_under(NETWORKS, left))
        control.plan(trainer.values())
        trainer.run(checkpoint=self.checkpoint, on_event=self._numbered(on_event))
        packed = control.pack(trainer.values(), self._rounding(trainer))
        return self._save(trainer, packed, judge)

    def ended(self) -> FittedSegment | None:
        """What the fit came to where it has ended; the rest of its state is not read. Raises as reading that does."""
        if not self.checkpoint.exists():
            return None
        saved = self.checkpoint.load(lambda name: False)
        return self._ended(saved) if ENDED in saved else None

    def coded(self, draft: int = 0) -> CodedSegment:
        """One of the drafts of the segment, which is done, as the file holds it. Raises as reading a state does."""
        wanted = f"{SECTION}{draft}"
        saved = self.checkpoint.load(lambda name: name == wanted)
        fitted = self._ended(saved)
        with self.checkpoint.using():
            section = saved[wanted].numpy().tobytes()  # type: ignore[union-attr]
            if zlib.crc32(section) != fitted.drafts[draft].checksum:
                raise ValueError("a damaged segment")
            tensors, values = json.loads(str(saved["counts"]))
            return CodedSegment(self.footage.info.frame_count, self.config, tensors, values, section)

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

    def _control(self, judge: "ClipJudge", pack: "Pack") -> "RateControl":
        from snerv_codec.rate_control.control import Free, ToQuality, ToSize

        target, weight = self.settings.target, self.settings.rate_weight
        if self.limit is not None:
            return ToSize(self.limit, weight, pack, judge if self.shared else None)
        if target is not None and target.of_quality:
            return ToQuality(target, judge, weight, pack, floor=self.settings.min_psnr, shared=self.shared)
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
        return RateDistortion(sensitivities(trainer.networks.decoder, embeddings, frames.sides, size), plain)

    def _save(self, trainer: "Trainer", packed: "Sequence[Packed]", judge: "ClipJudge") -> FittedSegment:
        """Keep what came of the fit in place of its state."""
        import torch

        results, estimated_bytes = trainer.results, trainer.state.estimated_bytes

        coded = [each.coded.with_checksums(judge.checksums(each.segment)) for each in packed]
        drafts = tuple(
            PackedDraft(
                segment_bytes(each), each.symbol_bytes, zlib.crc32(each.section), measured.quality, measured.psnr
            )
            for each, measured in zip(coded, packed, strict=True)
        )
        sections = {
            f"{SECTION}{number}": torch.frombuffer(bytearray(each.section), dtype=torch.uint8)
            for number, each in enumerate(coded)
        }
        counts = json.dumps([coded[0].tensor_count, coded[0].value_count])
        ended = json.dumps([results, estimated_bytes, drafts])
        left = trainer.networks.weights() if self.followed else {}
        networks = {f"{NETWORKS}{name}": each for name, each in left.items()}
        self.checkpoint.save({ENDED: ended, "counts": counts, **sections, **networks})
        return FittedSegment(results, estimated_bytes, drafts)

    def _ended(self, saved: Mapping[str, Any]) -> FittedSegment:
        """What `_save` kept. Raises `InputError` where that is damaged."""
        with self.checkpoint.using():
            results, estimated_bytes, drafts = json.loads(saved[ENDED])
            return FittedSegment(results, estimated_bytes, tuple(PackedDraft(*each) for each in drafts))


def make_jobs(
    footage: Footage, segments: Sequence[SegmentPlan], settings: EncodeSettings, work: WorkDirectory, rest: int
) -> list[SegmentJob]:
    """The jobs of an encode, in the order of their frames; `rest` is what the file takes besides segments, in bytes."""
    target = settings.target_bytes(footage.info)
    limits = [None] * len(segments) if target is None else shares(target - rest, segments)
    jobs: list[SegmentJob] = []
    for number, (segment, limit) in enumerate(zip(segments, limits, strict=True)):
        part, following = footage.part(segment.numbers), segments[number + 1 : number + 2]
        identity = {**_identity(part, segment.config, settings, limit), "borders": segment.borders}
        checkpoint = Checkpoint(work.directory, identity, f"{SEGMENT}{number}")
        start = jobs[-1].checkpoint if segment.warm else None
        followed, shared = any(each.warm for each in following), len(segments) > 1
        about = segment.config, settings, checkpoint, number, limit, shared, start, followed, segment.borders
        jobs.append(SegmentJob(part, *about))
    return jobs


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
        "chain": settings.chain,
        "min_psnr": settings.min_psnr,
        **asdict(settings.fit),
        **{name: getattr(settings, name) for name in ("entropy", "qp", "rounding", "rate_weight")},
    }


def _under(prefix: str, saved: Mapping[str, Any]) -> dict[str, Any]:
    """What is saved under names that start so, by the rest of them."""
    return {name.removeprefix(prefix): value for name, value in saved.items() if name.startswith(prefix)}
