"""docs/kept.md is true, row by row, and up to date."""

import os
from pathlib import Path

import pytest
from fates import IN, OUT, OUTPUTS, page

from snerv_codec.errors import UserError
from snerv_codec.media.reader import read_video
from snerv_codec.media.source import Selection
from snerv_codec.media.writer import open_writer

PAGE = Path(__file__).parents[2] / "docs" / "kept.md"


def test_the_page_is_made_of_these_rows():
    if os.environ.get("REGENERATE_KEPT") == "1":
        PAGE.write_text(page())
    assert PAGE.read_text() == page()


@pytest.mark.parametrize("output", OUTPUTS)
@pytest.mark.parametrize("row", OUT, ids=[row.name for row in OUT])
def test_what_an_output_keeps(tmp_path, row, output):
    video, target = row.make(tmp_path), tmp_path / OUTPUTS[output]
    with open_writer(target, video.info, tracks=video.tracks, extras=video.extras) as writer:
        for frame in video.frames:
            writer.write(frame)
    back = read_video(target)
    assert len(back.frames) == len(video.frames)
    fate = row.fates[list(OUTPUTS).index(output)]
    assert row.there(video, back, target) == (fate == "k")
    assert fate == "k" or bool(writer.warnings) == (fate == "t"), writer.warnings


@pytest.mark.parametrize("row", IN, ids=[row.name for row in IN])
def test_what_becomes_of_an_input(tmp_path, row):
    source, selection = row.make(tmp_path), Selection(deinterlace=row.deinterlace)
    if row.fate.startswith("refused"):
        with pytest.raises(UserError, match=row.said) as caught:
            read_video(source, selection)
        assert len(str(caught.value).splitlines()) == 1
        return
    video = read_video(source, selection)
    assert len(video.frames) > 0
    assert any(row.said in warning for warning in video.warnings) if row.said else video.warnings == ()
