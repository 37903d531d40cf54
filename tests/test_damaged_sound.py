"""A damaged byte of sound costs the sound and not the picture."""

import numpy as np
import pytest

from snerv_codec import BitstreamError, Decoder, decode
from snerv_codec.bitstream.container import read_header
from snerv_codec.cli.main import main
from snerv_codec.events import Warned
from snerv_codec.media.reader import read_video


def damaged(coded, folder, kind):
    """A copy of a file with one bit of a section of this kind changed."""
    data = bytearray(coded.read_bytes())
    section = next(section for section in read_header(coded).sections if section.name == kind)
    data[(section.offset + section.end) // 2] ^= 4
    (folder / "damaged.snrv").write_bytes(data)
    return folder / "damaged.snrv"


@pytest.mark.parametrize("kind", ["trak", "pdat"])
@pytest.mark.parametrize("output", ["frames", "a.mkv", "a.y4m"])
def test_the_picture_is_decoded_and_a_warning_tells_of_the_sound(coded, tmp_path, kind, output):
    events = []
    decode(damaged(coded, tmp_path, kind), tmp_path / output, device="cpu", on_event=events.append)
    messages = [event.message for event in events if isinstance(event, Warned) and "checksum" in event.message]
    assert len(messages) == 1
    assert f"the checksum of section {kind}" in messages[0]
    assert messages[0].endswith("what it holds of sound, subtitles and the like is left out")
    decode(coded, tmp_path / "whole", device="cpu", audio=False)
    video = read_video(tmp_path / output)
    assert video.tracks == ()
    if output != "a.y4m":
        assert np.array_equal(video.frames, read_video(tmp_path / "whole").frames)


@pytest.mark.parametrize("kind", ["trak", "pdat", "text"])
def test_info_tells_of_damage_and_verify_and_tracks_refuse_it(coded, tmp_path, capsys, kind):
    path = damaged(coded, tmp_path, kind)
    assert main(["info", str(path)]) == 0
    told = f"damaged  the checksum of section {kind}" in capsys.readouterr().out
    assert told == (kind != "pdat")  # packets are not looked at
    assert main(["verify", str(path)]) == 1
    with Decoder(path, device="cpu") as decoder:
        assert len(decoder) == 6
        if kind != "text":
            with pytest.raises(BitstreamError, match=f"the checksum of section {kind}"):
                decoder.tracks()


@pytest.mark.parametrize("kind", ["INFO", "SEGM", "INDX", "DONE"])
def test_damage_of_the_picture_is_an_error(coded, tmp_path, kind):
    with pytest.raises(BitstreamError):
        decode(damaged(coded, tmp_path, kind), tmp_path / "frames", device="cpu")
    assert not (tmp_path / "frames").exists()
