"""Measurements of the codec. Each adds records to results/; tables and plots are made from those alone.

Here lies what is measured for users; `paper` reproduces the paper, `trials` explores. Both stand on this folder and not
on each other, and only the report shows what all three have on record.
"""

from snerv_codec.runtime.machine import let_waiting_threads_rest

let_waiting_threads_rest()  # as the command does, before a module here imports torch

# What benchmarks take beyond the public names of `snerv_codec`, its errors and its settings: who changes one of these
# has benchmarks to look after. A test holds the list.
INTERNALS = (
    "snerv_codec.bitstream.container",
    "snerv_codec.bitstream.drafts",
    "snerv_codec.bitstream.fitting",
    "snerv_codec.bitstream.models",
    "snerv_codec.bitstream.segmentsection",
    "snerv_codec.bitstream.types",
    "snerv_codec.compression.packing",
    "snerv_codec.compression.quantize",
    "snerv_codec.compression.rounding",
    "snerv_codec.compression.sensitivity",
    "snerv_codec.compression.values",
    "snerv_codec.decoding",
    "snerv_codec.evaluation.metrics",
    "snerv_codec.events",
    "snerv_codec.media.arrays",
    "snerv_codec.media.mask",
    "snerv_codec.media.picture",
    "snerv_codec.media.reader",
    "snerv_codec.media.source",
    "snerv_codec.media.writer",
    "snerv_codec.model.architectures",
    "snerv_codec.model.decoder",
    "snerv_codec.model.sizing",
    "snerv_codec.model.variants",
    "snerv_codec.model.wavelet",
    "snerv_codec.pages.document",
    "snerv_codec.pages.plot",
    "snerv_codec.report",
    "snerv_codec.runtime.files",
    "snerv_codec.runtime.machine",
    "snerv_codec.runtime.precision",
    "snerv_codec.training.checkpoint",
    "snerv_codec.training.frames",
    "snerv_codec.training.loop",
    "snerv_codec.training.losses",
    "snerv_codec.training.networks",
    "snerv_codec.training.optimizers",
    "snerv_codec.training.step",
    "snerv_codec.training.trainer",
)
