"""The main path: a video to a `.snrv` file, and the file alone to the video again."""

import time
import zlib
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING

from bitstream.container import write_stream
from bitstream.types import DecoderConfig, Segment, SideTrack, Stream, VideoInfo
from snerv_codec.errors import OutputError, SettingsError
from snerv_codec.events import Event, FrameDone, Planned, Warned
from snerv_codec.files import atomic_path, check_target
from snerv_codec.machine import available_memory, choose_device, require_memory
from snerv_codec.media.reader import read_video
from snerv_codec.media.tracks import cut_tracks
from snerv_codec.media.writer import open_writer
from snerv_codec.metrics import Frames, bits_per_pixel, bits_per_second, ms_ssim, psnr
from snerv_codec.planning import decoder_config, make_plan
from snerv_codec.report import DecodeReport, EncodeReport, Quality
from snerv_codec.settings import EncodeSettings

if TYPE_CHECKING:
    from snerv_codec.training.checkpoint import Checkpoint
    from snerv_codec.training.frames import FrameSet
    from snerv_codec.training.trainer import Trainer

OnEvent = Callable[[Event], None]


def _ignore(event: Event) -> None:
    """The watcher of those who do not watch."""


def encode(
    source: str | Path,
    output: str | Path,
    settings: EncodeSettings | None = None,
    *,
    overwrite: bool = False,
    resume: bool = False,
    on_event: OnEvent = _ignore,
) -> EncodeReport:
    """Fit a model to the video `source` and write it to `output`; the report is of the file as decoded again.

    An interrupted run leaves its state in a work directory beside the output; `resume` goes on from there.
    Raises `UserError` and its kinds; no error leaves an output or harms an older one.
    """
    from snerv_codec.compression.packing import pack_segment

    started, settings, output = time.perf_counter(), settings or EncodeSettings(), Path(output)
    check_target(output, overwrite=overwrite, source=source)
    video = read_video(source, settings.source, memory=available_memory())
    config = decoder_config(video.info, settings)
    on_event(Planned(make_plan(str(source), video.info, config, settings)))
    frames = video.frames
    trainer = _fit(frames, config, settings, output, resume=resume, overwrite=overwrite, on_event=on_event)
    fitted = time.perf_counter()
    segment = pack_segment(
        trainer.decoder,
        config,
        trainer.embeddings(),
        trainer.frames.ll_ranges,
        weight_bits=settings.weight_bits,
        embed_bits=settings.embed_bits,
    )
    fitted_psnr, pruned_psnr = trainer.results["fit"], trainer.results["prune"]
    del trainer  # what follows needs the memory
    stream = Stream(
        video=video.info,
        segments=(_with_checksums(segment, video.info, settings.device),),
        tracks=video.tracks,
        summary=_summary(settings),
    )
    with atomic_path(output, overwrite=overwrite) as beside:
        beside.write_bytes(write_stream(stream))
        decoding = time.perf_counter()
        quality = _measure(beside, frames, settings.device, on_event)
    _checkpoint(output, {}).remove()
    ended = time.perf_counter()
    return EncodeReport(
        output=str(output),
        source=str(source),
        config=config,
        frames=len(frames),
        bytes_total=output.stat().st_size,
        bytes_tracks=sum(len(packet.data) for track in stream.tracks for packet in track.packets),
        bpp=bits_per_pixel(output.stat().st_size, video.info.width, video.info.height, len(frames)),
        bitrate=bits_per_second(output.stat().st_size, video.info.duration),
        quality=quality,
        fitted_psnr=fitted_psnr,
        pruned_psnr=pruned_psnr,
        seconds_fitting=fitted - started,
        seconds_decoding=ended - decoding,
        seconds_total=ended - started,
    )


def decode(
    source: str | Path,
    output: str | Path,
    *,
    frames: tuple[int, int | None] | None = None,
    device: str = "auto",
    batch: int | None = None,
    crf: int | None = None,
    preset: str | None = None,
    overwrite: bool = False,
    on_event: OnEvent = _ignore,
) -> DecodeReport:
    """Turn the `.snrv` file `source` into a video, of which `frames` selects (start, stop).

    `output` decides the kind: see `media.writer.open_writer`. Raises `BitstreamError` for a bad file and
    `UserError` and its kinds; nothing half-written is left.
    """
    from snerv_codec.decoding import Decoder

    started = time.perf_counter()
    if str(output) != "-":
        check_target(Path(output), overwrite=overwrite, source=source)
    with Decoder(source, device=device, batch=batch) as decoder:
        numbers = _select(frames, len(decoder))
        info, tracks = _cut(decoder.info, decoder.tracks(), numbers)
        with open_writer(output, info, tracks=tracks, crf=crf, preset=preset, overwrite=overwrite) as writer:
            for done, frame in enumerate(decoder.frames(numbers), start=1):
                writer.write(frame)
                on_event(FrameDone("decode", done, len(numbers)))
        for message in writer.warnings:
            on_event(Warned(message))
    return DecodeReport(str(output), len(numbers), time.perf_counter() - started, tuple(writer.warnings))


def differing_frames(source: str | Path, *, device: str = "auto", on_event: OnEvent = _ignore) -> list[int]:
    """Numbers of the frames that decode to other pixels here than in the encoder.

    Raises `UserError` where the file holds no frame checksums.
    """
    from snerv_codec.decoding import Decoder

    with Decoder(source, device=device) as decoder:
        expected, differing = decoder.checksums(), []
        if not expected:
            raise SettingsError(f"{source}: holds no frame checksums; verify it without --decode")
        for number, frame in enumerate(decoder):
            if zlib.crc32(frame.data) != expected[number]:
                differing.append(number)
            on_event(FrameDone("verify", number + 1, len(decoder)))
    return differing


def _fit(
    frames: Frames,
    config: DecoderConfig,
    settings: EncodeSettings,
    output: Path,
    *,
    resume: bool,
    overwrite: bool,
    on_event: OnEvent,
) -> "Trainer":
    from snerv_codec.compression.prune import magnitude_masks
    from snerv_codec.training.trainer import Trainer

    identity = {"frames": zlib.crc32(frames.data), "config": asdict(config), **asdict(settings.fit)}
    checkpoint = _checkpoint(output, identity)
    if checkpoint.exists() and not (resume or overwrite):
        raise OutputError(
            f"{checkpoint.directory}: an interrupted run; use --resume to go on with it, --overwrite to drop it"
        )
    trainer = Trainer(_place(frames, config, settings), config, settings.fit)
    if resume and checkpoint.exists():
        trainer.restore(checkpoint.load())
    elif resume:
        on_event(Warned(f"{checkpoint.directory}: holds no interrupted run; starting from the beginning"))
    fit, prune = settings.fit.phases(config.model)
    trainer.run(fit, checkpoint=checkpoint, on_epoch=on_event)
    trainer.hold_zeros(magnitude_masks(trainer.decoder, settings.fit.prune))
    trainer.run(prune, checkpoint=checkpoint, on_epoch=on_event)
    return trainer


def _place(frames: Frames, config: DecoderConfig, settings: EncodeSettings) -> "FrameSet":
    """The frames where the fit reads them: on its device, or on the host where that has no room for them all."""
    import torch

    from snerv_codec.model.sizing import fitting_memory
    from snerv_codec.training.frames import FrameSet

    device, need = choose_device(settings.device), fitting_memory(config, settings.fit.batch)
    require_memory(need, device, "fitting", "lower --size or --batch, or crop the video with --crop")
    fits = need + frames.nbytes <= available_memory(device)
    on_host = torch.from_numpy(frames)
    return FrameSet(on_host.to(device) if fits else on_host, config, device)


def _checkpoint(output: Path, identity: Mapping[str, object]) -> "Checkpoint":
    from snerv_codec.training.checkpoint import Checkpoint

    return Checkpoint(output.with_name(output.name + ".work"), identity)


def _with_checksums(segment: Segment, info: VideoInfo, device: str) -> Segment:
    """The segment with the CRC-32 of each frame that it decodes to here."""
    from snerv_codec.decoding import SegmentPlayer

    player = SegmentPlayer(segment, info, choose_device(device))
    return replace(segment, frame_checksums=tuple(zlib.crc32(frame.data) for frame in player.play(player.numbers)))


def _measure(path: Path, frames: Frames, device: str, on_event: OnEvent) -> Quality:
    """Quality of the file on disk against the frames that were fitted."""
    from snerv_codec.decoding import Decoder

    errors, similarities = [], []
    with Decoder(path, device=device) as decoder:
        for number, (frame, decoded) in enumerate(zip(frames, decoder, strict=True)):
            errors.append(psnr(frame, decoded))
            similarities.append(ms_ssim(frame, decoded))
            on_event(FrameDone("measure", number + 1, len(frames)))
    known = [value for value in similarities if value is not None]
    return Quality(fmean(errors), fmean(known) if known else None)


def _summary(settings: EncodeSettings) -> str:
    """How the file was made, for people."""
    fit = settings.fit
    return f"snerv {version('snerv-codec')}: {fit.epochs} epochs, pruned {fit.prune:.0%}, seed {fit.seed}"


def _select(frames: tuple[int, int | None] | None, count: int) -> range:
    start, stop = frames or (0, None)
    stop = count if stop is None else stop
    if not 0 <= start < stop <= count:
        raise SettingsError(f"frames {start}:{stop} are not in a video of {count} frames")
    return range(start, stop)


def _cut(info: VideoInfo, tracks: tuple[SideTrack, ...], numbers: range) -> tuple[VideoInfo, tuple[SideTrack, ...]]:
    """The video and its tracks for these frames alone, from time 0; all frames keep their times."""
    if len(numbers) == info.frame_count:
        return info, tracks
    times = (*info.timestamps, info.timestamps[-1] + info.final_duration)
    start, end = times[numbers.start], times[numbers.stop]
    kept = tuple(time - start for time in times[numbers.start : numbers.stop])
    cut = replace(info, timestamps=kept, final_duration=end - start - kept[-1])
    return cut, cut_tracks(tracks, start * info.time_base, end * info.time_base)
