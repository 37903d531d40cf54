"""Rate control: towards a number of bytes or a quality, before a fit, before each of its epochs, and in packing.

A training for rate weighs bits against errors. What it ends in is steered by how coarse the steps of its grids are, and
by the weight of a bit; what it then misses its target by, rounding towards zero makes up for.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

from torch import Tensor

from snerv_codec.bitstream.container import segment_bytes
from snerv_codec.bitstream.segmentsection import CodedSegment, write_segment
from snerv_codec.bitstream.types import Segment
from snerv_codec.compression.quantize import MAX_DEADZONE
from snerv_codec.compression.rounding import Learned, Rounding
from snerv_codec.compression.search import bisect
from snerv_codec.compression.values import Values
from snerv_codec.errors import SettingsError
from snerv_codec.rate_control.budget import require_room
from snerv_codec.rate_control.targets import Target, TargetKind
from snerv_codec.training.loop import ConstantRate, Controller, Moment
from snerv_codec.training.quantizers import first_steps

# Steps and the rate weight grow or shrink at the start of every epoch: over this share of a phase by so many e-folds at
# most. Towards a quality it is the weight by this power of the steps.
SHARE, REACH, POWER = 0.3, 3.0, 2.0
# Bytes fall to a budget over this share of a phase, by the root of the time, about as they do by themselves: a budget
# that holds from the start wipes out what a network has not learned yet. On the way only the weight says so, as other
# steps round all values anew.
FALLING = 0.7
# Of a phase, until where steps are scaled towards bytes, and from where to where towards a quality. Before, a fit does
# not tell where it will end; later, networks would not learn again to live with how their values are rounded.
TO_BYTES, TO_QUALITY = 0.95, (0.3, 0.85)
LEAST_SAVING = 0.2  # of its bytes that steps larger by a factor of e save, whatever is measured around rounded values
# What training goes for: a share of the bytes, so many dB above a quality. The rest is for packing to make up for.
BYTES_AIM, QUALITY_AIM = 0.995, 0.1
# What is still to come of a rising PSNR, in what its rise over the last third would bring if it went on.
SLOWING, LOOK_BACK = 0.7, 1 / 3
RANGE = 3.0  # dB off a goal from where on steps change as fast as they may
MOST_BITS = 8  # bits a value, beyond which finer steps bring no quality
PROBE = 6.0  # times coarser, to see how VMAF goes with PSNR
VMAF_A_DB = (1.0, 10.0)  # assumed bounds of that slope
CLOSE = 0.03  # dB, or of VMAF: this far above a target there is nothing left to search for
# What is tried in turn where a fit ends above its limit: up to 1 rounding towards zero, in shares of `MAX_DEADZONE`, of
# which more is not always fewer bytes; then steps so many times larger. The first is small, as many values end just
# where they are rounded up: the rate pushes them down from there, the distortion up from below.
HARDER = (1 / 256, 0.25, 0.5, 0.75, 1, 1.25, 1.5, 2)
# How far from a segment's own share of a file its drafts may be, and from each other, as shares of its bytes.
NEAR, APART = 0.1, 0.0025

Pack = Callable[[Values[Tensor], Rounding], Segment]  # puts all values of a fit on the grids of a file


class Packed(NamedTuple):
    """A segment, its bytes without checksums of frames, and how good it looks where that was measured.

    `quality` is in the unit of a target of quality, else the PSNR; `psnr` is in dB.
    """

    segment: Segment
    coded: CodedSegment
    quality: float | None = None
    psnr: float | None = None

    @property
    def file_bytes(self) -> int:
        """What the segment will take of a file, with the checksums of its frames."""
        return segment_bytes(self.coded.with_checksums((0,) * self.coded.frame_count))


class _Seen(NamedTuple):
    """A segment that was looked at: the first and the last two fields of `Packed`."""

    segment: Segment
    quality: float
    psnr: float | None


class Judge(Protocol):
    """Tells how good a segment looks once it is decoded: `rate_control.judge`."""

    def quality(self, segment: Segment, kind: TargetKind) -> float:
        """In the unit of a target of that kind."""


class RateControl(Controller, Protocol):
    """What decides on a fit's rate: once before it, before each epoch that trains for rate, and when it is packed."""

    def plan(self, values: Values[Tensor]) -> None:
        """Take the measure of a fit by its values before the first epoch; where it goes on, what is known stays.

        Raises `SettingsError` where the target has no room for them.
        """

    def pack(self, values: Values[Tensor], rounding: Rounding) -> tuple[Packed, ...]:
        """The segment of a fit that has ended, rounded as `rounding` does or, for a target, further towards zero.

        The first one meets the target by itself, as far as the fit can. What else is there, for a segment that shares
        the target with others, takes a little more or less: a draft for `settling` to choose from. Raises
        `SettingsError` for a target in bytes that cannot be met.
        """


class Free(ConstantRate):
    """No target: a constant weight of the rate, and a segment of whatever size it comes to."""

    def __init__(self, rate_weight: float, pack: Pack) -> None:
        super().__init__(rate_weight)
        self._pack = pack

    def plan(self, values: Values[Tensor]) -> None:
        """Nothing to find out."""

    def pack(self, values: Values[Tensor], rounding: Rounding) -> tuple[Packed, ...]:
        """The segment, rounded as `rounding` does."""
        return (_packed(self._pack(values, rounding)),)


class ToSize:
    """At most `limit` bytes of a file, and not much less; `budget` is what the symbols of all values may take of it.

    A segment that shares a file with others has a `judge`, which measures its drafts.
    """

    def __init__(self, limit: int, rate_weight: float, pack: Pack, judge: Judge | None = None) -> None:
        self.limit, self.rate_weight, self._pack, self._judge = limit, rate_weight, pack, judge
        self.budget: float | None = None
        self.first: float | None = None  # bytes of all symbols before the first epoch

    def plan(self, values: Values[Tensor]) -> None:
        """Find the budget: tables, directory, side values and checksums take about what they take now."""
        if self.budget is None:
            packed = _packed(self._pack(values, Learned(first_steps(values))))
            rest = packed.file_bytes - packed.coded.symbol_bytes
            require_room(self.limit - rest, packed.coded.value_count)
            self.budget = max(BYTES_AIM * self.limit - rest, 1)

    def before_epoch(self, moment: Moment) -> float:
        """Let a bit weigh more where symbols take more than on the way to the budget; at its end scale steps."""
        taken = moment.quantizer.estimated_bytes(moment.values)
        self.first = taken if self.first is None else self.first
        if self.budget is not None and moment.done < TO_BYTES:
            way = min((moment.epoch + 1) / moment.phase.epochs / FALLING, 1)
            if way < 1:
                allowed = self.budget * (self.first / self.budget) ** (1 - math.sqrt(way))
                exponent = within(math.log(max(taken, 1) / allowed), fastest(moment))
            else:
                exponent = approach(moment, taken, self.budget)
            self.rate_weight *= math.exp(exponent)
        return self.rate_weight

    def pack(self, values: Values[Tensor], rounding: Rounding) -> tuple[Packed, ...]:
        """The segment of at most `limit` bytes with the least further rounding that this takes, and drafts."""
        tried: list[Packed] = []

        def at(hardness: float) -> Packed:
            packed = _packed(self._pack(values, harder(rounding, hardness)))
            if self._judge is not None:
                tried.append(packed)
            return packed

        best = at(0)
        if not self._fits(best):
            best = self._squeezed(at)
        return (best,) if self._judge is None else tuple(map(self._judged, drafts(best, tried)))

    def _fits(self, packed: Packed) -> bool:
        return packed.file_bytes <= self.limit

    def _squeezed(self, at: Callable[[float], Packed]) -> Packed:
        """The largest that fits, of those around the first way to round that does. Raises `SettingsError`."""
        failing = 0.0
        for hardness in HARDER:
            packed = at(hardness)
            if self._fits(packed):
                return bisect(at, hardness, failing, packed, holds=self._fits)
            failing = hardness
        raise SettingsError(
            f"the target leaves {self.limit:,} bytes for the model of {packed.segment.frame_count} frames, which "
            f"after so few epochs still takes {packed.file_bytes:,}; raise `epochs` or the target, or lower `size`"
        )

    def _judged(self, packed: Packed) -> Packed:
        assert self._judge is not None
        psnr = self._judge.quality(packed.segment, "psnr")
        return packed._replace(quality=psnr, psnr=psnr)

    def state(self) -> list[Any]:
        """What `restore` takes, for JSON."""
        return [self.rate_weight, self.budget, self.first]

    def restore(self, state: list[Any]) -> None:
        """Go on from where `state` was taken."""
        rate_weight, *known = state
        self.rate_weight = float(rate_weight)
        self.budget, self.first = (None if each is None else float(each) for each in known)


class ToQuality:
    """At least the quality of `target`, which `judge` measures, and not much more, where the model can.

    Nor is its PSNR below `floor` (dB). A segment that has the target in common with others is `shared`, and gives
    drafts. `goal` is the PSNR (dB) to train for, known once the fit has come far enough to tell it.
    """

    def __init__(
        self,
        target: Target,
        judge: Judge,
        rate_weight: float,
        pack: Pack,
        *,
        floor: float | None = None,
        shared: bool = False,
    ) -> None:
        self.target, self.judge, self.rate_weight, self._pack = target, judge, rate_weight, pack
        self.floor, self.shared = floor, shared
        self.goal: float | None = None
        self.seen: list[float] = []  # PSNR in dB before each epoch

    def plan(self, values: Values[Tensor]) -> None:
        """Nothing: before the first epochs a fit does not tell what quality it can reach."""

    def before_epoch(self, moment: Moment) -> float:
        """Scale steps by how far from the goal the fit is expected to end."""
        self.seen.append(moment.psnr())
        if moment.done >= TO_QUALITY[0]:
            self.goal = self._find_goal(moment) if self.goal is None else self.goal
            bits = 8 * moment.quantizer.estimated_bytes(moment.values) / moment.quantizer.count
            least = min((bits - MOST_BITS) * math.log(2), 0)
            surplus = forecast(self.seen, moment.phase.epochs) - self.goal
            exponent = max(fastest(moment) * within(surplus / RANGE, 1), least)
            if moment.done < TO_QUALITY[1]:
                moment.quantizer.scale(moment.values, exponent)
            self.rate_weight *= math.exp(POWER * exponent)
        return self.rate_weight

    def pack(self, values: Values[Tensor], rounding: Rounding) -> tuple[Packed, ...]:
        """The segment with the most rounding towards zero whose quality is not below the target, and drafts.

        Other steps than those of training would be no help: networks have learned to live with how their values
        are rounded, and finer ones round them otherwise.
        """
        tried: list[_Seen] = []

        def at(deadzone: float) -> _Seen:
            seen = self._look(self._pack(values, towards_zero(rounding, deadzone)))
            if self.shared:
                tried.append(seen)
            return seen

        best = bisect(
            at,
            0,
            MAX_DEADZONE,
            at(0),
            holds=lambda seen: self._surplus(seen) >= 0,
            enough=lambda seen: self._surplus(seen) <= CLOSE,
        )
        return drafts(_packed(*best), [_packed(*each) for each in tried]) if self.shared else (_packed(*best),)

    def _look(self, segment: Segment) -> _Seen:
        kind = self.target.kind
        quality = self.judge.quality(segment, kind)
        if kind != "psnr" and self.floor is not None:
            return _Seen(segment, quality, self.judge.quality(segment, "psnr"))
        return _Seen(segment, quality, quality if kind == "psnr" else None)

    def _surplus(self, seen: _Seen) -> float:
        """By how much it is above the target, or above the floor where that is less."""
        above = seen.quality - self.target.value
        return above if self.floor is None or seen.psnr is None else min(above, seen.psnr - self.floor)

    def _find_goal(self, moment: Moment) -> float:
        """What to train for, not below the floor."""
        goal = self._goal_of_target(moment)
        return goal if self.floor is None else max(goal, self.floor + QUALITY_AIM)

    def _goal_of_target(self, moment: Moment) -> float:
        """The target, or where that is VMAF, the PSNR that goes with it by a line through two points.

        These are the model as it is and a coarser one. How far off the line is shows in the end only, and packing
        makes up for it.
        """
        if self.target.kind == "psnr":
            return self.target.value + QUALITY_AIM
        fine = Learned(moment.quantizer.steps(moment.values))
        segments = [self._pack(moment.values, rounding) for rounding in (fine, fine.coarser(PROBE))]
        (psnr, coarse_psnr), (vmaf, coarse_vmaf) = (
            [self.judge.quality(segment, kind) for segment in segments] for kind in ("psnr", "vmaf")
        )
        slope = (vmaf - coarse_vmaf) / max(psnr - coarse_psnr, 1e-3)
        return QUALITY_AIM + psnr + (self.target.value - vmaf) / min(max(slope, VMAF_A_DB[0]), VMAF_A_DB[1])

    def state(self) -> list[Any]:
        """What `restore` takes, for JSON."""
        return [self.rate_weight, self.goal, self.seen]

    def restore(self, state: list[Any]) -> None:
        """Go on from where `state` was taken."""
        self.rate_weight, self.goal, self.seen = state


def approach(moment: Moment, taken: float, budget: float) -> float:
    """Scale all steps so that symbols which take `taken` bytes take about `budget`; the exponent of their growth."""
    quantizer = moment.quantizer
    exponent = within((taken - budget) / max(quantizer.saving, LEAST_SAVING * taken, 1), fastest(moment))
    quantizer.scale(moment.values, exponent)
    return exponent


def within(value: float, limit: float) -> float:
    """The value, or the limit of its sign where it is beyond."""
    return min(max(value, -limit), limit)


def fastest(moment: Moment) -> float:
    """The greatest exponent by which steps may grow or shrink before an epoch."""
    return REACH / max(1, SHARE * moment.phase.epochs)


def forecast(seen: list[float], epochs: int) -> float:
    """The PSNR (dB) that a phase of so many epochs will about end with, from what was `seen` before each until now."""
    now = len(seen) - 1
    back = max(1, round(LOOK_BACK * now))
    rise = (seen[now] - seen[max(now - back, 0)]) / back
    return seen[now] + SLOWING * max(rise, 0) * (epochs - now)


def towards_zero(rounding: Rounding, deadzone: float) -> Learned:
    """The rounding of a training for rate, with another deadzone."""
    if not isinstance(rounding, Learned):
        raise TypeError("only a training for rate can be packed to a target")
    return Learned(rounding.steps, deadzone)


def harder(rounding: Rounding, hardness: float) -> Rounding:
    """The rounding of a training for rate further towards zero, or on larger steps: see `HARDER`."""
    if hardness > 1:
        return towards_zero(rounding, 0).coarser(hardness)
    return towards_zero(rounding, MAX_DEADZONE * hardness)


def drafts(best: Packed, tried: Sequence[Packed]) -> tuple[Packed, ...]:
    """`best`, and of what else was tried what takes a little more or less than it, no two alike."""
    kept, size = [best], best.file_bytes
    for packed in sorted(tried, key=lambda each: abs(each.file_bytes - size)):
        apart = min(abs(packed.file_bytes - other.file_bytes) for other in kept)
        if apart >= APART * size and abs(packed.file_bytes - size) <= NEAR * size:
            kept.append(packed)
    return tuple(kept)


def _packed(segment: Segment, quality: float | None = None, psnr: float | None = None) -> Packed:
    return Packed(segment, write_segment(segment), quality, psnr)
