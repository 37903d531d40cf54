"""The INFO section: what a player must know of the video (SPEC.md, "INFO")."""

from collections.abc import Sequence
from itertools import pairwise

from .errors import Corrupt
from .fields import Octets, Reader, Writer
from .types import MAX_FRAMES, Chroma, Color, Scan, VideoInfo

CHROMAS: tuple[Chroma, ...] = ("400", "420", "422", "444", "rgb")
SCANS: tuple[Scan, ...] = ("progressive", "top", "bottom")
RANGES = (None, False, True)
STEP, DELTAS = 0, 1  # how timestamps are coded


def write_video(video: VideoInfo) -> bytes:
    """Payload of the section."""
    out = Writer()
    out.varint(video.width)
    out.varint(video.height)
    for ratio in (video.time_base, video.rate, video.pixel_aspect):
        out.fraction(ratio)
    color = video.color
    for byte in (
        SCANS.index(video.scan),
        video.bit_depth,
        CHROMAS.index(video.chroma),
        *(color.primaries, color.transfer, color.matrix),
        RANGES.index(color.full_range),
    ):
        out.uint(byte, 1)
    _write_times(out, video.timestamps)
    out.varint(video.final_duration)
    return out.finish()


def read_video(payload: Octets) -> VideoInfo:
    """Inverse of `write_video`. Raises `BitstreamError`, or `ValueError` where the values contradict."""
    fields = Reader(payload, "video information")
    width, height = fields.varint(), fields.varint()
    time_base, rate, pixel_aspect = fields.fraction(), fields.fraction(), fields.fraction()
    scan, bit_depth, chroma, primaries, transfer, matrix, full_range = (fields.uint(1) for _ in range(7))
    if scan >= len(SCANS) or chroma >= len(CHROMAS) or full_range >= len(RANGES):
        raise Corrupt(f"video information: scan {scan}, chroma {chroma} or range {full_range} is not known")
    timestamps = _read_times(fields)
    final_duration = fields.varint()
    fields.finish()
    return VideoInfo(
        width=width,
        height=height,
        time_base=time_base,
        timestamps=timestamps,
        final_duration=final_duration,
        rate=rate,
        pixel_aspect=pixel_aspect,
        scan=SCANS[scan],
        bit_depth=bit_depth,
        chroma=CHROMAS[chroma],
        color=Color(primaries, transfer, matrix, RANGES[full_range]),
    )


def _write_times(out: Writer, times: Sequence[int]) -> None:
    deltas = [b - a for a, b in pairwise(times)]
    out.varint(len(times))
    constant = len(set(deltas)) == 1
    out.uint(STEP if constant else DELTAS, 1)
    out.signed(times[0])
    if constant:
        out.varint(deltas[0])
        return
    previous = 0
    for delta in deltas:
        out.signed(delta - previous)  # second differences: small for a jittering clock
        previous = delta


def _read_times(fields: Reader) -> tuple[int, ...]:
    count, coding, start = fields.varint(MAX_FRAMES), fields.uint(1), fields.signed()
    if count == 0 or coding not in (STEP, DELTAS):
        raise Corrupt(f"video information: {count} timestamps, coding {coding}")
    if coding == STEP:
        step = fields.varint()
        return tuple(start + step * i for i in range(count))
    times, delta = [start], 0
    for _ in range(count - 1):
        delta += fields.signed()
        times.append(times[-1] + delta)
    return tuple(times)
