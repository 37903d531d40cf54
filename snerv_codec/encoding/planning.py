"""Before the work: which frames, which architecture, and what it will cost."""

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from math import prod
from pathlib import Path
from typing import Any, Literal

from snerv_codec.bitstream.extras import NO_EXTRAS, Extras
from snerv_codec.bitstream.types import SideTrack, VideoInfo
from snerv_codec.encoding.footage import read_footage
from snerv_codec.encoding.pace import measure_pace
from snerv_codec.encoding.prediction import predicted_bytes, predicted_seconds, track_bytes
from snerv_codec.encoding.segmentation import SegmentPlan, chains, plan_segments
from snerv_codec.events import Event, Warned
from snerv_codec.media.picture import PictureFormat
from snerv_codec.media.reader import open_video
from snerv_codec.media.rehearsal import told_outputs
from snerv_codec.media.source import Selection, name_of
from snerv_codec.report import Plan
from snerv_codec.runtime.machine import (
    available_memory,
    choose_device,
    devices_to_share,
    threads_each,
    worker_count,
)
from snerv_codec.settings import EncodeSettings


def plan(
    source: Any,
    settings: EncodeSettings | None = None,
    *,
    workers: int | Literal["auto"] = 1,
    on_event: Callable[[Event], None] = lambda event: None,
    **choices: Any,
) -> Plan:
    """What `encode` would do with `source`, without fitting anything; settings as there. `on_event` hears warnings,
    and of frames that were read.

    The time is that of so many `workers`.
    """
    settings = EncodeSettings.either(settings, choices)
    footage = read_footage(source, settings, memory=available_memory(), keep=False, on_event=on_event)
    for message in (*footage.warnings, *told_outputs(footage.info, footage.tracks, footage.extras)):
        on_event(Warned(message))
    segments = plan_segments(footage.info, settings, footage.scenes)
    return make_plan(source, footage.info, footage.tracks, segments, settings, footage.extras, workers)


def make_plan(
    source: Any,
    info: VideoInfo,
    tracks: Sequence[SideTrack],
    segments: Sequence[SegmentPlan],
    settings: EncodeSettings,
    extras: Extras = NO_EXTRAS,
    workers: int | Literal["auto"] = 1,
) -> Plan:
    """What fitting the segments of a video takes, by so many `workers`, and about what it gives."""
    from snerv_codec.model.sizing import decoding_memory, fitting_memory, model_cost

    costs = [model_cost(segment.config, segment.info.frame_count) for segment in segments]
    longest = max(segments, key=lambda segment: segment.info.frame_count)
    config, cost, batch = longest.config, costs[segments.index(longest)], settings.fit.batch
    weights, embeddings = (
        sum(getattr(each, f"{part}_parameters") for each in costs) for part in ("decoder", "embedding")
    )
    canvas = sum(segment.config.canvas_values for segment in segments)
    taken = predicted_bytes(weights, embeddings, info, tracks, settings, extras, len(segments), canvas)
    sound, in_order = track_bytes(tracks, extras), chains(segments)
    given = selected_bytes(source, settings.source, sound)
    side_by_side, threads = _side_by_side(len(in_order), settings, workers)
    lengths = [sum(each.info.frame_count for each in chain) for chain in in_order]
    pace = measure_pace(config, settings, threads)
    return Plan(
        source=name_of(source),
        width=info.width,
        height=info.height,
        frames=info.frame_count,
        rate=f"{float(info.rate):g}",
        segments=tuple((segment.numbers.start, segment.info.frame_count) for segment in segments),
        chains=tuple(map(len, in_order)),
        device=str(choose_device(settings.device)),
        model=config.model,
        widths=config.widths,
        kernels=config.kernels,
        blocks=config.blocks,
        strides=config.strides,
        embedding_shape=config.embedding_shape,
        temporal_shape=config.temporal_shape,
        canvas=config.canvas,
        scenes=config.scenes,
        decoder_parameters=weights,
        embedding_parameters=embeddings,
        encoder_parameters=cost.encoder_parameters,
        total_parameters=weights + embeddings,
        decoder_macs=cost.decoder_macs,
        encoder_macs=cost.encoder_macs,
        padding=prod(config.padded_size) / (info.width * info.height) - 1,
        epochs=sum(phase.epochs for phase in settings.phases()),
        phases=tuple((phase.name, phase.epochs) for phase in settings.phases() if phase.epochs),
        batch=min(batch, longest.info.frame_count),
        size_given=settings.sized,
        target_given=settings.target is not None,
        recipe=settings.fit.recipe,
        input_bytes=input_bytes(source),
        selected_bytes=given,
        track_bytes=sound,
        predicted_bytes=taken,
        predicted_share=None if given is None else taken / given,
        predicted_seconds=predicted_seconds(lengths, settings, pace, side_by_side),
        video_memory=PictureFormat(info.height, info.width).size * longest.info.frame_count,
        fitting_memory=fitting_memory(config, min(batch, longest.info.frame_count)),
        decoding_memory=decoding_memory(config, cost.total_parameters, 1),
    )


def _side_by_side(chains: int, settings: EncodeSettings, workers: int | Literal["auto"]) -> tuple[int, int | None]:
    """How many of the `chains` are fitted at a time, and with how many threads each (None: all that there are).

    Workers on one GPU share its time, so they count as one.
    """
    count = min(worker_count(workers, settings.device), chains)
    if choose_device(settings.device).type != "cpu":
        return max(1, min(count, len(devices_to_share(settings.device)) or 1)), None
    return count, None if count == 1 else threads_each(count)


def selected_bytes(source: Any, selection: Selection, sound: int) -> int | None:
    """About what the selected frames and pixels take of a file, with so many bytes of sound; None where none can tell.

    Frames are taken to be alike, and pixels too.
    """
    whole = input_bytes(source)
    if whole is None or (selection.frames is None and selection.crop is None):
        return whole
    with open_video(source, replace(selection, frames=None, crop=None), tracks=False) as video:
        count, pixels = video.expected, prod(video.source_size)
    if selection.frames is not None:
        if count is None:
            return None
        start, stop = selection.frames
        whole = whole * max(0, min(stop or count, count) - start) // count
    if selection.crop is not None:
        kept = min(sound, whole)
        whole = kept + (whole - kept) * prod(selection.crop) // pixels
    return whole or None


def input_bytes(source: Any) -> int | None:
    """What a file, or the files of a folder, take on the disk; None for what comes from elsewhere."""
    if not isinstance(source, str | os.PathLike) or str(source) == "-":
        return None
    path = Path(source)
    if path.is_dir():
        return sum(each.stat().st_size for each in path.iterdir() if each.is_file())
    return path.stat().st_size
