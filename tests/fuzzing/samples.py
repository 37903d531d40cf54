"""What forged files are made from, and those that were found."""

import sys
from pathlib import Path

from snerv_codec.bitstream.container import write_stream

sys.path.append(str(Path(__file__).parents[1] / "bitstream"))
from stream_samples import mixed, rich_stream, temporal_stream, tiny_stream

GOLDEN = Path(__file__).parents[1] / "golden"
SEEDS = Path(__file__).parent / "seeds"


def samples() -> list[bytes]:
    """Files that hold all that files can: synthetic ones, and small ones of real networks with sound."""
    made = [write_stream(stream()) for stream in (tiny_stream, temporal_stream, rich_stream)]
    return [*made, mixed(), *(path.read_bytes() for path in sorted(GOLDEN.glob("*.snrv")))]


def seeds() -> list[Path]:
    """Forged files that once brought about what they should not."""
    return sorted(SEEDS.glob("*.snrv"))
