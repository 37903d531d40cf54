"""How the camera moves: where each frame lies on the one in the middle, found before a fit.

A warp moves a frame's corners and, in between, every place by the bilinear mix of their displacements: shifts, zooms,
turns and a little perspective in eight numbers. They are found by Gauss-Newton steps (Baker and Matthews, "Lucas-Kanade
20 years on", 2004), from coarse to fine, each frame from where its neighbour came to lie. What moves by itself counts
the less the more it differs (Tukey's biweight).
"""

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


class _Picture(NamedTuple):
    """Brightness at one scale, (3, h, w) with its slopes down and to the right a pixel, `step` pixels a place."""

    layers: Tensor
    step: int


@torch.no_grad()
def camera_motion(frames: Tensor, padded: tuple[int, int], device: torch.device | None = None) -> Tensor:
    """Where the corners of each frame lie on the one in the middle of `frames`, uint8 (T, H, W, 3).

    (T, 8) as in `model.canvas.warp`, in pixels, for frames `padded` to that height and width; computed on `device`.
    Zero for a camera that rests. Where no motion explains a frame better, it lies as its neighbour does.
    """
    device = frames.device if device is None else device
    middle = len(frames) // 2
    reference = _pictures(frames[middle], device)
    motion = torch.zeros(len(frames), 2 * CORNERS, device=device)
    for numbers in (range(middle + 1, len(frames)), range(middle - 1, -1, -1)):
        before, gone = motion[middle], torch.zeros_like(motion[middle])
        for number in numbers:
            shown = _pictures(frames[number], device)
            motion[number] = _aligned(reference, shown, (before, before + gone), padded)
            before, gone = motion[number], motion[number] - before
    return (motion * GRID).round() / GRID


def _pictures(frame: Tensor, device: torch.device) -> list[_Picture]:
    """A frame, uint8 (H, W, 3), at each scale, the coarsest first."""
    bright = frame.to(device).float().mean(dim=-1)[None, None] / 255
    least = -(-max(frame.shape[:2]) // LONGEST)
    pictures = []
    for level in LEVELS:
        step = least * level
        if level == 1 or min(frame.shape[:2]) >= SMALLEST * step:
            plain = F.avg_pool2d(bright, min(step, *frame.shape[:2]))[0, 0]
            pictures.append(_Picture(torch.stack((plain, *_slopes(plain, step))), step))
    return pictures


def _slopes(plain: Tensor, step: int) -> tuple[Tensor, Tensor]:
    """Central differences down and to the right, a pixel."""
    wide = F.pad(plain[None, None], (1, 1, 1, 1), mode="replicate")[0, 0]
    return (wide[2:, 1:-1] - wide[:-2, 1:-1]) / (2 * step), (wide[1:-1, 2:] - wide[1:-1, :-2]) / (2 * step)


def _aligned(
    reference: list[_Picture], shown: list[_Picture], starts: tuple[Tensor, ...], padded: tuple[int, int]
) -> Tensor:
    """How a frame lies on the reference, (8,): from the best of `starts`, and the first of them if none is bettered."""
    limit = FARTHEST * torch.tensor(padded, device=starts[0].device).repeat_interleave(CORNERS)
    finest = reference[-1], shown[-1]
    motion = min(starts, key=lambda start: _error(*finest, start, padded))
    for coarse, picture in zip(reference, shown, strict=True):
        for _ in range(ROUNDS):
            step = _step(coarse, picture, motion, padded)
            motion = (motion + step).clamp(-limit, limit)
            if step.abs().max() < STILL * coarse.step:
                break
    return min((starts[0], motion), key=lambda found: _error(*finest, found, padded))


def _error(reference: _Picture, shown: _Picture, motion: Tensor, padded: tuple[int, int]) -> float:
    """The median magnitude of what differs."""
    warped = _warped(reference, motion, padded)
    return (shown.layers[0] - warped[0]).abs().median().item()


def _warped(reference: _Picture, motion: Tensor, padded: tuple[int, int]) -> Tensor:
    return warp(reference.layers[None], motion[None], reference.step, _share(reference, padded))[0]


def _share(picture: _Picture, padded: tuple[int, int]) -> tuple[float, float]:
    height, width = (picture.step * side for side in picture.layers.shape[1:])
    return height / padded[0], width / padded[1]


def _step(reference: _Picture, shown: _Picture, motion: Tensor, padded: tuple[int, int]) -> Tensor:
    """A Gauss-Newton step of the motion, (8,)."""
    plain, down, right = _warped(reference, motion, padded)
    weights = corner_weights(plain, _share(reference, padded))
    slopes = torch.cat((down * weights, right * weights)).flatten(1)
    missing = (shown.layers[0] - plain).flatten()
    spread = (SPREAD * missing.abs().median()).clamp_min(LEAST_SPREAD)
    trust = (1 - (missing / (BIWEIGHT * spread)).square()).clamp_min(0).square()
    weighted = slopes * trust
    normal = weighted @ slopes.T
    normal += (RIDGE * normal.diagonal().mean() + 1e-12) * torch.eye(len(normal), device=normal.device)
    found: Tensor = torch.linalg.solve(normal, weighted @ missing)
    return found
