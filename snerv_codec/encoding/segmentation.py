"""Which frames share a network, and what network: a video as segments, each with its part of what was asked for."""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import ceil, floor
from typing import Any

from snerv_codec.bitstream.models import LAYOUTS, DecoderConfig
from snerv_codec.bitstream.segmentsection import MAX_SEGMENT_VALUES
from snerv_codec.bitstream.types import VideoInfo
from snerv_codec.errors import SettingsError
from snerv_codec.media.picture import PictureFormat
from snerv_codec.media.timeline import cut
from snerv_codec.rate_control.budget import require_room, size_for, suiting_size
from snerv_codec.settings import EncodeSettings, Segmentation, seconds_of
from snerv_codec.training.settings import NO_BORDERS, Borders

MOST_BYTES = 1 << 30  # of frames, as 8-bit RGB, that share a network where nobody says otherwise


@dataclass(frozen=True, slots=True)
class SegmentPlan:
    """Consecutive frames that are to share a network of `config`; `info` describes these alone.

    In a chain, a `warm` segment starts with the network of the one before it. `borders` says whether its start and its
    end lie inside a scene, where another segment goes on.
    """

    numbers: range
    info: VideoInfo
    config: DecoderConfig
    warm: bool = False
    borders: Borders = NO_BORDERS


def plan_segments(info: VideoInfo, settings: EncodeSettings, scenes: Sequence[int] = ()) -> tuple[SegmentPlan, ...]:
    """The segments of a video, in order: parameters and bytes are shared out by frames.

    `scenes` are the frames that begin a new scene. Where segments are chained, all have the architecture that suits one
    of mean length, and of one scene. Raises `SettingsError` where a segment's share is too small for any network.
    """
    planned, starts = [], [*cuts(info, settings.segment, scenes), info.frame_count]
    mean = ceil(info.frame_count / (len(starts) - 1))
    common = None if settings.chain == 1 else decoder_config(cut(info, (), range(mean))[0], settings, whole=info)
    parts = list(map(range, starts, starts[1:]))
    for numbers, warm in zip(parts, warm_starts(parts, scenes, settings.chain), strict=True):
        part, _ = cut(info, (), numbers)
        inner = [scene - numbers.start for scene in scenes if numbers.start < scene < numbers.stop]
        config = common or decoder_config(part, settings, whole=info, scenes=inner)
        inside = [end not in (0, info.frame_count, *scenes) for end in (numbers.start, numbers.stop)]
        planned.append(SegmentPlan(numbers, part, config, warm, (inside[0], inside[1])))
    return tuple(planned)


def warm_starts(parts: Sequence[range], scenes: Sequence[int], chain: int) -> list[bool]:
    """Whether each part starts with the network of the one before it, where at most `chain` do so in a row.

    What was learned of another scene does more harm than good, so only one does that still shows, for half of its
    frames at least, the scene in which the one before it ends.
    """
    warm: list[bool] = []
    for number, part in enumerate(parts):
        change = min((scene for scene in scenes if scene >= part.start), default=part.stop)
        full = number + 1 >= chain and all(warm[number - chain + 1 :])
        warm.append(number > 0 and not full and 2 * (change - part.start) >= len(part))
    return warm


def chains(segments: Sequence[SegmentPlan]) -> list[list[SegmentPlan]]:
    """Those that have to be fitted one after the other: a cold segment and the warm ones after it."""
    found: list[list[SegmentPlan]] = []
    for segment in segments:
        if segment.warm:
            found[-1].append(segment)
        else:
            found.append([segment])
    return found


def cuts(info: VideoInfo, segment: Segmentation, scenes: Sequence[int]) -> list[int]:
    """The first frame of each segment: after so many frames, after so many seconds, or where it costs least ("auto").

    Frames that share a network share its bytes, so segments are as long as memory allows: no more are made than have
    room in `MOST_BYTES` each, all of about one length, and borders moved to where a scene begins.
    """
    frames, longest, starts = info.frame_count, _longest(info), [0]
    if is_one(info, segment):
        return starts
    if isinstance(segment, int):
        return list(range(0, frames, segment))
    if isinstance(segment, str) and segment != "auto":
        return _by_time(info, seconds_of(segment))
    while frames - starts[-1] > longest:
        start, left = starts[-1], frames - starts[-1]
        ideal = start + round(left / ceil(left / longest))
        near = [number for number in scenes if start + longest // 2 < number <= start + longest]
        starts.append(min(near, key=lambda number: abs(number - ideal), default=ideal))
    return starts


def asks_for_scenes(info: VideoInfo, settings: EncodeSettings) -> bool:
    """Whether it matters where scenes begin: for borders of segments, or as each is to have a canvas of its own."""
    return not is_one(info, settings.segment) or has_canvases(settings)


def has_canvases(settings: EncodeSettings) -> bool:
    """Whether each scene is to have a canvas; segments of a chain have one each, as all are of one architecture."""
    return LAYOUTS[settings.model].moving and settings.chain == 1


def is_one(info: VideoInfo, segment: Segmentation) -> bool:
    """Whether all frames of a video share a network wherever its scenes begin."""
    return segment is None or (segment == "auto" and info.frame_count <= _longest(info))


def _longest(info: VideoInfo) -> int:
    """How many frames have room in `MOST_BYTES`."""
    return max(1, MOST_BYTES // PictureFormat(info.height, info.width).size)


def _by_time(info: VideoInfo, seconds: Fraction) -> list[int]:
    """The first frame that begins in each of the intervals of so many seconds."""
    starts, last = [], -1
    for number, time in enumerate(info.timestamps):
        interval = floor(time * info.time_base / seconds)
        if interval > last or number == 0:
            starts.append(number)
        last = max(interval, last)
    return starts


def shares(room: int, segments: Sequence[SegmentPlan]) -> list[int]:
    """What each segment may take of `room` bytes, by its frames; together that is all of it."""
    frames = segments[-1].numbers.stop
    return [room * each.numbers.stop // frames - room * each.numbers.start // frames for each in segments]


def decoder_config(
    info: VideoInfo, settings: EncodeSettings, *, whole: VideoInfo | None = None, scenes: Sequence[int] = ()
) -> DecoderConfig:
    """The architecture for a video, or for a part of a `whole` one, which a size and a target in bytes are of.

    `scenes` are the frames that begin one, counted in the part. Raises `SettingsError` where the budget is too small.
    """
    from snerv_codec.model.sizing import choose_config, decoder_parameters, embedding_parameters

    target = settings.target_bytes(whole or info)
    if target is not None and whole is not None:
        target = target * info.frame_count // whole.frame_count
    config = choose_config(
        info.height,
        info.width,
        info.frame_count,
        _size(info, settings, target, whole or info),
        channels=settings.channels,
        blocks=settings.blocks,
        scenes=scenes,
        **_parts(settings),
    )
    values = decoder_parameters(config) + embedding_parameters(config, info.frame_count)
    if values > MAX_SEGMENT_VALUES:
        raise SettingsError(
            f"{values:,} parameters are more than the {MAX_SEGMENT_VALUES:,} that a file can hold; "
            "lower `size` (`channels`, `blocks`), or encode fewer frames"
        )
    if target is not None:
        require_room(target, values)
    return config


def _size(info: VideoInfo, settings: EncodeSettings, target: int | None, whole: VideoInfo) -> int:
    """Number of parameters: as asked for, as many as the target has bits for, or what suits the video."""
    from snerv_codec.model.sizing import parse_size

    if settings.size is not None:
        return parse_size(str(settings.size)) * info.frame_count // whole.frame_count
    if target is None:
        return max(suiting_size(info, settings), _least(info, settings))
    return size_for(target, settings.model)


def _least(info: VideoInfo, settings: EncodeSettings) -> int:
    """Parameters of the smallest model for the video: one channel wide."""
    from snerv_codec.model.sizing import choose_config, model_cost

    size = suiting_size(info, settings)
    config = choose_config(info.height, info.width, info.frame_count, size, channels=1, **_parts(settings))
    return model_cost(config, info.frame_count).total_parameters


def _parts(settings: EncodeSettings) -> dict[str, Any]:
    """What is asked for of the architecture, whatever its size."""
    return {name: getattr(settings, name) for name in ("strides", "embedding", "model", "temporal_size")}
