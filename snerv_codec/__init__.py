"""SNeRV, an implicit neural video codec: a small network is fitted to one video and becomes the file.

from snerv_codec import Decoder, EncodeSettings, decode, encode, evaluate

report = encode("in.mp4", "out.snrv", EncodeSettings(size="1M"))
decode("out.snrv", "again.mp4")
frames = Decoder("out.snrv")[10:20]  # uint8 (10, H, W, 3)
quality = evaluate("in.mp4", "out.snrv").summary  # psnr, ssim, ms_ssim, vmaf, ...
"""

import os
from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    __version__: str
    from snerv_codec.codec import decode, encode
    from snerv_codec.decoding import Decoder
    from snerv_codec.evaluation.evaluate import evaluate
    from snerv_codec.settings import EncodeSettings

# Threads of a convolution wait for each other by spinning, in GNU's library for so long that a fit is a hundred times
# slower where other programs want the cores too. A thousand turns cost a tenth on an idle machine, and spare that.
# The library reads this once, when torch is imported.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")

__all__ = ["Decoder", "EncodeSettings", "decode", "encode", "evaluate"]

_HOMES = {
    "Decoder": "decoding",
    "EncodeSettings": "settings",
    "decode": "codec",
    "encode": "codec",
    "evaluate": "evaluation.evaluate",
}


def __getattr__(name: str) -> Any:
    """Import on first use: torch takes seconds, and much of the package does without."""
    if name == "__version__":
        return version("snerv-codec")
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
