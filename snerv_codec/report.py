"""What an encode promises (`Plan`) and what it delivered (`EncodeReport`): the contract of `--json`.

And when several jobs end (`makespan`), which promises and the time left are told by.
"""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from heapq import heapify, heapreplace
from typing import Any

from snerv_codec.bitstream.models import DecoderConfig, Model
from snerv_codec.evaluation.metrics import Quality
from snerv_codec.rate_control.targets import Target


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run will do, before it does it. Bytes, and MACs per frame; padding is a share of the frame.

    `segments` are the first frame and the number of frames of each; what is told of the architecture and of MACs and
    memory is of the longest, decoder and embedding parameters of all together. `chains` are how many of them, from the
    first on, are fitted one after the other, each from the network of the one before.

    `phases` are those of training with their epochs, `epochs` their sum; a step takes `batch` frames.
    `predicted_seconds` are those from the plan to the measured file. `selected_bytes` is about what the selected frames
    and pixels take of `input_bytes`, and `predicted_share` is `predicted_bytes` over it, None where nobody can tell;
    `track_bytes`, of sound and subtitles, are counted. `size_given` says that the number of parameters was asked for,
    `target_given` that it may follow from a target; else the video decides.
    """

    source: str
    width: int
    height: int
    frames: int
    rate: str
    segments: tuple[tuple[int, int], ...]
    chains: tuple[int, ...]
    device: str
    model: Model
    widths: tuple[int, ...]
    kernels: tuple[int, ...]
    blocks: int
    strides: tuple[int, ...]
    embedding_shape: tuple[int, int, int]
    temporal_shape: tuple[int, int, int] | None
    canvas: tuple[int, int, int] | None
    scenes: tuple[int, ...]
    decoder_parameters: int
    embedding_parameters: int
    encoder_parameters: int
    total_parameters: int
    decoder_macs: int
    encoder_macs: int
    padding: float
    epochs: int
    phases: tuple[tuple[str, int], ...]
    batch: int
    recipe: str
    size_given: bool
    target_given: bool
    input_bytes: int | None
    selected_bytes: int | None
    track_bytes: int
    predicted_bytes: int
    predicted_share: float | None
    predicted_seconds: float
    video_memory: int
    fitting_memory: int
    decoding_memory: int

    def to_json(self) -> dict[str, Any]:
        """A JSON object with one entry a field."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class EncodeReport:
    """The result of an encode. `quality` is that of the frames decoded from the file on disk.

    `interpolated` is that of the frames left out of the fit, as decoding at twice the rate inserts them; None
    where none were, or none lies between two others. `known` is the share of pixels that a mask leaves, over
    which alone `quality` is then measured (without MS-SSIM); 1 without a mask. `reached` is what came of a `target`
    of quality, in its unit, and `worst_psnr` the mean PSNR of the worst of several segments, where they were measured.
    `fitted_psnr` is the model's before pruning and `pruned_psnr` before quantisation and what a recipe trains
    for it, both with frames rounded to 8 bits. `bytes_tracks` is what sound and subtitles take of `bytes_total`,
    and `bytes_symbols` what coded weights and embeddings take; where training knew the rate, `estimated_bytes`
    is its estimate of these. Times are in seconds; `seconds_encoding` is what the plan's `predicted_seconds` foretold,
    without the reading before it.
    """

    source: str
    output: str
    config: DecoderConfig
    target: Target | None
    reached: float | None
    worst_psnr: float | None
    frames: int
    bytes_total: int
    bytes_tracks: int
    bytes_symbols: int
    bpp: float
    bitrate: float
    quality: Quality
    interpolated: Quality | None
    known: float
    fitted_psnr: float
    pruned_psnr: float
    estimated_bytes: float | None
    seconds_fitting: float
    seconds_encoding: float
    seconds_decoding: float
    seconds_total: float

    def to_json(self) -> dict[str, Any]:
        """A JSON object; `quality` is flattened, `config`, `target` and `interpolated` are objects of their own."""
        values = asdict(self)
        quality: dict[str, Any] = values.pop("quality")
        return values | quality


@dataclass(frozen=True, slots=True)
class DecodeReport:
    """The result of a decode; the time is in seconds, writing included."""

    output: str
    frames: int
    seconds: float
    warnings: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """A JSON object with one entry a field."""
        return asdict(self)


def makespan(durations: Iterable[float], free: Iterable[float]) -> float:
    """When the last job ends, where each worker, `free` at its time, takes the next job in order as soon as it can."""
    ends = list(free)
    heapify(ends)
    for duration in durations:
        heapreplace(ends, ends[0] + duration)
    return max(ends)
