"""Forged files: some hundreds each time, `make fuzz` for as long as one likes. What was found once is tried always."""

import subprocess
import sys
from pathlib import Path

import pytest
from fuzzing.__main__ import run
from fuzzing.anatomy import dissect
from fuzzing.forging import Forger
from fuzzing.samples import samples, seeds
from fuzzing.trials import Fault, _outcome, attempt

from snerv_codec.bitstream.container import read_header

INPUTS = 500


@pytest.mark.parametrize("path", seeds(), ids=lambda path: path.stem)
def test_what_was_found_is_mended(path, tmp_path):
    for number in range(6):
        assert attempt(path.read_bytes(), number, tmp_path)


def test_forged_files_give_a_result_or_one_clear_error(tmp_path):
    report = run(inputs=INPUTS, keep=tmp_path)
    assert report.findings == []
    assert report.tried == INPUTS
    deep = {"_inspect", "_rewrite", "_play", "_convert", "Corrupt", "Truncated", "LimitExceeded", "UnsupportedVersion"}
    assert deep <= set(report.outcomes)  # forging gets far enough to matter
    assert report.outcomes["_inspect"] > INPUTS // 20


def test_every_field_of_every_section_is_known():
    for sample in samples():
        for part in dissect(sample):
            if part.kind in (b"INFO", b"INDX", b"meta", b"atch", b"trak"):
                ends = [field.stop for field in part.fields]
                assert ends[-1] == len(part.payload)
                assert {0, *ends} >= {field.start for field in part.fields} - {field.region[0] for field in part.fields}


def test_samples_are_sound_and_files_are_told_by_their_numbers():
    assert all(read_header(sample).segments for sample in samples())
    one, other = Forger(samples()), Forger(samples())
    made = [one.forge(number) for number in range(50)]
    assert made == [other.forge(number) for number in range(50)]
    assert len(set(made)) > 40  # some fields are put in place of their like


def test_what_is_no_clear_error_is_a_finding(tmp_path):
    def crash(*arguments):
        raise ZeroDivisionError("division by zero")

    with pytest.raises(Fault, match="crash: ZeroDivisionError: division by zero"):
        _outcome(crash, b"", None, tmp_path)


def test_a_process_that_comes_to_its_end_is_a_finding(tmp_path, monkeypatch):
    def start(number, count):
        lines = f"begin {number} -\nsaid {number} Corrupt\nbegin {number + 1} -\n"
        code = f"import os, sys; sys.stdout.write({lines!r}); sys.stdout.flush(); os.abort()"
        return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)

    monkeypatch.setattr("fuzzing.__main__._start", start)
    report = run(first=10, inputs=4, keep=tmp_path)
    assert [number for number, _ in report.findings] == [11, 13]
    assert "the process ended with -6" in report.findings[0][1]
    assert sorted(path.name for path in Path(tmp_path).glob("*.snrv")) == ["11.snrv", "13.snrv"]
