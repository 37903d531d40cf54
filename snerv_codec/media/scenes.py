"""Where scenes begin, by FFmpeg's scene detector."""

from collections.abc import Iterable
from fractions import Fraction
from typing import Any

import av
import numpy as np

from snerv_codec.media.filters import make_graph, ready
from snerv_codec.media.picture import Pixels

THRESHOLD = 0.3  # of FFmpeg's score of change, from 0 to 1, as its documentation proposes
ENOUGH = 270  # places along the shorter side: the score is a mean over pixels, and a part of many has the same mean


def scene_cuts(pictures: Iterable[Pixels]) -> list[int]:
    """Numbers of the pictures, uint8 RGB (H, W, 3), counted from 0, that begin a new scene."""
    graph: Any = None
    cuts: list[int] = []
    for number, picture in enumerate(pictures):
        step = max(1, min(picture.shape[:2]) // ENOUGH)
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture[::step, ::step]), format="rgb24")
        frame.pts, frame.time_base = number, Fraction(1)
        graph = graph or make_graph(frame, Fraction(1), [("select", f"gt(scene,{THRESHOLD})")])
        graph.push(frame)
        cuts += (chosen.pts for chosen in ready(graph))
    if graph is not None:
        graph.push(None)
        cuts += (chosen.pts for chosen in ready(graph))
    return [number for number in cuts if number > 0]
