"""When frames are shown: times as containers give them, made to go forward, exact and complete."""

from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import pairwise
from math import lcm
from statistics import median_low
from typing import Any

DEFAULT_RATE = Fraction(25)
STANDARD_RATES = tuple(
    Fraction(*pair)
    for pair in ((24000, 1001), (24, 1), (25, 1), (30000, 1001), (30, 1), (48, 1), (50, 1), (60000, 1001), (60, 1))
)
STEP_BACK = Fraction(1, 10)  # seconds by which times may step back before it is another recording that begins
LONG = 10  # seconds; a step to a time later than that is no pause any more
RESTARTING = ("mpeg", "mpegts")  # containers of broadcasts, whose clocks jump to another time where they are joined
MS = Fraction(1, 1000)
MAX_TICK = 1 << 31  # of a time base


@dataclass(slots=True)
class Clock:
    """Brings the packets of all streams of a container to one clock that goes forward.

    Where a recording follows another, its times start anew: they are moved to go on where the first one ended,
    for all streams alike, so that sound stays in step. `decoding` gathers the decoding times of the video's packets.
    """

    video: int  # index of the stream that is watched
    restarting: bool = False  # whether the container's clock may jump ahead too
    decoding: "array[int]" = field(default_factory=lambda: array("q"))
    presents: bool = True  # whether the container tells when a frame is shown, or only when it is decoded
    joins: int = 0
    _offset: Fraction = Fraction(0)
    _next: dict[int, Fraction] = field(default_factory=dict)

    def align(self, packet: Any) -> None:
        """Move the packet's times to this clock."""
        index, base, expected = packet.stream.index, packet.time_base, self._next.get(packet.stream.index)
        if expected is not None and packet.dts is not None and packet.stream.type != "subtitle":
            ahead = packet.dts * base + self._offset - expected
            if ahead < -STEP_BACK or (self.restarting and ahead > LONG):
                self._offset -= ahead
                self.joins += 1
        shift = round(self._offset / base)
        if packet.pts is not None:
            packet.pts += shift
        if packet.dts is None:  # it says nothing: presentation times step back and forth
            return
        packet.dts += shift
        self._next[index] = (packet.dts + (packet.duration or 0)) * base
        if index == self.video and (self.decoding or packet.is_keyframe):
            self.presents = self.presents and (packet.pts is not None or bool(self.decoding))
            self.decoding.append(packet.dts)

    def expected(self, index: int) -> Fraction | None:
        """When (seconds) the next packet of a stream would be decoded; None where its packets do not tell."""
        return self._next.get(index)


@dataclass(frozen=True, slots=True)
class Timeline:
    """Strictly increasing `times` and the last frame's duration in units of `base` seconds; `rate` is nominal.

    `notes` says, for people, what the container's own times lacked.
    """

    base: Fraction
    times: tuple[int, ...]
    last: int
    rate: Fraction
    notes: tuple[str, ...] = ()


def make_timeline(
    times: Sequence[int | None], base: Fraction, rate: Fraction | None, *, last: int = 0, end: int | None = None
) -> Timeline:
    """The timeline of frames that their container shows at `times`, in units of `base` seconds.

    `rate` is what the container says, None where it says nothing; `last` is the last frame's duration, 0 where
    unknown; `end` is when the next frame is shown. Missing times are filled in, times that step back move by the
    least change, and those of a constant rate that were rounded to the container's clock become exact.
    """
    notes: list[str] = []
    if rate is not None and rate * base == 1 and base <= MS:
        rate = None  # but the clock's, as of a container that tells none
    if all(time is None for time in times):
        if rate is None:
            notes.append(f"the rate is not told: {float(DEFAULT_RATE):g} frames/s assumed; `rate` gives another")
        rate = rate or DEFAULT_RATE
        return Timeline(1 / rate, tuple(range(len(times))), 1, rate, tuple(notes))
    step = 1 / ((rate or DEFAULT_RATE) * base)
    filled = _filled(times, step)
    if len(filled) > 1 and sum(a >= b for a, b in pairwise(filled)) > len(filled) // 2:
        rate = rate or DEFAULT_RATE
        notes.append(f"frame times are out of order: {float(rate):g} frames/s assumed")
        return Timeline(1 / rate, tuple(range(len(times))), 1, rate, tuple(notes))
    forward = _forward(filled)
    missing = sum(time is None for time in times)
    if missing and not _is_rounded(forward, step):
        notes.append(f"{_frames(missing)} without a time: filled in from those around")
    if moved := sum(a != b for a, b in zip(filled, forward, strict=True)):
        most = max(abs(a - b) for a, b in zip(filled, forward, strict=True)) * base
        notes.append(f"{_frames(moved)} whose times step back: moved by up to {float(1000 * most):g} ms")
    notes.extend(_jumps(forward, base))
    steps = [b - a for a, b in pairwise(forward)]
    if end is not None and end > forward[-1]:
        last = end - forward[-1]
    last = last if last > 0 else median_low(steps) if steps else max(1, round(step))
    return _exact(forward, base, rate, last, tuple(notes))


def _filled(times: Sequence[int | None], step: Fraction) -> list[int]:
    """Missing times at even distances between those that are there, and at `step` outside."""
    known = [(number, time) for number, time in enumerate(times) if time is not None]
    (first, at), (last, until) = known[0], known[-1]
    filled = [round(at - step * (first - number)) for number in range(first)]
    for (number, time), (following, later) in pairwise(known):
        filled += [time + (later - time) * passed // (following - number) for passed in range(following - number)]
    return [*filled, *(round(until + step * passed) for passed in range(len(times) - last))]


def _forward(times: Sequence[int]) -> tuple[int, ...]:
    """Times that increase, each moved as little as possible."""
    forward: list[int] = []
    for time in times:
        forward.append(max(time, forward[-1] + 1) if forward else time)
    return tuple(forward)


def _frames(count: int) -> str:
    return f"{count} frame" + ("s" if count > 1 else "")


def _jumps(times: Sequence[int], base: Fraction) -> Iterator[str]:
    steps = [b - a for a, b in pairwise(times)]
    usual = median_low(steps) if steps else 0
    for number, step in enumerate(steps):
        if step * base > LONG and step > LONG * usual:
            yield f"frame {number} stays for {float(step * base):g} s: the times jump there"


def _exact(
    times: tuple[int, ...], base: Fraction, rate: Fraction | None, last: int, notes: tuple[str, ...]
) -> Timeline:
    """The timeline at the constant rate whose frames, rounded to `base`, these are; as it is where there is none."""
    count, first = len(times), times[0]
    if count == 1:
        return Timeline(base, times, last, rate or 1 / (last * base), notes)
    steps = {b - a for a, b in pairwise(times)}
    even = 1 / (steps.pop() * base) if len(steps) == 1 else None
    for candidate in (rate, even, *STANDARD_RATES):
        if candidate is None or not _is_rounded(times, 1 / (candidate * base)):
            continue
        if candidate == even:
            return Timeline(base, times, last, even, notes)
        step = 1 / candidate
        tick = Fraction(1, lcm((first * base).denominator, step.denominator))
        if tick.denominator >= MAX_TICK:
            tick = Fraction(1, step.denominator)
        start, stride = round(first * base / tick), step / tick
        exact = tuple(int(start + number * stride) for number in range(count))
        kept = stride if abs(last - step / base) <= 1 else last * base / tick
        return Timeline(tick, exact, round(kept), candidate, notes)
    mean = (count - 1) / ((times[-1] - first) * base)
    near = rate is not None and abs(rate - mean) < mean / 100
    return Timeline(base, times, last, rate if near and rate else mean.limit_denominator(1001), notes)


def _is_rounded(times: tuple[int, ...], step: Fraction) -> bool:
    """Whether the times are a constant `step` apart, but for rounding to integers."""
    up, down, first = step.numerator, step.denominator, times[0]
    return all(abs((time - first) * down - number * up) <= down for number, time in enumerate(times))
