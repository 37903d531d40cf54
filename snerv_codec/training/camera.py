"""How the camera moves: where each frame lies on the one in the middle, found before a fit.

A warp moves a frame's corners and, in between, every place by the bilinear mix of their displacements: shifts, zooms,
turns and a little perspective in eight numbers. They are found by Gauss-Newton steps (Baker and Matthews, "Lucas-Kanade
20 years on", 2004), from coarse to fine, each frame from where its neighbour came to lie. What moves by itself counts
the less the more it differs (Tukey's biweight).
"""

from collections.abc import Sequence
from functools import partial
from itertools import pairwise
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from snerv_codec.model.canvas import CORNERS, corner_weights, warp

LONGEST = 256  # places along a side of the pictures that are compared
LEVELS = (8, 4, 2, 1)  # how much coarser they are, one after the other
SMALLEST = 12  # places along a side of the coarsest
ROUNDS = 6  # Gauss-Newton steps on each, at most
STILL = 1 / 32  # of a place: a step that ends them
FARTHEST = 0.5  # share of a frame's side that a corner may go
GRID = 16  # parts of a pixel that motion is rounded to: noise becomes rest, and the last bits of sums do not matter
BIWEIGHT, SPREAD = 4.685, 1.4826  # Tukey's constant, and a Gaussian's deviation over its median magnitude
LEAST_SPREAD = 1 / 255
RIDGE = 1e-4  # of the mean diagonal: a plain picture tells nothing, and moves nothing


class _Reference(NamedTuple):
    """The picture that frames are laid on, at one scale: `step` pixels are a place."""

    layers: Tensor  # (3, h, w): brightness, and how it changes down and to the right, a pixel
    weights: Tensor  # (4, h, w), as in `corner_weights`
    step: int


def camera_motion(
    frames: Tensor, padded: tuple[int, int], device: torch.device | None = None, *, scenes: Sequence[int] = ()
) -> Tensor:
    """Where the corners of each frame lie on the one in the middle of its scene, in `frames`, uint8 (T, H, W, 3).

    (T, 8) as in `model.canvas.warp`, in pixels, for frames `padded` to that height and width; computed on `device`.
    Zero for a camera that rests. Where no motion explains a frame better, it lies as its neighbour does. `scenes` are
    the frames that begin one, beside the first.
    """
    starts = [0, *scenes, len(frames)]
    parts = (frames[start:end] for start, end in pairwise(starts))
    return torch.cat([_scene_motion(part, padded, device) for part in parts if len(part)])


@torch.no_grad()
def _scene_motion(frames: Tensor, padded: tuple[int, int], device: torch.device | None) -> Tensor:
    """The same for the frames of one scene."""
    device = frames.device if device is None else device
    middle, steps = len(frames) // 2, _steps(*frames.shape[1:3])
    pictures = _shrunk(frames[middle].to(device), steps)
    references = [_reference(picture, step, padded) for picture, step in zip(pictures, steps, strict=True)]
    limit = FARTHEST * torch.tensor(padded, device=device).repeat_interleave(CORNERS)
    motion = torch.zeros(len(frames), 2 * CORNERS, device=device)
    for numbers in (range(middle + 1, len(frames)), range(middle - 1, -1, -1)):
        before, gone = motion[middle], torch.zeros_like(motion[middle])
        for number in numbers:
            shown = _shrunk(frames[number].to(device), steps)
            motion[number] = _aligned(references, shown, (before, before + gone), limit)
            before, gone = motion[number], motion[number] - before
    return (motion * GRID).round() / GRID


def _steps(height: int, width: int) -> list[int]:
    """Pixels along a side of a place, at each scale, the coarsest first."""
    finest = min(-(-max(height, width) // LONGEST), height, width)
    return [finest * level for level in LEVELS if level == 1 or min(height, width) >= SMALLEST * finest * level]


def _shrunk(frame: Tensor, steps: list[int]) -> list[Tensor]:
    """The mean brightness of each place of a frame, uint8 (H, W, 3), at each scale: (h, w)."""
    bright = frame.float().mean(dim=-1)[None, None] / 255
    return [F.avg_pool2d(bright, step)[0, 0] for step in steps]


def _reference(plain: Tensor, step: int, padded: tuple[int, int]) -> _Reference:
    """What there is to know of a picture, (h, w), of the frame's top left corner: slopes are central differences."""
    wide = F.pad(plain[None, None], (1, 1, 1, 1), mode="replicate")[0, 0]
    down, right = wide[2:, 1:-1] - wide[:-2, 1:-1], wide[1:-1, 2:] - wide[1:-1, :-2]
    share = step * plain.shape[0] / padded[0], step * plain.shape[1] / padded[1]
    layers = torch.stack((plain, down / (2 * step), right / (2 * step)))
    return _Reference(layers, corner_weights(plain, share), step)


def _aligned(references: list[_Reference], shown: list[Tensor], starts: tuple[Tensor, ...], limit: Tensor) -> Tensor:
    """How a frame lies on the reference, (8,): from the best of `starts`, and the first of them if none is bettered."""
    error = partial(_error, references[-1], shown[-1])
    motion = min(starts, key=error)
    for reference, picture in zip(references, shown, strict=True):
        for _ in range(ROUNDS):
            step = _step(reference, picture, motion)
            motion = (motion + step).clamp(-limit, limit)
            if step.abs().max() < STILL * reference.step:
                break
    return min((starts[0], motion), key=error)


def _error(reference: _Reference, shown: Tensor, motion: Tensor) -> float:
    """The median magnitude of what differs."""
    return (shown - _warped(reference, motion)[0]).abs().median().item()


def _warped(reference: _Reference, motion: Tensor) -> Tensor:
    """The reference's layers as a frame of that motion sees them, (3, h, w)."""
    return warp(reference.layers[None], motion[None], reference.step, reference.weights)[0]


def _step(reference: _Reference, shown: Tensor, motion: Tensor) -> Tensor:
    """A Gauss-Newton step of the motion, (8,)."""
    plain, down, right = _warped(reference, motion)
    slopes = torch.cat((down * reference.weights, right * reference.weights)).flatten(1)
    missing = (shown - plain).flatten()
    spread = (SPREAD * missing.abs().median()).clamp_min(LEAST_SPREAD)
    trust = (1 - (missing / (BIWEIGHT * spread)).square()).clamp_min(0).square()
    weighted = slopes * trust
    normal = weighted @ slopes.T
    normal += (RIDGE * normal.diagonal().mean() + 1e-12) * torch.eye(len(normal), device=normal.device)
    found: Tensor = torch.linalg.solve(normal, weighted @ missing)
    return found
