"""What FFmpeg hangs on a decoded frame beside its pixels."""

from fractions import Fraction
from typing import Any

import av
import av.filter
from av.sidedata.sidedata import Type

LAST = 64  # number beyond FFmpeg's kinds of side data


def side_data(frame: Any, kind: Type) -> bytes | None:
    """The bytes of the first side data of a kind; None where the frame has none."""
    found = _found(frame)
    return bytes(found[kind]) if kind in found else None


def known_kinds(frame: Any) -> frozenset[Type]:
    """The kinds of side data that a frame has, as far as PyAV knows them."""
    return frozenset(data.type for data in _found(frame))


def _found(frame: Any) -> Any:
    try:
        return frame.side_data
    except ValueError:  # one among them is of a kind that PyAV does not know, such as EXIF
        return _known_alone(frame).side_data


def _known_alone(frame: Any) -> Any:
    """The frame without what PyAV does not know."""
    known: set[Any] = {kind.value for kind in Type}
    graph = av.filter.Graph()
    source = graph.add_buffer(
        width=frame.width, height=frame.height, format=frame.format, time_base=frame.time_base or Fraction(1, 25)
    )
    unknown = (number for number in range(LAST) if number not in known)
    filters = [graph.add("sidedata", f"mode=delete:type={number}") for number in unknown]
    graph.link_nodes(source, *filters, graph.add("buffersink")).configure()
    graph.push(frame)
    return graph.pull()
