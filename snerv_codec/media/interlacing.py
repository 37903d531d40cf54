"""Frames of two fields that were taken one after the other, and whole frames made of them."""

from collections.abc import Iterator
from fractions import Fraction
from typing import Any

from snerv_codec.bitstream.types import Scan
from snerv_codec.media.filters import make_graph, ready
from snerv_codec.media.source import Damage, Unsupported

FIELD_ORDERS: dict[int, Scan] = {
    2: "top",
    3: "bottom",
    4: "bottom",
    5: "top",
}  # by FFmpeg's number: which is shown first
PARITY: dict[Scan, str] = {"progressive": "auto", "top": "tff", "bottom": "bff"}
OTHER_FIELD: dict[Scan, Scan] = {"top": "bottom", "bottom": "top"}
NUMBERS: dict[Scan, int] = {"progressive": 1, "top": 2, "bottom": 3}  # FFmpeg's, where coded as shown


def scan_of(frame: Any, order: int, codec: str) -> Scan:
    """Which field of a frame is shown first; `order` is FFmpeg's number of what its stream says."""
    told = FIELD_ORDERS.get(order)
    if told is None and frame.interlaced_frame:
        return "bottom" if codec == "dvvideo" else "top"  # DV has no other
    return told or "progressive"


def deinterlaced(frames: Iterator[Any], order: int, codec: str) -> Iterator[Any]:
    """Each frame with the field that is shown second made anew from what is around, by FFmpeg's bwdif filter.

    As many frames come out as went in, at their times. Where `frames` ends with an error, those before still come.
    """
    graph: Any = None
    problem: Exception | None = None
    try:
        for frame in frames:
            if graph is None:
                base = frame.time_base or Fraction(1, 25)
                parity = "auto" if frame.interlaced_frame else PARITY[scan_of(frame, order, codec)]
                graph = make_graph(frame, base, [("bwdif", f"mode=send_frame:deint=all:parity={parity}")])
            graph.push(frame)
            yield from _ready(graph, base)
    except (Damage, Unsupported) as error:
        problem = error
    if graph is not None:
        graph.push(None)
        yield from _ready(graph, base)
    if problem is not None:
        raise problem


def _ready(graph: Any, base: Fraction) -> Iterator[Any]:
    for frame in ready(graph):
        if frame.pts is not None:  # the filter counts in half the unit
            frame.pts = round(frame.pts * frame.time_base / base)
        frame.duration = round((frame.duration or 0) * frame.time_base / base)
        frame.time_base = base
        yield frame
