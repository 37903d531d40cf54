"""Where scenes begin, by FFmpeg's scene detector."""

from collections.abc import Iterable
from fractions import Fraction
from typing import Any

import av.error
import av.filter

THRESHOLD = 0.3  # of FFmpeg's score of change, from 0 to 1, as its documentation proposes


def scene_cuts(frames: Iterable[Any]) -> list[int]:
    """Numbers of the frames, from 0, that begin a new scene; times of `frames` are overwritten."""
    graph: Any = None
    cuts: list[int] = []
    for number, frame in enumerate(frames):
        frame.pts, frame.time_base = number, Fraction(1)
        graph = graph or _graph(frame)
        graph.push(frame)
        cuts += _ready(graph)
    if graph is not None:
        graph.push(None)
        cuts += _ready(graph)
    return [number for number in cuts if number > 0]


def _graph(frame: Any) -> Any:
    graph = av.filter.Graph()
    source = graph.add_buffer(width=frame.width, height=frame.height, format=frame.format, time_base=Fraction(1))
    chosen = graph.add("select", f"gt(scene,{THRESHOLD})")
    graph.link_nodes(source, chosen, graph.add("buffersink")).configure()
    return graph


def _ready(graph: Any) -> list[int]:
    numbers = []
    while True:
        try:
            numbers.append(graph.pull().pts)
        except (av.error.BlockingIOError, av.error.EOFError):
            return numbers
