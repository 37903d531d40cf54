"""What FFmpeg hangs on a decoded frame beside its pixels."""

from fractions import Fraction
from typing import Any

from av.sidedata.sidedata import Type

from snerv_codec.media.filters import make_graph

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
    unknown = (number for number in range(LAST) if number not in known)
    filters = [("sidedata", f"mode=delete:type={number}") for number in unknown]
    graph = make_graph(frame, frame.time_base or Fraction(1, 25), filters)
    graph.push(frame)
    return graph.pull()
