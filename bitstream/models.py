"""The decoder models that the format knows, and the integers that rebuild a decoder (SPEC.md, "Models").

A segment names its model by a number and configures it by a blob, so that a reader passes over the segments of a model
that it does not know. A new model is a row of `LAYOUTS`, with a configuration of its own where `DecoderConfig` will
not do, and what it computes is said in SPEC.md, section 9.
"""

from bisect import bisect
from dataclasses import dataclass
from itertools import accumulate, pairwise
from math import prod
from typing import NamedTuple

from .fields import Reader, Writer

MAX_FRAME_SIDE = 16384
MAX_CHANNELS = 1024
MAX_BLOCKS = 64
MAX_STRIDE = 16
MAX_KERNEL = 15
MAX_EMBEDDING_VALUES = 1 << 20  # one frame's
# Of an embedding for each pixel of a padded frame: what the paper's 16 channels come to where no block up-samples.
MAX_VALUES_A_PIXEL = 4
MAX_PADDING = 1024  # pixels of a decoder's frame for each of the video's
MAX_STAGES = 6  # up-sampling blocks
MAX_LEVELS = 8  # of a canvas, each half as high and wide as the one before
MAX_SCENES = 1 << 10  # that have a canvas of their own
MAX_CONFIG = 1 << 12  # bytes
MAX_MODEL = (1 << 16) - 1
MOTION_SHAPE = (8, 1, 1)  # how far a frame's four corners are moved down, then to the right

Model = str  # a name in `LAYOUTS`


class Layout(NamedTuple):
    """What the format must know of a model: its number, and what it holds besides tensors.

    The frame has `scale` rows and columns for one of the last features; `temporal` models have two temporal
    embeddings a frame; `frame_values` 16-bit floats go with each frame (2: the least and the greatest LL value);
    a decoder has `least_stages` up-sampling blocks or more; `fuses` says whether the features of the last three meet
    in fusion blocks, else the configuration has no residual blocks; `canvas`, whether frames share a map, and `moving`,
    whether it moves with the camera, whose motion is an embedding of its own; then each scene may have its own.
    """

    number: int
    scale: int
    temporal: bool
    frame_values: int
    least_stages: int
    fuses: bool = True
    canvas: bool = False
    moving: bool = False


LAYOUTS: dict[Model, Layout] = {
    "b": Layout(number=0, scale=2, temporal=False, frame_values=2, least_stages=3),
    "t": Layout(number=1, scale=2, temporal=True, frame_values=2, least_stages=5),
    "t2d": Layout(number=2, scale=2, temporal=True, frame_values=2, least_stages=5),
    "pixel": Layout(number=3, scale=1, temporal=False, frame_values=0, least_stages=1, fuses=False),
    "canvas": Layout(number=4, scale=1, temporal=False, frame_values=0, least_stages=1, fuses=False, canvas=True),
    "sprite": Layout(
        number=5, scale=1, temporal=False, frame_values=0, least_stages=1, fuses=False, canvas=True, moving=True
    ),
}


def check(condition: bool, message: str) -> None:
    """Raise `ValueError` with `message` unless the condition holds."""
    if not condition:
        raise ValueError(message)


@dataclass(frozen=True, slots=True)
class DecoderConfig:
    """Every integer needed to rebuild a decoder (paper, section 3; SPEC.md gives the rules between them).

    `embedding_shape` is (channels, height, width) for one frame; `strides` and `kernels` are those of the
    up-sampling blocks; `widths` are the channels after the stem (C_0) and after each block; `blocks` the
    residual blocks N_RB of a fusion block. `model` is the backbone "b", its temporal extension with 3D ("t")
    or 2D convolutions ("t2d"), or "pixel", "canvas" or "sprite", whose `blocks` are 0. The extension has
    `temporal_shape`, (channels, height, width) of each of a frame's two temporal embeddings: of it and the frame
    before, of it and the frame after. Models "canvas" and "sprite" have `canvas`: the number of the block, from 1,
    whose output their map is added to, the map's channels, and how many times a wavelet halves it, 0 for "canvas".
    Model "sprite" has one map for the frames up to the first of `scenes`, and one from each of these on.
    """

    embedding_shape: tuple[int, int, int]
    strides: tuple[int, ...]
    widths: tuple[int, ...]
    kernels: tuple[int, ...]
    blocks: int
    model: Model = "b"
    temporal_shape: tuple[int, int, int] | None = None
    canvas: tuple[int, int, int] | None = None
    scenes: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        check(self.model in LAYOUTS, f"model {self.model!r} is unknown")
        for shape in (self.embedding_shape, self.temporal_shape or (1, 1, 1)):
            check(len(shape) == 3 and min(shape) >= 1, f"embedding shape {shape} is not three positive sizes")
            check(prod(shape) <= MAX_EMBEDDING_VALUES, f"embedding shape {shape} is too large")
        stages, least = len(self.strides), self.layout.least_stages
        ok = least <= stages <= MAX_STAGES and all(1 <= stride <= MAX_STRIDE for stride in self.strides)
        check(ok, f"strides {self.strides} are not {least} to {MAX_STAGES} integers in 1..{MAX_STRIDE}")
        ok = len(self.widths) == stages + 1 and all(1 <= width <= MAX_CHANNELS for width in self.widths)
        check(ok, f"widths {self.widths} are not {stages + 1} integers in 1..{MAX_CHANNELS}")
        ok = len(self.kernels) == stages and all(1 <= k <= MAX_KERNEL and k % 2 for k in self.kernels)
        check(ok, f"kernels {self.kernels} are not {stages} odd integers in 1..{MAX_KERNEL}")
        check(0 <= self.blocks <= MAX_BLOCKS, f"blocks {self.blocks} is not in 0..{MAX_BLOCKS}")
        check(self.layout.fuses or not self.blocks, f"model {self.model!r} has no residual blocks, not {self.blocks}")
        check(max(self.padded_size) <= 2 * MAX_FRAME_SIDE, f"a padded frame of {self.padded_size} is too large")
        for shape in self.embedding_shapes:
            most = MAX_VALUES_A_PIXEL * prod(self.padded_size)
            check(prod(shape) <= most, f"embedding shape {shape} has more than {MAX_VALUES_A_PIXEL} values a pixel")
        has_temporal = self.temporal_shape is not None
        ok = self.layout.temporal == has_temporal
        check(ok, f"model {self.model!r}: temporal embeddings missing or extra")
        check(self.layout.canvas == (self.canvas is not None), f"model {self.model!r}: canvas missing or extra")
        if self.canvas is not None:
            stage, channels, levels = self.canvas
            ok = 1 <= stage <= stages and 1 <= channels <= MAX_CHANNELS
            check(ok, f"canvas {self.canvas} is not a block in 1..{stages} and channels in 1..{MAX_CHANNELS}")
            most = MAX_LEVELS if self.layout.moving else 0
            check(0 <= levels <= most, f"a canvas of {levels} levels is not one of 0..{most}")
            ok = prod(self.canvas_shape) <= MAX_VALUES_A_PIXEL * prod(self.padded_size)
            check(ok, f"canvas {self.canvas_shape} has more than {MAX_VALUES_A_PIXEL} values a pixel")
        check(self.layout.moving or not self.scenes, f"model {self.model!r} has one canvas at most, not one a scene")
        rising = all(a < b for a, b in pairwise((0, *self.scenes)))
        ok = rising and len(self.scenes) < MAX_SCENES
        check(ok, f"scenes from {self.scenes[:9]} on are not fewer than {MAX_SCENES} rising numbers of frames")
        ok = not has_temporal or self.temporal_scale > 0
        check(ok, f"temporal shape {self.temporal_shape} does not divide block 2")

    @property
    def layout(self) -> Layout:
        """What the format knows of the model."""
        return LAYOUTS[self.model]

    @property
    def embedding_shapes(self) -> tuple[tuple[int, int, int], ...]:
        """Shapes of one frame's embeddings, a tensor each; the two temporal ones are stacked on channels."""
        if self.layout.moving:
            return self.embedding_shape, MOTION_SHAPE
        if self.temporal_shape is None:
            return (self.embedding_shape,)
        channels, height, width = self.temporal_shape
        return self.embedding_shape, (2 * channels, height, width)

    @property
    def temporal_scale(self) -> int:
        """How many times larger, along each side, block 2's output is than the temporal embeddings; 0 if no integer."""
        if self.temporal_shape is None:
            return 0
        step = prod(self.strides[:2])
        sides, small = (step * self.embedding_shape[1], step * self.embedding_shape[2]), self.temporal_shape[1:]
        scale = sides[0] // small[0]
        return scale if (scale * small[0], scale * small[1]) == sides else 0

    @property
    def canvas_shape(self) -> tuple[int, int, int]:
        """(channels, height, width) of each canvas; no channels where there is none."""
        stage, channels, _ = self.canvas or (0, 0, 0)
        return channels, *self.size_after(stage)

    @property
    def canvas_values(self) -> int:
        """Values of all canvases together."""
        return (len(self.scenes) + 1) * prod(self.canvas_shape)

    @property
    def side_values(self) -> int:
        """Numbers that the decoder takes of a frame besides its embeddings: those of the file, or its canvas's."""
        return 1 if self.scenes else self.layout.frame_values

    def canvas_of(self, frame: int) -> int:
        """Which canvas a frame has, both numbered from 0."""
        return bisect(self.scenes, frame)

    def size_after(self, stage: int) -> tuple[int, int]:
        """(height, width) of the features after the stem (0), or after an up-sampling block (from 1)."""
        step = prod(self.strides[:stage])
        return step * self.embedding_shape[1], step * self.embedding_shape[2]

    @property
    def padded_size(self) -> tuple[int, int]:
        """(height, width) of the frame the decoder makes; the video is its top left corner."""
        height, width = self.size_after(len(self.strides))
        return self.layout.scale * height, self.layout.scale * width


def check_covers(config: DecoderConfig, height: int, width: int) -> None:
    """Raise `ValueError` where a decoder's frames do not cover the video's, or are far larger, for nobody to see."""
    rows, columns = config.padded_size
    check(height <= rows and width <= columns, f"a {columns}x{rows} decoder cannot make {width}x{height} frames")
    most = MAX_PADDING * height * width
    check(rows * columns <= most, f"a {columns}x{rows} decoder is too large for {width}x{height} frames")


def check_scenes(config: DecoderConfig, frames: int) -> None:
    """Raise `ValueError` where a scene begins after the last of a segment's frames."""
    check(all(scene < frames for scene in config.scenes), f"a scene begins after the last of {frames} frames")


@dataclass(frozen=True, slots=True)
class UnknownModel:
    """The configuration of a segment whose model, `number`, this reader does not know."""

    number: int
    data: bytes


def write_config(config: DecoderConfig | UnknownModel) -> tuple[int, bytes]:
    """The model's number, and the blob that configures it."""
    if isinstance(config, UnknownModel):
        return config.number, config.data
    out = Writer()
    for value in config.embedding_shape:
        out.varint(value)
    out.uint(len(config.strides), 1)
    canvas = (config.canvas or ())[: 3 if config.layout.moving else 2]  # one that rests has no levels
    more = (*(config.temporal_shape or ()), *canvas)
    if config.layout.moving:
        more += len(config.scenes), *(b - a for a, b in pairwise((0, *config.scenes)))
    for value in (*config.strides, *config.kernels, *config.widths, config.blocks, *more):
        out.varint(value)
    return config.layout.number, out.finish()


def read_config(number: int, data: bytes) -> DecoderConfig | UnknownModel:
    """Inverse of `write_config`. Raises `BitstreamError`, or `ValueError` where the values contradict."""
    model = next((name for name, layout in LAYOUTS.items() if layout.number == number), None)
    if model is None:
        return UnknownModel(number, data)
    fields = Reader(data, "decoder configuration")
    shape = _read_shape(fields)
    stages = fields.uint(1)
    check(stages <= MAX_STAGES, f"{stages} up-sampling blocks are more than {MAX_STAGES}")
    strides, kernels, widths = (tuple(fields.varint() for _ in range(n)) for n in (stages, stages, stages + 1))
    blocks = fields.varint()
    temporal = _read_shape(fields) if LAYOUTS[model].temporal else None
    canvas = _read_canvas(fields, LAYOUTS[model])
    scenes = _read_scenes(fields) if LAYOUTS[model].moving else ()
    fields.finish()
    return DecoderConfig(shape, strides, widths, kernels, blocks, model, temporal, canvas, scenes)


def _read_shape(fields: Reader) -> tuple[int, int, int]:
    return fields.varint(), fields.varint(), fields.varint()


def _read_canvas(fields: Reader, layout: Layout) -> tuple[int, int, int] | None:
    if not layout.canvas:
        return None
    return fields.varint(), fields.varint(), fields.varint() if layout.moving else 0


def _read_scenes(fields: Reader) -> tuple[int, ...]:
    count = fields.varint()
    check(count < MAX_SCENES, f"{count} scenes are not fewer than {MAX_SCENES}")
    return tuple(accumulate(fields.varint() for _ in range(count)))
