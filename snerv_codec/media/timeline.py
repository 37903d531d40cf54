"""Which frames, and when: cutting, thinning and multiplying the frames of a video, with its sound in step."""

from dataclasses import replace
from itertools import pairwise

from snerv_codec.bitstream.extras import Extras
from snerv_codec.bitstream.types import MAX_FRAMES, SideTrack, VideoInfo
from snerv_codec.errors import SettingsError
from snerv_codec.media.extras import cut_extras
from snerv_codec.media.tracks import cut_tracks


def select(frames: tuple[int, int | None] | None, count: int) -> range:
    """The frames (start, stop) of a video of `count`; None is all. Raises `SettingsError` where it lacks them."""
    start, stop = frames or (0, None)
    stop = count if stop is None else stop
    if not 0 <= start < stop <= count:
        raise SettingsError(f"frames {start}:{stop} are not in a video of {count} frames")
    return range(start, stop)


def cut(info: VideoInfo, tracks: tuple[SideTrack, ...], numbers: range) -> tuple[VideoInfo, tuple[SideTrack, ...]]:
    """The video and its tracks for these frames alone, from time 0; all frames keep their times."""
    if len(numbers) == info.frame_count:
        return info, tracks
    start, end = _ends(info, numbers)
    kept = [time - start for time in info.timestamps[numbers.start : numbers.stop]]
    part = replace(info, timestamps=kept, final_duration=end - start - kept[-1])
    return part, cut_tracks(tracks, start * info.time_base, end * info.time_base)


def cut_to(extras: Extras, info: VideoInfo, numbers: range) -> Extras:
    """What goes with these frames alone of a video, counted from their start."""
    if len(numbers) == info.frame_count:
        return extras
    start, end = (time * info.time_base for time in _ends(info, numbers))
    return cut_extras(extras, start, end, numbers.start, info.rate)


def _ends(info: VideoInfo, numbers: range) -> tuple[int, int]:
    """When the first of these frames is shown, and when the last one is not any more, in units of the time base."""
    times = info.timestamps
    whole = numbers.stop == len(times)
    return times[numbers.start], times[-1] + info.final_duration if whole else times[numbers.stop]


def odd_frames(info: VideoInfo) -> VideoInfo:
    """The first, third, fifth ... frame alone, each at its own time; the duration stays."""
    times = info.timestamps[::2]
    end = info.timestamps[-1] + info.final_duration
    return replace(info, timestamps=times, final_duration=end - times[-1], rate=info.rate / 2)


def multiplied(info: VideoInfo, factor: int) -> VideoInfo:
    """`factor` − 1 frames inserted between any two, at even distances; the duration stays.

    The last frame keeps its length, as nothing follows it: n frames become factor · (n − 1) + 1. Raises
    `SettingsError` where that is more than a video can have.
    """
    if factor < 1:
        raise SettingsError(f"rate {factor}x is below 1x")
    count = factor * (info.frame_count - 1) + 1
    if count > MAX_FRAMES:
        raise SettingsError(f"rate {factor}x: {count:,} frames are more than the {MAX_FRAMES:,} of a video")
    times = []
    for first, second in pairwise(info.timestamps):
        times += [factor * first + step * (second - first) for step in range(factor)]
    times.append(factor * info.timestamps[-1])
    try:
        return replace(
            info,
            time_base=info.time_base / factor,
            timestamps=times,
            final_duration=factor * info.final_duration,
            rate=info.rate * factor,
        )
    except ValueError as error:
        raise SettingsError(f"rate {factor}x: {error}") from error
