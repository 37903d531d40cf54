"""Files that every later version must read, and the worked example of SPEC.md.

Set REGENERATE_GOLDEN=1 to write the golden files anew: only before the format is released.
"""

import os
import re
from pathlib import Path

import pytest
from independent import symbols as oracle
from stream_samples import rich_stream, tiny_stream

from snerv_codec.bitstream.container import read_stream, write_stream
from snerv_codec.bitstream.drafts import encode_symbols

GOLDEN = Path(__file__).parents[1] / "golden"
SPEC = (Path(__file__).parents[2] / "bitstream" / "SPEC.md").read_text()
SAMPLES = {"tiny.snrv": tiny_stream, "rich.snrv": rich_stream}


@pytest.mark.parametrize("name", SAMPLES)
def test_golden_files_hold_what_they_held(name):
    path = GOLDEN / name
    if os.environ.get("REGENERATE_GOLDEN") == "1":
        path.write_bytes(write_stream(SAMPLES[name]()))
    assert read_stream(path.read_bytes()) == SAMPLES[name]()


def test_the_worked_example_is_the_tiny_stream_byte_for_byte():
    dump = re.search(r"```hexdump\n(.*?)```", SPEC, re.DOTALL)
    assert dump is not None
    data = b""
    for line in dump.group(1).splitlines():
        offset, octets = re.fullmatch(r"([0-9a-f]{4})  ((?:[0-9a-f]{2} )*[0-9a-f]{2}) +.*", line).groups()
        assert int(offset, 16) == len(data)
        data += bytes.fromhex(octets)
    assert read_stream(data) == tiny_stream()
    assert write_stream(tiny_stream()) == data
    assert (GOLDEN / "tiny.snrv").read_bytes() == data


def test_the_worked_table():
    frequencies, size = oracle.table(bytes.fromhex("870a3600"), 3)
    assert size == 4
    assert ", ".join(map(str, frequencies)) in SPEC
    coder, data = encode_symbols(tiny_stream().segments[0].tensors[0].symbols, 8)
    assert (coder, data[2:6].hex()) == (1, "870a3600")
