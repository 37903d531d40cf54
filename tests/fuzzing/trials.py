"""What users do with a file, done with a forged one: a result or one clear error, soon and in little memory."""

import json
import re
import time
import warnings
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from random import Random

import av.logging

from snerv_codec import codec
from snerv_codec.bitstream.container import StreamFile, read_stream, write_stream
from snerv_codec.bitstream.errors import BitstreamError
from snerv_codec.bitstream.models import DecoderConfig
from snerv_codec.cli import info
from snerv_codec.decoding import Decoder
from snerv_codec.errors import UserError
from snerv_codec.model.sizing import decoding_memory

SECONDS = 4.0  # of processor time that an input may take
MEMORY = 200 << 20  # bytes that it may take
DECODED = 100 << 20  # stated bytes up to which frames are decoded
WRITTEN = 1 << 20  # values of frames that are written
KINDS = (".mkv", ".mp4", ".mov", ".y4m", ".png", "")
INTERNALS = re.compile(
    r"reshape|broadcast|ndarray|dtype|NoneType|object at 0x|unpack|slice|len\(|int64|Invalid argument"
)
STATUS = Path("/proc/self/status")


class Fault(Exception):
    """What no file should bring about."""


def attempt(data: bytes, number: int, folder: Path) -> set[str]:
    """Read and describe the forged file `data`, and write, decode or convert it; the names of the outcomes of each.

    `number` decides which of these, and which frames and outputs, which go to `folder`. Raises `Fault`.
    """
    random, before, start = Random(number), _peak(reset=True), time.process_time()
    more = (_rewrite, _play, _convert)[number % 3]
    said = {_outcome(use, data, random, folder) for use in (_inspect, more)}
    seconds, memory = time.process_time() - start, _peak() - before
    if seconds > SECONDS:
        raise Fault(f"{seconds:.1f} s of processor time")
    if memory > MEMORY:
        raise Fault(f"{memory >> 20} MiB of memory")
    return said


def _outcome(use: Callable[[bytes, Random, Path], None], data: bytes, random: Random, folder: Path) -> str:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            use(data, random, folder)
    except (BitstreamError, UserError) as error:
        if len(str(error).splitlines()) != 1 or INTERNALS.search(str(error)):
            raise Fault(f"a message of several lines, or of what is inside: {error}") from error
        return type(error).__name__
    except Exception as error:
        raise Fault(f"{use.__name__}: {type(error).__name__}: {error}") from error
    return use.__name__


def _inspect(data: bytes, random: Random, folder: Path) -> None:
    with StreamFile(data) as file:
        values = info._describe(Path("forged.snrv"), file.header)
        json.dumps(values)
        info._render(values)
        file.verify()
        file.read_tracks()
        file.read_extras()
        for number in range(len(file.header.segments)):
            file.read_segment(number)


def _rewrite(data: bytes, random: Random, folder: Path) -> None:
    stream = read_stream(data)
    assert read_stream(write_stream(stream)) == stream


def _play(data: bytes, random: Random, folder: Path) -> None:
    with Decoder(data, device="cpu") as decoder:
        repr(decoder)
        metadata = decoder.metadata
        if not _affordable(decoder):
            return
        frame = decoder[random.randrange(len(decoder))]
        assert frame.shape == (decoder.info.height, decoder.info.width, 3)
        decoder.get_frames_at([0, -1])
        for seconds in (metadata.begin_stream_seconds, metadata.end_stream_seconds, 0.0):
            with suppress(IndexError):  # times that the video does not have
                decoder.get_frame_played_at(seconds)


def _convert(data: bytes, random: Random, folder: Path) -> None:
    with StreamFile(data) as file:
        video = file.header.video
    with Decoder(data, device="cpu") as decoder:
        if not _affordable(decoder) or 3 * video.width * video.height > WRITTEN:
            return
    first = random.randrange(video.frame_count)
    frames = random.choice(((first, first + 1), (0, min(3, video.frame_count)), None))
    if frames is None and video.frame_count > 8:
        return
    output, rate = folder / f"out{random.choice(KINDS)}", random.choice((1, 1, 2, 3))
    codec.decode(data, output, frames=frames, rate=rate, device="cpu", overwrite=True)


def _affordable(decoder: Decoder) -> bool:
    """Whether decoding any segment is said to take little memory."""
    entries = decoder._file.header.segments
    known = [(each.config, each.value_count) for each in entries if isinstance(each.config, DecoderConfig)]
    return all(decoding_memory(*each, 1) < DECODED for each in known)


def _peak(*, reset: bool = False) -> int:
    """The most memory that the process had at any time, or since the last reset; 0 where nobody tells."""
    if not STATUS.exists():
        return 0
    if reset:
        with suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5")
    line = next(line for line in STATUS.read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) << 10


def quiet() -> None:
    """Let FFmpeg say nothing of what it is given."""
    av.logging.set_level(None)
