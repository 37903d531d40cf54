"""What writing a video takes of memory, besides the frames that are given to the writer."""

from pathlib import Path

from snerv_codec.bitstream.types import VideoInfo
from snerv_codec.media.writer import DEFAULT_PRESET, FFV1, H264

# What x264 holds back by preset: frames that it looks ahead, frames between two others, references.
HELD = {
    "ultrafast": 0 + 0 + 1,
    "superfast": 0 + 3 + 1,
    "veryfast": 10 + 3 + 1,
    "faster": 20 + 3 + 2,
    "fast": 30 + 3 + 2,
    "medium": 40 + 3 + 3,
    "slow": 50 + 3 + 5,
    "slower": 60 + 3 + 8,
    "veryslow": 60 + 8 + 16,
}
THREADS_A_CORE = 1.5  # of x264, each with a frame
# Bytes for each pixel, as measured: of a frame that is held, with all that is known of it, in 4:2:0 and in 4:4:4; and
# of what there is once, conversion included.
HELD_FRAME = {True: 4, False: 7}
ONCE = {**dict.fromkeys(H264, 35), **dict.fromkeys(FFV1, 90)}
ONCE_ELSEWHERE = 16


def writing_memory(output: str | Path, info: VideoInfo, preset: str | None, cores: int) -> int:
    """Bytes that `media.writer.open_writer` takes for `output`, of which the suffix counts, on so many cores."""
    kind, pixels = Path(output).suffix.lower(), info.width * info.height
    held = 0
    if kind in H264:
        frames = HELD.get(preset or DEFAULT_PRESET, max(HELD.values())) + round(THREADS_A_CORE * cores)
        held = HELD_FRAME[info.width % 2 == info.height % 2 == 0] * min(frames, info.frame_count)
    return pixels * (ONCE.get(kind, ONCE_ELSEWHERE) + held)
