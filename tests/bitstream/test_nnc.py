"""NNC segments: what the format does with them everywhere, and nncodec itself where it is installed."""

import os
import struct
from contextlib import suppress
from dataclasses import replace
from importlib.util import find_spec

import numpy as np
import pytest
from stream_samples import rich_stream, tiny_stream
from test_hostile import forge, read_guarded

from snerv_codec.bitstream import nnc
from snerv_codec.bitstream.container import StreamFile, read_stream, write_stream
from snerv_codec.bitstream.errors import BitstreamError, Corrupt, LimitExceeded, MissingExtra
from snerv_codec.bitstream.types import NncTensors

needs_nncodec = pytest.mark.skipif(find_spec("nncodec") is None, reason="nncodec is not installed (extra nnc)")

SHAPES = (("stem.weight", (12, 16, 1, 1)), ("stem.bias", (12,)), ("up.0.conv.weight", (40, 12, 3, 3)))


def weights():
    rng = np.random.default_rng(0)
    return {name: rng.normal(0, 0.05, shape).astype(np.float32) for name, shape in SHAPES}


def with_nnc(stream, tensors):
    return replace(stream, segments=tuple(replace(s, tensors=(), nnc=tensors) for s in stream.segments))


def test_a_stream_with_an_nnc_segment_comes_back_without_nncodec():
    for data in (b"", b"any bytes" * 40):
        for stream in (tiny_stream(), rich_stream()):
            stream = with_nnc(stream, NncTensors(SHAPES, data))
            assert read_stream(write_stream(stream)) == stream


def test_a_missing_package_is_one_line_that_says_what_to_install(monkeypatch):
    monkeypatch.setattr(nnc, "find_spec", lambda name: None)
    for act in (lambda: nnc.encode(weights()), lambda: nnc.decode(NncTensors(SHAPES, b""))):
        with pytest.raises(MissingExtra, match=r"pip install 'snerv-codec\[nnc\]'"):
            act()


@pytest.mark.parametrize("row", [(8, 0, 255, 0), (0, 1, 255, 0), (0, 0, 1, 0), (0, 0, 255, 1)])
def test_tensors_coded_apart_in_an_nnc_segment_are_refused(row):
    bits, grid, coder, size = row
    rows = b"\x02\x01\x01a\x01b\x01\x04\x04\x02\x02\x01\x01" + bytes([bits, 6, grid, 0, coder, 0, size, 3])
    payload = bytes([0, 0, len(rows)]) + rows + struct.pack("<4e", 0, 1, 0, 1) + bytes(7)
    data = write_stream(with_nnc(tiny_stream(), NncTensors((("a", (4,)),), b"")))
    assert read_guarded(forge(data, b"SNNC", lambda _: payload)) == "Corrupt"


def test_forged_nnc_segments_never_crash_the_reader():
    data = write_stream(with_nnc(tiny_stream(), NncTensors(SHAPES, b"standard bitstream")))
    for place in range(120):
        for value in (0, 1, 0x7F, 0x80, 0xFF):
            read_guarded(forge(data, b"SNNC", lambda p, i=place, v=value: p[:i] + bytes([v]) + p[i + 1 :]))


@needs_nncodec
@pytest.mark.parametrize("dependent", [True, False])
def test_weights_come_back_within_the_step(dependent, capfd, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    original = weights()
    for qp, step in ((-38, 6 * 2**-12), (-20, 2**-5)):
        decoded = nnc.decode(nnc.encode(original, qp=qp, dependent=dependent))
        assert decoded.keys() == original.keys()
        for name, values in decoded.items():
            assert values.dtype == np.float32
            bound = step * (2 if dependent else 0.51) if values.ndim > 1 else 1e-5
            assert np.abs(values - original[name]).max() <= bound
    assert capfd.readouterr() == ("", "")  # no chatter
    assert list(tmp_path.iterdir()) == []  # no stray files


@needs_nncodec
def test_a_larger_qp_costs_less_and_dependent_quantisation_pays():
    rng = np.random.default_rng(0)
    tensors = {"w": rng.normal(0, 0.05, (64, 500)).astype(np.float32)}

    def cost(qp, dependent):
        coded = nnc.encode(tensors, qp=qp, dependent=dependent)
        error = np.square(nnc.decode(coded)["w"] - tensors["w"]).mean()
        return len(coded.data), 8 * len(coded.data) / 32_000 + np.log2(error) / 2  # bits at equal distortion

    assert cost(-30, True)[0] < cost(-38, True)[0]
    assert cost(-30, True)[1] < cost(-34, False)[1] - 0.1


@needs_nncodec
def test_nnc_survives_the_file(tmp_path):
    original = weights()
    stream = with_nnc(tiny_stream(), nnc.encode(original))
    (tmp_path / "a.snrv").write_bytes(write_stream(stream))
    with StreamFile(tmp_path / "a.snrv") as file:
        segment = file.read_segment(0)
    for name, values in nnc.decode(segment.nnc).items():
        assert np.abs(values - original[name]).max() < 0.003


@needs_nncodec
def test_bad_bitstreams_are_corrupt():
    coded = nnc.encode(weights())
    other = (*SHAPES[:2], ("up.0.conv.weight", (12, 40, 3, 3)))
    for bad in (
        NncTensors(SHAPES, b""),
        NncTensors(SHAPES, coded.data[:100]),
        NncTensors(SHAPES, bytes(100)),
        NncTensors(other, coded.data),
        NncTensors(SHAPES[:2], coded.data),
    ):
        with pytest.raises(Corrupt, match="does not hold"):
            nnc.decode(bad)


@needs_nncodec
def test_hostile_bitstreams_cannot_harm_the_process():
    """Bytes changed at random reach native code: in the child, whatever becomes of that."""
    rng = np.random.default_rng(1)
    coded = nnc.encode(weights())
    for _ in range(12):
        damaged = bytearray(coded.data)
        for place in rng.integers(0, len(damaged), rng.integers(1, 5)):
            damaged[place] = rng.integers(256)
        with suppress(BitstreamError):
            decoded = nnc.decode(NncTensors(SHAPES, bytes(damaged)))
            assert {name: values.shape for name, values in decoded.items()} == dict(SHAPES)


def test_the_child_has_limits_of_time_and_memory(monkeypatch, tmp_path):
    """With a stand-in for nncodec that never ends, or that takes all memory."""
    package = tmp_path / "nncodec" / "nnc_core"
    package.mkdir(parents=True)
    for folder in (package.parent, package):
        (folder / "__init__.py").touch()
    (package / "approximator.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(nnc, "find_spec", lambda name: True)
    coded = NncTensors((("w", (4,)),), b"")
    (package / "coder.py").write_text("def decode(*a, **k):\n    while True: pass")
    with monkeypatch.context() as hasty:
        hasty.setattr(nnc, "BASE_SECONDS", 1)
        with pytest.raises(LimitExceeded, match="takes more than 1 s of processor time"):
            nnc.decode(coded)
    if os.name == "posix":
        (package / "coder.py").write_text("def decode(*a, **k):\n    bytearray(8 << 30)")
        with pytest.raises(Corrupt, match="MemoryError"):
            nnc.decode(coded)
        (package / "coder.py").write_text("def decode(*a, **k):\n    open('x', 'w').write('x')")
        monkeypatch.chdir(tmp_path)
        with pytest.raises(Corrupt):
            nnc.decode(coded)
        assert not (tmp_path / "x").exists() or (tmp_path / "x").stat().st_size == 0
    (package / "coder.py").write_text("import os\ndef decode(*a, **k):\n    os.abort()")
    with pytest.raises(Corrupt):
        nnc.decode(coded)
