"""SNeRV, an implicit neural video codec: a small network is fitted to one video and becomes the file.

    from snerv_codec import Decoder, decode, encode, evaluate

    report = encode("in.mp4", "out.snrv", size=1e6, epochs=50)
    encode(frames, "out.snrv", rate=25, target_psnr=34)    # an array or tensor, uint8 (T, H, W, 3) or (T, 3, H, W)
    decode("out.snrv", "again.mp4")
    decoder = Decoder("out.snrv", output="torch", layout="NCHW")
    picture, seconds, duration = decoder.get_frame_played_at(1.5)
    clip = decoder[10:20]                                  # uint8 (10, 3, H, W)
    quality = evaluate("in.mp4", "out.snrv").summary       # psnr, ssim, ms_ssim, vmaf, ...

Names are imported when they are first used.
"""

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from snerv_codec.bitstream.errors import BitstreamError
    from snerv_codec.codec import decode, encode
    from snerv_codec.decoding import Decoder
    from snerv_codec.encoding.planning import plan
    from snerv_codec.errors import InputError, OutputError, ResourceError, SettingsError, UserError
    from snerv_codec.evaluation.evaluate import Evaluation, evaluate
    from snerv_codec.frames import Frame, FrameBatch, VideoMetadata
    from snerv_codec.media.source import Selection
    from snerv_codec.rate_control.targets import Target
    from snerv_codec.report import DecodeReport, EncodeReport, Plan
    from snerv_codec.settings import EncodeSettings
    from snerv_codec.splicing import join, split
    from snerv_codec.training.settings import FitSettings

    __version__: str

__all__ = [
    "BitstreamError",
    "DecodeReport",
    "Decoder",
    "EncodeReport",
    "EncodeSettings",
    "Evaluation",
    "FitSettings",
    "Frame",
    "FrameBatch",
    "InputError",
    "OutputError",
    "Plan",
    "ResourceError",
    "Selection",
    "SettingsError",
    "Target",
    "UserError",
    "VideoMetadata",
    "__version__",
    "decode",
    "encode",
    "evaluate",
    "join",
    "plan",
    "split",
]

_HOMES = {
    "BitstreamError": "snerv_codec.bitstream.errors",
    "DecodeReport": "snerv_codec.report",
    "Decoder": "snerv_codec.decoding",
    "EncodeReport": "snerv_codec.report",
    "EncodeSettings": "snerv_codec.settings",
    "Evaluation": "snerv_codec.evaluation.evaluate",
    "FitSettings": "snerv_codec.training.settings",
    "Frame": "snerv_codec.frames",
    "FrameBatch": "snerv_codec.frames",
    "InputError": "snerv_codec.errors",
    "OutputError": "snerv_codec.errors",
    "Plan": "snerv_codec.report",
    "ResourceError": "snerv_codec.errors",
    "Selection": "snerv_codec.media.reader",
    "SettingsError": "snerv_codec.errors",
    "Target": "snerv_codec.rate_control.targets",
    "UserError": "snerv_codec.errors",
    "VideoMetadata": "snerv_codec.frames",
    "decode": "snerv_codec.codec",
    "encode": "snerv_codec.codec",
    "evaluate": "snerv_codec.evaluation.evaluate",
    "join": "snerv_codec.splicing",
    "plan": "snerv_codec.encoding.planning",
    "split": "snerv_codec.splicing",
}


def __getattr__(name: str) -> Any:
    """Import on first use: torch takes seconds, and much of the package does without."""
    if name == "__version__":
        return version("snerv-codec")
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    """The public names, for those who look around."""
    return sorted(__all__)
