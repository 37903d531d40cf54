"""FFmpeg's filters on decoded frames, one after the other."""

from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Any

import av.error
import av.filter


def make_graph(frame: Any, base: Fraction, filters: Sequence[tuple[str, str]]) -> Any:
    """A graph of these filters, each with its options, for frames like this one with times in units of `base`."""
    graph = av.filter.Graph()
    source = graph.add_buffer(width=frame.width, height=frame.height, format=frame.format, time_base=base)
    graph.link_nodes(source, *(graph.add(*each) for each in filters), graph.add("buffersink")).configure()
    return graph


def ready(graph: Any) -> Iterator[Any]:
    """The frames that a graph gives out before it needs another."""
    while True:
        try:
            yield graph.pull()
        except (av.error.BlockingIOError, av.error.EOFError):
            return
