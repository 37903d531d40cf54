"""What a user may ask of an encode. Never stored in the file, except as a line of text."""

from dataclasses import dataclass, field
from fractions import Fraction

from bitstream.types import MAX_BITS
from snerv_codec.errors import SettingsError
from snerv_codec.training.settings import FitSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceSettings:
    """Which frames of the input: see `media.reader.open_source`."""

    stream: int | None = None
    crop: tuple[int, int] | None = None  # (height, width), centred
    frames: tuple[int, int | None] | None = None  # (start, stop)
    rate: Fraction | None = None
    video_size: tuple[int, int] | None = None  # (width, height) of raw .yuv
    pix_fmt: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodeSettings:
    """All choices of an encode. `size` is the number of parameters, embeddings included ("3M", "350k")."""

    size: str = "3M"
    channels: int | None = None
    blocks: int | None = None
    strides: tuple[int, ...] | None = None
    weight_bits: int = 8
    embed_bits: int = 6
    device: str = "auto"
    fit: FitSettings = field(default_factory=FitSettings)
    source: SourceSettings = field(default_factory=SourceSettings)

    def __post_init__(self) -> None:
        for name in ("weight_bits", "embed_bits"):
            bits = getattr(self, name)
            if not 1 <= bits <= MAX_BITS:
                raise SettingsError(f"{name.replace('_', '-')} {bits} is not in 1..{MAX_BITS}")
