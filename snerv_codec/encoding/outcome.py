"""What fitted segments come to together: which draft of each the file takes, its quality, and what to tell of that."""

from collections.abc import Iterable, Iterator, Sequence
from operator import mul
from typing import NamedTuple

from snerv_codec.encoding.segment_job import FittedSegment, SegmentJob
from snerv_codec.rate_control.settling import Draft, largest_within, smallest_above
from snerv_codec.settings import EncodeSettings

TOLERANCE = 0.1  # dB, or of VMAF, that a file may stay below its target


class Outcome(NamedTuple):
    """What an encode came to: `results` is the PSNR in dB at the end of each phase of training, over all frames.

    `symbol_bytes` is what coded weights and embeddings take, `estimated_bytes` what training took them to come to,
    where it knew. `reached` is the quality in the unit of a target that asks for one. `chosen` is the draft of each
    segment, by its number, and `psnr` its PSNR in dB where that was measured.
    """

    results: dict[str, float]
    symbol_bytes: int
    estimated_bytes: float | None
    reached: float | None
    chosen: tuple[int, ...]
    psnr: tuple[float | None, ...]

    @property
    def worst_psnr(self) -> float | None:
        """That of the worst of several segments, where they were measured."""
        measured = [psnr for psnr in self.psnr if psnr is not None]
        return min(measured) if len(measured) > 1 else None


def settled(jobs: Sequence[SegmentJob], fitted: Sequence[FittedSegment], settings: EncodeSettings) -> Outcome:
    """The drafts that meet the target together, and what they come to: quality as the mean over frames."""
    frames = [len(job.footage.numbers) for job in jobs]
    chosen = _choose(jobs, fitted, frames, settings)
    drafts = [each.drafts[number] for each, number in zip(fitted, chosen, strict=True)]

    def mean(values: Iterable[float]) -> float:
        return float(sum(map(mul, values, frames)) / sum(frames))

    estimates = [each.estimated_bytes for each in fitted if each.estimated_bytes is not None]
    reached = [draft.quality for draft in drafts if draft.quality is not None]
    of_quality = settings.target is not None and settings.target.of_quality
    return Outcome(
        results={phase: mean(each.results[phase] for each in fitted) for phase in fitted[0].results},
        symbol_bytes=sum(draft.symbol_bytes for draft in drafts),
        estimated_bytes=sum(estimates) if estimates else None,
        reached=mean(reached) if of_quality else None,
        chosen=tuple(chosen),
        psnr=tuple(draft.psnr for draft in drafts),
    )


def _choose(
    jobs: Sequence[SegmentJob], fitted: Sequence[FittedSegment], frames: Sequence[int], settings: EncodeSettings
) -> list[int]:
    """The number of the draft of each segment."""
    target, own = settings.target, [0] * len(jobs)
    if target is None or len(jobs) == 1:
        return own
    drafts = [[Draft(each.size, each.quality or 0.0) for each in segment.drafts] for segment in fitted]
    if not target.of_quality:
        return largest_within(sum(job.limit or 0 for job in jobs), drafts, frames)

    def above_floor(segment: int, number: int) -> bool:
        psnr = fitted[segment].drafts[number].psnr
        return settings.min_psnr is None or psnr is None or psnr >= settings.min_psnr

    return smallest_above(target.value, drafts, frames, above_floor)


def shortfall(settings: EncodeSettings, outcome: Outcome) -> Iterator[str]:
    """What to tell where a target of quality, or the floor of the segments, was not reached."""
    target, floor = settings.target, settings.min_psnr
    if target is not None and outcome.reached is not None and outcome.reached < target.value - TOLERANCE:
        reached = f"is out of this fit's reach, which came to {outcome.reached:.2f}"
        yield f"the target, {target}, {reached}; raise `size` or `epochs`"
    measured = [(psnr, number) for number, psnr in enumerate(outcome.psnr) if psnr is not None]
    if floor is None or not measured:
        return
    psnr, number = min(measured)
    if psnr < floor - TOLERANCE:
        reached = f"is out of reach for segment {number + 1}, the worst, which came to {psnr:.2f}"
        yield f"the floor, PSNR {floor:g} dB, {reached}; raise `size` or `epochs`"
