"""The main path: a video to a `.snrv` file, and the file alone to the video again."""

import time
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from snerv_codec.bitstream import nnc
from snerv_codec.bitstream.container import Source, StreamWriter
from snerv_codec.bitstream.errors import contradictions_are_corrupt, naming
from snerv_codec.bitstream.segmentsection import CodedSegment
from snerv_codec.encoding.footage import Footage, read_footage
from snerv_codec.encoding.planning import make_plan
from snerv_codec.encoding.prediction import track_bytes
from snerv_codec.encoding.segmentation import SegmentPlan, plan_segments
from snerv_codec.encoding.workdir import open_work
from snerv_codec.errors import OutputError, SettingsError
from snerv_codec.evaluation import vmaf
from snerv_codec.evaluation.metrics import Quality, bits_per_pixel, bits_per_second, mean_quality
from snerv_codec.events import Event, FrameDone, Planned, Warned
from snerv_codec.media.rehearsal import told_outputs
from snerv_codec.media.room import writing_memory
from snerv_codec.media.source import name_of
from snerv_codec.media.timeline import cut, cut_to, multiplied, select
from snerv_codec.media.writer import KINDS, open_writer
from snerv_codec.report import DecodeReport, EncodeReport
from snerv_codec.runtime.ahead import Timed, ahead
from snerv_codec.runtime.files import atomic_path, check_target
from snerv_codec.runtime.machine import available_cores, available_memory, memory_refused
from snerv_codec.runtime.precision import Precision
from snerv_codec.settings import EncodeSettings

if TYPE_CHECKING:
    from snerv_codec.encoding.outcome import Outcome

OnEvent = Callable[[Event], None]


def _ignore(event: Event) -> None:
    """The watcher of those who do not watch."""


@memory_refused("encoding", "lower `size` or `batch`, or crop the video (`crop`, `frames`)")
def encode(
    source: Any,
    output: str | Path,
    settings: EncodeSettings | None = None,
    *,
    overwrite: bool = False,
    resume: bool = False,
    workers: int | Literal["auto"] = 1,
    ray: str | None = None,
    on_event: OnEvent = _ignore,
    **choices: Any,
) -> EncodeReport:
    """Fit a model to the video `source` and write it to `output`; the report is of the file as decoded again.

    `source` is a video file, "-", a folder of images, raw .yuv, or frames as an array or tensor, uint8 RGB
    (T, H, W, 3) or (T, 3, H, W). Settings are an object or go by their names (`EncodeSettings.of`): an array needs its
    `rate`, in frames a second.

    Where the video is cut into segments, up to `workers` processes fit them side by side and share the cores; with one
    it is this process. Or the Ray cluster at the address `ray` fits them, "local" for one of this machine alone. On a
    CPU the bytes depend on the number of threads that fit a segment, not on where they run.

    An interrupted run leaves its state in a work directory beside the output; `resume` goes on from there.
    Raises `UserError` and its kinds; no error leaves an output or harms an older one.
    """
    from snerv_codec.encoding.outcome import settled, shortfall
    from snerv_codec.encoding.runner import run_jobs
    from snerv_codec.encoding.segment_job import SegmentJob, make_jobs

    started, settings, output = time.perf_counter(), EncodeSettings.either(settings, choices), Path(output)
    check_target(output, overwrite=overwrite, source=source if isinstance(source, str | PathLike) else None)
    if output.suffix.lower() in KINDS:
        raise OutputError(f"{output}: what encode writes is no {output.suffix} video; name it {output.stem}.snrv")
    if settings.entropy == "nnc":
        nnc.require()
    footage = read_footage(source, settings, memory=available_memory(), on_event=on_event)
    for message in (*footage.warnings, *told_outputs(footage.info, footage.tracks, footage.extras)):
        on_event(Warned(message))
    info, segments = footage.info, plan_segments(footage.info, settings, footage.scenes)
    if settings.target is not None and settings.target.kind == "vmaf":
        vmaf.require(info.width, info.height)
    on_event(Planned(make_plan(source, info, footage.tracks, segments, settings, footage.extras, workers)))
    planned = time.perf_counter()

    open_stream = partial(
        StreamWriter, video=info, tracks=footage.tracks, extras=footage.extras, summary=settings.summary()
    )
    rest = open_stream(lambda data: None).rest(len(segments))  # which tells before the fit what no file can hold
    with open_work(output, resume=resume, overwrite=overwrite) as work:
        check_target(output, overwrite=overwrite)  # another encode to it may have ended while this one was reading
        if not resume:
            work.drop_states()
        elif not work.holds_states():
            on_event(Warned(f"{work.directory}: holds no interrupted run; starting from the beginning"))
        jobs = make_jobs(footage, segments, settings, work, rest)
        fitted = run_jobs(jobs, workers=workers, ray=ray, on_event=on_event)
        trained, outcome = time.perf_counter(), settled(jobs, fitted, settings)
        with atomic_path(output, overwrite=overwrite) as beside:
            _write(beside, open_stream, map(SegmentJob.coded, jobs, outcome.chosen))
            measured = _measure(beside, footage, settings.device, on_event)
        work.finish()
    ended = time.perf_counter()
    seconds = {"fitting": trained - planned, "encoding": ended - planned, "total": ended - started}
    for message in shortfall(settings, outcome):
        on_event(Warned(message))
    return _report(output, footage, segments, outcome, measured, seconds)


@memory_refused("decoding", "use a machine with more memory")
def decode(
    source: Source,
    output: str | Path,
    *,
    frames: tuple[int, int | None] | None = None,
    rate: int = 1,
    audio: bool = True,
    subtitles: bool = True,
    device: str = "auto",
    batch: int | None = None,
    precision: Precision = "auto",
    workers: int | Literal["auto"] = 1,
    crf: int | None = None,
    preset: str | None = None,
    overwrite: bool = False,
    on_event: OnEvent = _ignore,
) -> DecodeReport:
    """Turn the `.snrv` file `source`, a path, bytes or a file object, into a video; `frames` selects (start, stop).

    `rate` 2 inserts a frame between any two, 3 inserts two, and so on, by blending their embeddings; the
    duration stays, and the sound in step. So many `workers` compute frames side by side, "auto" for one on each CUDA
    device, or on each core. `audio` and `subtitles` false leave these out. `output`
    decides the kind: see `media.writer.open_writer`. Raises `BitstreamError` for a bad file and `UserError` and its
    kinds; nothing half-written is left.
    """
    from snerv_codec.decoding import CUDA_BATCH
    from snerv_codec.teamwork import open_team

    started = time.perf_counter()
    if str(output) != "-":
        path = source if isinstance(source, str | PathLike) else None
        check_target(Path(output), overwrite=overwrite, folder=Path(output).suffix == "", source=path)
    batch = CUDA_BATCH if batch is None else batch
    with open_team(source, workers, device=device, batch=batch, precision=precision) as team:
        decoder = team.first
        chosen = select(frames, len(decoder))
        writing = writing_memory(output, decoder.info, preset, available_cores())
        team.require_memory(chosen, besides=writing + decoder.tracks_memory)
        wanted = {"audio": audio, "subtitle": subtitles}
        damage: list[str] = []
        tracks = tuple(track for track in decoder.tracks(damage) if wanted[track.kind])
        with naming(source if isinstance(source, str | PathLike) else ""), contradictions_are_corrupt():
            info, tracks = cut(decoder.info, tracks, chosen)
            extras = cut_to(decoder.extras(damage), decoder.info, chosen)
        for message in damage:
            on_event(Warned(f"{message}; what it holds of sound, subtitles and the like is left out"))
        info = multiplied(info, rate)
        numbers = range(rate * chosen.start, rate * (chosen.stop - 1) + 1)
        with open_writer(
            output, info, tracks=tracks, extras=extras, crf=crf, preset=preset, overwrite=overwrite
        ) as writer:
            for done, frame in enumerate(ahead(team.frames(numbers, rate)), start=1):
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

    with Decoder(source, device=device, precision="float32") as decoder:
        expected, differing = decoder.checksums(), []
        if not expected:
            raise SettingsError(f"{source}: holds no frame checksums; verify it without `decode`")
        for number, frame in enumerate(decoder):
            if zlib.crc32(frame.data) != expected[number]:
                differing.append(number)
            on_event(FrameDone("verify", number + 1, len(decoder)))
    return differing


def _write(path: Path, open_stream: Callable[..., StreamWriter], segments: Iterable[CodedSegment]) -> None:
    """The file at `path`, of these segments."""
    with path.open("wb") as file:
        stream = open_stream(file.write)
        for segment in segments:
            stream.add(segment)
        stream.finish()


class _Measured(NamedTuple):
    """Quality of the fitted frames, and of those between them if there are some; `seconds` of decoding the former."""

    quality: Quality
    interpolated: Quality | None
    seconds: float


def _measure(path: Path, footage: Footage, device: str, on_event: OnEvent) -> _Measured:
    """The file on disk against the frames that were fitted, and against those between them.

    The seconds are counted from opening the file on, without those of measuring.
    """
    from snerv_codec.decoding import Decoder

    start = time.perf_counter()
    with Decoder(path, device=device, precision="float32") as decoder:
        decoded = Timed(decoder)
        decoded.seconds = time.perf_counter() - start
        told = _teller("measure", len(footage.numbers), on_event)
        fitted = mean_quality(footage.pictures(), decoded, known=footage.known, on_frame=told)
        if footage.gaps == 0:
            return _Measured(fitted, None, decoded.seconds)
        inserted = decoder.frames(range(1, 2 * footage.gaps, 2), rate=2)
        told = _teller("interpolate", footage.gaps, on_event)
        between = mean_quality(footage.between(), inserted, on_frame=told)
        return _Measured(fitted, between, decoded.seconds)


def _report(
    output: Path,
    footage: Footage,
    segments: Sequence[SegmentPlan],
    outcome: "Outcome",
    measured: _Measured,
    seconds: Mapping[str, float],
) -> EncodeReport:
    """What came of an encode; the configuration is that of the longest segment."""
    info, size = footage.info, output.stat().st_size
    return EncodeReport(
        output=str(output),
        source=name_of(footage.source),
        config=max(segments, key=lambda segment: len(segment.numbers)).config,
        target=footage.settings.target,
        reached=outcome.reached,
        worst_psnr=outcome.worst_psnr,
        frames=info.frame_count,
        bytes_total=size,
        bytes_tracks=track_bytes(footage.tracks, footage.extras),
        bpp=bits_per_pixel(size, info.width, info.height, info.frame_count),
        bitrate=bits_per_second(size, info.duration),
        quality=measured.quality,
        interpolated=measured.interpolated,
        known=1.0 if footage.known is None else float(footage.known.mean()),
        fitted_psnr=outcome.results["fit"],
        pruned_psnr=outcome.results["prune"],
        estimated_bytes=outcome.estimated_bytes,
        bytes_symbols=outcome.symbol_bytes,
        seconds_fitting=seconds["fitting"],
        seconds_encoding=seconds["encoding"],
        seconds_decoding=measured.seconds,
        seconds_total=seconds["total"],
    )


def _teller(task: str, frames: int, on_event: OnEvent) -> Callable[[int], None]:
    """Passes on how many of so many frames are done."""
    return lambda done: on_event(FrameDone(task, done, frames))
