"""What a fit will end in before it is made: the file's bytes, the time.

The constants are seen on fits of two clips, `bunny-small` and `bikes-small` of the benchmarks, and carried on.
"""

import math
from collections.abc import Sequence

from snerv_codec.bitstream import nnc
from snerv_codec.bitstream.extras import NO_EXTRAS, Extras
from snerv_codec.bitstream.types import SideTrack, VideoInfo
from snerv_codec.encoding.pace import Pace
from snerv_codec.model.architectures import ARCHITECTURES
from snerv_codec.rate_control.budget import DOUBLING_PSNR, SUITING, wanted_psnr
from snerv_codec.report import makespan
from snerv_codec.settings import EncodeSettings

# Bits a weight that entropy coding saves, and those of an NNC bitstream at its default QP; four QPs are twice the step.
ENTROPY_GAIN = 0.3
NNC_BITS, QPS_A_BIT = 6.3, 4
# Bits a weight that recipe rd ends with for the parameters that suit a video, what twice the parameters and twice the
# rate weight take off them, and what a dB takes; and the share of these bits that a value of embeddings takes.
RD_BITS, RD_BITS_SIZE, RD_BITS_WEIGHT, RD_BITS_DB = 4.1, 0.65, 1.2, 1.0
RD_WEIGHT, RD_EMBEDDING = 0.01, 0.3
LEAST_RD_BITS, MOST_RD_BITS = 0.5, 6.0

# Bits a weight on the grids that a training for rate begins with, and steps in which it comes to a third of the way to
# those it ends with. Towards a target it need not go so slowly; there a fit of half the steps that are enough has less
# quality, by so many dB, and spends up to so many bits where it does not come near the target.
FIRST_RD_BITS, SETTLING = 5.8, 350.0
ENOUGH_STEPS, HALVING_PSNR, VAIN_RD_BITS = 580, 5.0, 8.2

FILE_BYTES, FRAME_BYTES = 2500, 8  # of a segment's grids and directory; of a frame's range and checksum
# Decoding each frame beside an epoch, as each phase does to be measured; so do checksums, and the file at the end. A
# target of quality looks before each epoch on grids, and at some roundings in the end.
MEASURE_TIME = 1 / 3
AT_THE_END, ROUNDINGS = 2, 6


def predicted_bytes(
    weights: int,
    embeddings: int,
    info: VideoInfo,
    tracks: Sequence[SideTrack],
    settings: EncodeSettings,
    extras: Extras = NO_EXTRAS,
    segments: int = 1,
    canvas: int = 0,
) -> int:
    """Bytes of the file: of the values, of what goes with the video, of times and headers; a target's if it is one.

    `weights`, of which so many are of a `canvas`, and `embeddings` are those of all segments, which are taken to be
    alike. Trained for rate, a canvas takes no more bits than the rest of the network, however fine it is.
    """
    limit = settings.target_bytes(info)
    if limit is not None:
        return limit
    if settings.fit.recipe == "rd":
        others = weights - canvas
        values = others + min(canvas, others) + RD_EMBEDDING * embeddings
        bits = values * _learned_bits(others / segments, info.frame_count / segments, info, settings)
    else:
        bits = weights * _weight_bits(settings) + embeddings * settings.fit.bits[1]
    return round(bits / 8) + track_bytes(tracks, extras) + FILE_BYTES * segments + FRAME_BYTES * info.frame_count


def track_bytes(tracks: Sequence[SideTrack], extras: Extras = NO_EXTRAS) -> int:
    """Bytes of sound, subtitles and attachments."""
    attached = sum(len(attachment.data) for attachment in extras.attachments)
    return sum(len(packet.data) for track in tracks for packet in track.packets) + attached


def predicted_seconds(lengths: Sequence[int], settings: EncodeSettings, pace: Pace, side_by_side: int = 1) -> float:
    """Time from the plan to the measured file, of so many frames each, at a `pace`.

    The `lengths` are those of chains of segments, of which so many are fitted `side_by_side`, each at that pace, the
    longest first.
    """
    phases = [phase for phase in settings.phases() if phase.epochs]
    on_grids = sum(phase.epochs for phase in phases if phase.grids)
    own = sum(phase.epochs - phase.encoded_epochs for phase in phases if phase.encoded_epochs is not None)
    looks = len(phases) + AT_THE_END - 1
    if settings.target is not None and settings.target.of_quality:
        looks += ROUNDINGS + on_grids
    plain = sum(phase.epochs for phase in phases) - on_grids + MEASURE_TIME * looks
    each = plain * pace.plain + (on_grids - own) * pace.grids + own * pace.own
    taken = [frames * each + on_grids * pace.preparing for frames in lengths]
    return makespan(sorted(taken, reverse=True), [0.0] * side_by_side) + MEASURE_TIME * pace.plain * sum(lengths)


def _weight_bits(settings: EncodeSettings) -> float:
    if settings.entropy == "nnc":
        return max(NNC_BITS - (settings.qp - nnc.DEFAULT_QP) / QPS_A_BIT, 0.5)
    return settings.fit.bits[0] - ENTROPY_GAIN


def _learned_bits(weights: float, frames: float, info: VideoInfo, settings: EncodeSettings) -> float:
    """Bits a weight of a segment where training weighs them: fewer for more weights, more for a target of quality."""
    doublings = math.log2(weights / (SUITING * math.sqrt(info.width * info.height * frames)))
    bits, wanted = RD_BITS - RD_BITS_SIZE * doublings, wanted_psnr(settings.target)
    known = ARCHITECTURES[settings.model]
    steps = frames / settings.fit.batch * sum(phase.epochs for phase in settings.phases())
    if wanted is not None:
        missing = HALVING_PSNR * max(0.0, math.log2(ENOUGH_STEPS / steps))
        bits += RD_BITS_DB * (wanted - known.psnr - DOUBLING_PSNR * doublings + missing)
    elif settings.rate_weight > 0:
        bits -= RD_BITS_WEIGHT * math.log2(settings.rate_weight / RD_WEIGHT)
    most = MOST_RD_BITS if wanted is None else VAIN_RD_BITS
    bits = min(most, max(LEAST_RD_BITS, bits * known.bits))
    return bits if wanted is not None else bits + (FIRST_RD_BITS - bits) * math.exp(-steps / SETTLING)
