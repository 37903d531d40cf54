"""Files are joined and split by their segments: the same frames at the same times, with the same sound."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from clips import write_clip
from conftest import QUICK
from hypothesis import given
from hypothesis import strategies as st

from snerv_codec import Decoder, encode, join, split
from snerv_codec.bitstream.container import StreamFile, read_header
from snerv_codec.bitstream.extras import Chapter, Extras
from snerv_codec.bitstream.types import VideoInfo
from snerv_codec.cli.main import main
from snerv_codec.errors import OutputError, SettingsError
from snerv_codec.events import Warned
from snerv_codec.splicing import _joined_extras, _joined_info, _starts
from snerv_codec.training.settings import FitSettings

FIT = FitSettings.preset("paper", epochs=1, prune=0)


@pytest.fixture(scope="module")
def coded(tmp_path_factory):
    """A file of two segments, of 20 and 10 frames, with sound."""
    folder = tmp_path_factory.mktemp("splicing")
    source = write_clip(folder / "in.mp4", width=34, height=18, frames=30, sound=True)
    encode(source, folder / "whole.snrv", replace(QUICK, size="150k", segment=20, fit=FIT))
    return folder / "whole.snrv"


def frames_of(path):
    with Decoder(path, device="cpu") as decoder:
        return decoder[:]


def tracks_of(path):
    with StreamFile(path) as file:
        return file.read_tracks()


def test_what_is_split_and_joined_is_what_was_there(coded, tmp_path):
    parts = split(coded, tmp_path / "parts")
    assert [path.name for path in parts] == ["whole-1.snrv", "whole-2.snrv"]
    whole = frames_of(coded)
    assert [len(frames_of(path)) for path in parts] == [20, 10]
    assert np.array_equal(np.concatenate([frames_of(path) for path in parts]), whole)
    join(parts, tmp_path / "again.snrv")
    assert np.array_equal(frames_of(tmp_path / "again.snrv"), whole)
    mine, theirs = read_header(tmp_path / "again.snrv").video, read_header(coded).video
    assert [t * mine.time_base for t in mine.timestamps] == [t * theirs.time_base for t in theirs.timestamps]
    assert mine.duration == theirs.duration
    (track,), (original,) = tracks_of(tmp_path / "again.snrv"), tracks_of(coded)
    assert [packet.data for packet in track.packets] == [packet.data for packet in original.packets]
    assert [packet.pts for packet in track.packets] == [packet.pts for packet in original.packets]


def test_a_part_has_its_own_sound(coded, tmp_path):
    first, second = split(coded, tmp_path)
    for path in (first, second):
        (track,), video = tracks_of(path), read_header(path).video
        end = max(packet.pts + packet.duration for packet in track.packets) * track.time_base
        assert abs(end - video.duration) < Fraction(1, 20)


def test_nothing_is_written_that_was_there_or_does_not_fit(coded, tmp_path):
    (tmp_path / "whole-2.snrv").write_bytes(b"mine")
    with pytest.raises(OutputError, match="exists already"):
        split(coded, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["whole-2.snrv"]
    with pytest.raises(OutputError, match="is the input"):
        join([coded], coded, overwrite=True)
    other = tmp_path / "other.snrv"
    encode(write_clip(tmp_path / "b.mp4", width=48, height=32, frames=2), other, replace(QUICK, size="60k", fit=FIT))
    with pytest.raises(SettingsError, match=r"other\.snrv: its width is 48, that of .*whole\.snrv 34; only videos"):
        join([coded, other], tmp_path / "both.snrv")
    assert not (tmp_path / "both.snrv").exists()


def test_sound_that_does_not_go_on_is_told(coded, tmp_path):
    silent = tmp_path / "silent.snrv"
    encode(write_clip(tmp_path / "a.mp4", width=34, height=18, frames=3), silent, replace(QUICK, fit=FIT))
    told = []
    join([silent, coded], tmp_path / "both.snrv", on_event=told.append)
    (warning,) = (event.message for event in told if isinstance(event, Warned))
    assert warning.startswith("audio of file 2")
    assert len(frames_of(tmp_path / "both.snrv")) == 33
    join([coded, silent, coded], tmp_path / "three.snrv")
    (track,) = tracks_of(tmp_path / "three.snrv")
    times = [packet.pts for packet in track.packets]
    assert times == sorted(times)
    assert len(times) > 1.9 * len(tracks_of(coded)[0].packets)


def test_on_the_command_line(coded, tmp_path, capsys):
    assert main(["split", str(coded), "-o", str(tmp_path / "parts")]) == 0
    parts = sorted(str(path) for path in (tmp_path / "parts").iterdir())
    assert main(["join", *parts, "-o", str(tmp_path / "again.snrv")]) == 0
    assert "again.snrv: 2 files, " in capsys.readouterr().out
    assert main(["join", *parts, "-o", str(tmp_path / "again.snrv")]) == 1
    assert "use --overwrite" in capsys.readouterr().err


units = st.sampled_from([Fraction(1, 25), Fraction(1001, 30000), Fraction(1, 1000), Fraction(1, 90000)])


@st.composite
def videos(draw):
    times = tuple(sorted(draw(st.sets(st.integers(-50, 500), min_size=1, max_size=5))))
    return VideoInfo(34, 18, draw(units), times, draw(st.integers(1, 9)), Fraction(25))


@given(st.lists(videos(), min_size=1, max_size=4))
def test_frames_keep_their_lengths_and_follow_each_other(infos):
    starts = _starts(infos)
    joined = _joined_info(infos, starts)
    place = 0
    for info, start in zip(infos, starts, strict=True):
        own = [start + time * info.time_base for time in info.timestamps]
        found = joined.timestamps[place : place + len(own)]
        assert [time * joined.time_base for time in found] == own
        place += len(own)
    assert joined.final_duration * joined.time_base == infos[-1].final_duration * infos[-1].time_base


def test_chapters_move_with_their_video():
    extras = [Extras(chapters=(Chapter(0, 10, "a"),)), Extras(chapters=(Chapter(5, 9, "b"),))]
    chapters = _joined_extras(extras, [Fraction(0), Fraction(2)]).chapters
    assert chapters == (Chapter(0, 10, "a"), Chapter(2 * 10**9 + 5, 2 * 10**9 + 9, "b"))
