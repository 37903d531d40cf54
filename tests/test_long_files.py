"""Files of several segments: what is asked for is all that is read, and nothing is held that need not be."""

import io
import weakref
import zlib

import numpy as np
import pytest
import torch

from snerv_codec import Decoder, decode, decoding
from snerv_codec.bitstream.container import read_header
from snerv_codec.bitstream.errors import BitstreamError
from snerv_codec.errors import SettingsError
from snerv_codec.media.reader import read_video
from snerv_codec.splicing import join


@pytest.fixture
def film(coded, tmp_path):
    """Three segments of six frames each."""
    join([coded] * 3, tmp_path / "film.snrv")
    return tmp_path / "film.snrv"


def spoil(path, *numbers):
    """Change a byte of each of these segments."""
    data = bytearray(path.read_bytes())
    for number in numbers:
        entry = read_header(path).segments[number]
        data[entry.offset + entry.length // 2] ^= 1
    path.write_bytes(data)


def test_some_frames_touch_their_segments_alone(film, tmp_path):
    with Decoder(film, device="cpu") as decoder:
        whole = np.stack(list(decoder))
    spoil(film, 0, 2)
    with Decoder(film, device="cpu") as decoder:
        assert len(decoder) == 18
        assert np.array_equal(decoder[6:12], whole[6:12])
        assert np.array_equal(decoder[9], whole[9])
        assert np.array_equal(decoder.get_frames_in_range(11, 6, -2).data, whole[11:6:-2])
        with pytest.raises(BitstreamError, match="the checksum of section SEGM"):
            decoder[5:7]
    assert decode(film, tmp_path / "part.mkv", frames=(6, 12), device="cpu", workers=2).frames == 6
    assert np.array_equal(read_video(tmp_path / "part.mkv").frames, whole[6:12])


def test_frames_before_a_damaged_segment_come_all_the_same(film):
    spoil(film, 2)
    seen = []
    with Decoder(film, device="cpu") as decoder, pytest.raises(BitstreamError, match="the checksum of section SEGM"):
        seen.extend(zlib.crc32(frame.data) for frame in decoder)
    assert len(seen) == 12


@pytest.mark.parametrize("room", [10**12, 1])
def test_the_next_network_is_made_while_one_plays_where_both_have_room(film, monkeypatch, room):
    made, most = [], 0

    class Player(decoding.SegmentPlayer):
        def __init__(self, *arguments):
            super().__init__(*arguments)
            made.append(weakref.ref(self))

    monkeypatch.setattr(decoding, "SegmentPlayer", Player)
    monkeypatch.setattr(decoding, "available_memory", lambda device: room)
    with Decoder(film, device="cpu") as decoder:
        for _ in decoder:
            most = max(most, sum(player() is not None for player in made))
    assert len(made) == 3
    assert most <= (2 if room > 1 else 1)


@pytest.mark.parametrize("workers", [2, 7])
def test_workers_side_by_side_give_the_same_frames_in_order(film, tmp_path, workers, monkeypatch):
    monkeypatch.setattr("snerv_codec.runtime.machine.available_cores", lambda: workers * torch.get_num_threads())
    decode(film, tmp_path / "one.y4m", device="cpu", rate=2)
    decode(film, tmp_path / "several.y4m", device="cpu", rate=2, workers=workers)
    assert (tmp_path / "several.y4m").read_bytes() == (tmp_path / "one.y4m").read_bytes()


def test_a_worker_that_meets_damage_ends_all_and_leaves_nothing(film, tmp_path):
    spoil(film, 1)
    with pytest.raises(BitstreamError, match="the checksum of section SEGM"):
        decode(film, tmp_path / "out.mkv", device="cpu", workers=3)
    assert [path.name for path in tmp_path.iterdir()] == ["film.snrv"]


def test_one_file_object_has_one_reader(film, tmp_path):
    data = film.read_bytes()
    assert decode(data, tmp_path / "a.y4m", device="cpu", workers=2).frames == 18
    with pytest.raises(SettingsError, match="only one can read a file object"):
        decode(io.BytesIO(data), tmp_path / "b.y4m", device="cpu", workers=2)
    with pytest.raises(SettingsError, match="`workers` 0"):
        decode(data, tmp_path / "b.y4m", device="cpu", workers=0)
