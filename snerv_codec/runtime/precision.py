"""How exactly networks compute: 32-bit floats, TF32, or 16-bit floats where they suffice.

With 16 bits ("bfloat16" for fitting, "float16" for decoding) convolutions take and give such numbers and add in 32
bits; weights, optimiser, loss, the decoder's heads and the inverse wavelet stay at 32 bits. On a GPU 32-bit
convolutions may run as TF32, with a mantissa of 10 bits: "float32" forbids it, for cuDNN would allow it by itself.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

from snerv_codec.errors import SettingsError

if TYPE_CHECKING:
    import torch

Precision = Literal["auto", "float32", "tf32", "bfloat16", "float16"]


def fitting_precision(name: Precision, device: "torch.device") -> Precision:
    """What "auto" stands for while fitting: TF32 where there is a GPU. Raises `SettingsError` for "float16"."""
    if name == "float16":
        raise SettingsError("a fit does not work with float16, whose range is too small for gradients; use bfloat16")
    if name == "auto":
        return "tf32" if device.type == "cuda" else "float32"
    return name


@contextmanager
def kernels(precision: Precision, device: "torch.device", *, fixed_shapes: bool = False) -> Iterator[None]:
    """32-bit convolutions and products on a GPU run as `precision`, which is not "auto", allows; also backwards.

    With `fixed_shapes` cuDNN may try which of its algorithms is fastest, and the last bits may differ from run to run.
    """
    import torch

    if device.type != "cuda":
        yield
        return
    tf32, before = precision != "float32", torch.get_float32_matmul_precision()
    with torch.backends.cudnn.flags(enabled=True, benchmark=fixed_shapes, allow_tf32=tf32):
        torch.set_float32_matmul_precision("high" if tf32 else "highest")
        try:
            yield
        finally:
            torch.set_float32_matmul_precision(before)


@contextmanager
def computing(precision: Precision, device: "torch.device", *, fixed_shapes: bool = False) -> Iterator[None]:
    """`kernels`, and networks that are called compute with 16 bits where `precision` says so."""
    import torch

    half = {"bfloat16": torch.bfloat16, "float16": torch.float16}.get(precision)
    # A cache of casts would outlive a step that is captured.
    casts = torch.autocast(device.type, half, enabled=half is not None, cache_enabled=False)
    with kernels(precision, device, fixed_shapes=fixed_shapes), casts:
        yield
