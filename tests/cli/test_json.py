"""`--json` is a contract: every command prints the keys that docs/json.md names, and it names no others."""

import json
import re
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import pytest
from clips import write_clip

from snerv_codec.bitstream.container import StreamFile, StreamWriter
from snerv_codec.bitstream.extras import Chapter, Extras, Light, Mastering
from snerv_codec.bitstream.models import UnknownModel
from snerv_codec.bitstream.sections import write_section
from snerv_codec.bitstream.segmentsection import CodedSegment
from snerv_codec.cli.main import main
from snerv_codec.events import SegmentFailed

PAGE = Path(__file__).parents[2] / "docs" / "json.md"
OPEN = {"terms", "tags", "tracks[].tags"}  # objects whose keys differ from fit to fit, and from film to film
EXTRAS = Extras((("title", "a"),), (Chapter(0, 1, "b"),), Mastering((0, 0, 0, 0, 0, 0, 0, 0), (1, 1)), Light(1, 1))
QUICK = ("--size", "40k", "--epochs", "1", "--prune-epochs", "0", "--device", "cpu", "--json")


def documented() -> dict[str, set[str]]:
    """The keys in the table of each section of the page, by its title."""
    sections = re.split(r"^## ", PAGE.read_text(), flags=re.M)[1:]
    rows = {section.splitlines()[0]: re.findall(r"^\| (`.*?) \|", section, flags=re.M) for section in sections}
    return {title: {key for row in found for key in re.findall(r"`([^`]+)`", row)} for title, found in rows.items()}


def keys(value: Any, path: str = "") -> Iterator[str]:
    """The paths of all that is no object or list of objects, and of objects that may be null."""
    if isinstance(value, dict) and path not in OPEN:
        for name, each in value.items():
            yield from keys(each, f"{path}.{name}" if path else name)
    elif isinstance(value, list) and value and all(isinstance(each, dict) for each in value):
        for each in value:
            yield from keys(each, f"{path}[]")
    else:
        yield path


@pytest.fixture
def printed(capsys):
    """A function that runs a command and returns the objects that it printed."""

    def run(*arguments):
        capsys.readouterr()
        assert main([str(argument) for argument in arguments]) == 0
        return [json.loads(line) for line in capsys.readouterr().out.splitlines()]

    return run


def check(title: str, values: list[dict[str, Any]], absent: Collection[str] = ()) -> None:
    """Every key of `values` is in the table of that title, and every key there is in one of them, but `absent` ones."""
    named = documented()[title] - set(absent)
    empty = {key.partition("[]")[0] for key in named if "[]" in key}  # lists that are empty in some of the values
    assert {key for value in values for key in keys(value)} - empty == named


def test_every_section_of_the_page_is_checked_here():
    tested = set(re.findall(r'check\("([^"]+)"', Path(__file__).read_text()))
    assert tested == documented().keys()


def test_what_encode_prints(clip, tmp_path, printed):
    quality = ("--target-psnr", "60", "--grid-epochs", "1", "--recipe", "rd", "--holdout", "even")
    lines = printed("encode", clip, "-o", tmp_path / "a.snrv", *QUICK)
    lines += printed("encode", clip, "-o", tmp_path / "b.snrv", *QUICK, *quality)
    lines += printed("encode", clip, "-o", tmp_path / "c.snrv", *QUICK, "--size", "120k", "--segment", "4")
    by_event = {
        event: [line for line in lines if line["event"] == event] for event in {line["event"] for line in lines}
    }
    assert by_event.keys() == {"plan", "warning", "epoch", "segment", "done"}
    plans = printed("encode", clip, *QUICK, "--dry-run")
    check("The plan", plans)
    assert [line.keys() for line in by_event["plan"]] == [{"event", *plans[0]}] * 3
    check("A warning", by_event["warning"])
    check("An epoch", by_event["epoch"])
    check("A segment", by_event["segment"])
    check("A segment that failed", [SegmentFailed(0, 2, "no luck").to_json()])
    check("The end of an encode", by_event["done"])


def test_what_decode_prints(coded, tmp_path, printed):
    check("The end of a decode", printed("decode", coded, "-o", tmp_path / "a.mp4", "--json"))


def test_what_info_and_verify_print(coded, tmp_path, printed):
    with StreamFile(coded) as file, (tmp_path / "b.snrv").open("wb") as target:
        writer = StreamWriter(target.write, file.header.video, extras=EXTRAS)
        writer.add(CodedSegment(6, UnknownModel(99, b""), 1, 1, write_section(b"SEGM", b"of a later version")))
        writer.finish()
    check("`info`", printed("info", coded, "--json") + printed("info", tmp_path / "b.snrv", "--json"))
    check("`verify`", printed("verify", coded, "--json"))


def test_what_eval_prints(tmp_path, printed):
    source = write_clip(tmp_path / "a.mp4", width=176, height=162, frames=2)
    vmaf = {f"{part}.vmaf" for part in ("per_frame", "summary")} | {"summary.vmaf_harmonic", "summary.vmaf_low"}
    check("`eval`", printed("eval", source, source, "--no-vmaf", "--json"), vmaf)
    pytest.importorskip("imageio_ffmpeg", reason="VMAF needs imageio-ffmpeg, of the extra `vmaf`")
    check("`eval`", printed("eval", source, source, "--json"))
