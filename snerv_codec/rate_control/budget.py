"""How many parameters a video takes: what its pixels, a target of quality or a target in bytes ask for.

The constants are seen on fits of two clips, `bunny-small` and `bikes-small` of the benchmarks, and carried on.
"""

import math

from snerv_codec.bitstream.models import Model
from snerv_codec.bitstream.types import VideoInfo
from snerv_codec.errors import SettingsError
from snerv_codec.model.architectures import ARCHITECTURES
from snerv_codec.rate_control.targets import Target
from snerv_codec.settings import EncodeSettings

# Parameters that suit a video: what is alike from frame to frame and within a frame is learned once.
SUITING = 103.0  # times the root of all its pixels, with recipe rd at its default rate weight
DOUBLING_PSNR = 1.75  # dB that twice the parameters add
# PSNR in dB of frames of so much VMAF, about, and how many dB halve what is missing to 100.
KNOWN_VMAF, KNOWN_PSNR = 79.0, 30.0
HALVING_VMAF, LEAST_MISSING = 3.7, 1.0
STRETCH = 8.0  # by how much at most a target of quality makes a model larger or smaller
LEAST_BITS = 0.5  # a value, below which a target is not tried


def suiting_size(info: VideoInfo, settings: EncodeSettings) -> int:
    """The number of parameters for a video where nobody says: more for a higher target of quality."""
    size = SUITING * math.sqrt(info.width * info.height * info.frame_count)
    wanted = wanted_psnr(settings.target)
    if wanted is not None:
        missing = wanted - ARCHITECTURES[settings.model].psnr
        doublings = missing / (2 * DOUBLING_PSNR)  # the other half comes from the rate
        size *= min(STRETCH, max(1 / STRETCH, 2**doublings))
    return round(size)


def wanted_psnr(target: Target | None) -> float | None:
    """The PSNR in dB that a target of quality asks for, about; None for other targets, or none."""
    if target is None or not target.of_quality:
        return None
    if target.kind == "psnr":
        return target.value
    missing = max(100 - target.value, LEAST_MISSING)
    return KNOWN_PSNR + HALVING_VMAF * math.log2((100 - KNOWN_VMAF) / missing)


def size_for(limit: int, model: Model) -> int:
    """The number of parameters with which a file of at most `limit` bytes is best met."""
    return max(1, round(8 * limit / ARCHITECTURES[model].target_bits))


def require_room(room: int, values: int) -> None:
    """Raise `SettingsError` where a target leaves too few bytes, `room`, for so many values of a model."""
    bits = max(8 * room / values, 0)
    if bits < LEAST_BITS:
        raise SettingsError(
            f"besides sound, times and headers the target leaves {max(room, 0):,} bytes, {bits:.2g} bits for each of "
            f"the model's {values:,} values, too few for any picture; lower `size` (`channels`, `blocks`), or raise "
            "the target"
        )
