"""What comes with a film: languages, roles, titles, tags, chapters, attachments, light levels, timecodes, trims."""

from dataclasses import replace
from fractions import Fraction

import av
import numpy as np
import pytest
from rich_clips import RATE, Sound, film, heard_samples, make_clip, moving

from snerv_codec.bitstream.extras import Attachment, Chapter, Extras, Light, Mastering
from snerv_codec.media.extras import later
from snerv_codec.media.reader import read_video
from snerv_codec.media.rehearsal import told_outputs
from snerv_codec.media.source import Selection
from snerv_codec.media.timeline import cut_to
from snerv_codec.media.writer import open_writer

FONT = Attachment("a.ttf", "application/x-truetype-font", bytes(range(200)))
NS = Fraction(1, 10**9)


def write(path, video, extras=None):
    with open_writer(path, video.info, tracks=video.tracks, extras=extras or video.extras) as writer:
        for frame in video.frames:
            writer.write(frame)
    return writer.warnings


def words(video):
    return [(t.kind, t.language, t.roles, dict(t.tags).get("title")) for t in video.tracks]


# Tracks


def test_matroska_keeps_all_words_of_tracks(tmp_path):
    video = read_video(film(tmp_path / "in.mkv"))
    expected = [
        ("audio", "eng", (), "Main"),
        ("audio", "fra", ("default", "comment"), "Commentaire du réalisateur"),
        ("subtitle", "eng", ("forced",), "Signs"),
        ("subtitle", "deu", ("hearing_impaired",), "SDH"),
    ]
    assert words(video) == expected
    assert write(tmp_path / "out.mkv", video) == []
    assert words(read_video(tmp_path / "out.mkv")) == expected


@pytest.mark.parametrize("name", ["out.mp4", "out.mov"])
def test_the_default_language_and_titles_come_through_mp4(tmp_path, name):
    video = read_video(film(tmp_path / "in.mkv", texts=()))
    write(tmp_path / name, video)
    back = read_video(tmp_path / name)
    assert [(t.language, "default" in t.roles, dict(t.tags)["title"]) for t in back.tracks] == [
        ("eng", False, "Main"),
        ("fra", True, "Commentaire du réalisateur"),
    ]


def test_what_only_some_outputs_hold_is_told_in_one_line(tmp_path):
    video = read_video(film(tmp_path / "in.mkv", attachments=[FONT]))
    (line,) = told_outputs(video.info, video.tracks, video.extras)
    assert "\n" not in line
    assert 'subtitle srt eng "Signs", subtitle srt deu "SDH", 1 attachment (.mkv)' in line
    assert 'comment of audio aac fra "Commentaire du réalisateur" (.mp4 and .mkv)' in line
    warnings = write(tmp_path / "out.mov", video)
    assert "left out, as .mov cannot hold it: 1 attachment" in warnings
    assert 'audio aac fra "Commentaire du réalisateur": .mov does not keep comment' in warnings
    plain = read_video(make_clip(tmp_path / "a.mp4", moving(3), sounds=[Sound()]))
    assert told_outputs(plain.info, plain.tracks, plain.extras) == ()


@pytest.mark.parametrize("codec", ["pcm_mulaw", "pcm_alaw"])
def test_g711_is_carried_as_it_is(tmp_path, codec):
    source = make_clip(tmp_path / "in.mov", moving(20), sounds=[Sound(codec, rate=8000, layout="mono", seconds=0.8)])
    video = read_video(source)
    assert video.warnings == ()
    for name in ("a.mov", "b's |.mkv"):
        assert write(tmp_path / name, video) == []
        back = read_video(tmp_path / name)
        assert [(t.codec, t.sample_rate) for t in back.tracks] == [(codec, 8000)]
        assert b"".join(p.data for p in back.tracks[0].packets) == b"".join(p.data for p in video.tracks[0].packets)
        assert np.array_equal(back.frames, video.frames) == name.endswith(".mkv")
    assert write(tmp_path / "a.mp4", video) == [
        f"audio {codec} left out: 'mp4' format does not support '{codec}' codec"
    ]
    assert f"audio {codec} (.mov and .mkv)" in told_outputs(video.info, video.tracks, video.extras)[0]


# Sample counts


@pytest.mark.parametrize(
    ("name", "sound", "outputs"),
    [
        ("in.mp4", Sound("aac", seconds=0.48), (".mp4", ".mov", ".mkv")),
        ("in.mkv", Sound("aac", seconds=0.48), (".mp4", ".mov", ".mkv")),
        ("in.mp4", Sound("libopus", seconds=0.48), (".mp4", ".mkv")),
        ("in.mkv", Sound("libopus", seconds=0.48), (".mkv",)),  # MP4 has no room for what is dropped at the end
        ("in.mkv", Sound("libmp3lame", rate=44100, seconds=0.48), (".mkv",)),
        ("in.mkv", Sound("ac3", seconds=0.48), (".mp4", ".mov", ".mkv")),
        ("in.mkv", Sound("flac", seconds=0.48), (".mp4", ".mkv")),
        ("in.ts", Sound("aac", seconds=0.48), (".mp4", ".mov", ".mkv")),
    ],
)
def test_delay_and_end_of_coded_sound_keep_its_number_of_samples(tmp_path, name, sound, outputs):
    source = make_clip(tmp_path / name, moving(12), sounds=[sound])
    video = read_video(source)
    for suffix in outputs:
        write(tmp_path / f"out{suffix}", video)
        assert heard_samples(tmp_path / f"out{suffix}")[0] == heard_samples(source)[0]
        back = read_video(tmp_path / f"out{suffix}")
        first = video.info.timestamps[0] * video.info.time_base
        step = heard_samples(source)[1] - float(first)
        there = float(back.info.timestamps[0] * back.info.time_base)
        assert heard_samples(tmp_path / f"out{suffix}")[1] - there == pytest.approx(step, abs=1.5e-3)


def test_a_cut_begins_and_ends_to_the_sample_in_matroska(tmp_path):
    video = read_video(
        make_clip(tmp_path / "in.mp4", moving(40), sounds=[Sound(seconds=1.6)]), Selection(frames=(10, 30))
    )
    write(tmp_path / "out.mkv", video)
    assert heard_samples(tmp_path / "out.mkv") == (48000 * 20 // 25, 0)
    assert read_video(tmp_path / "out.mkv").info.timestamps[0] == 0


# Tags and chapters


CHAPTERS = ((0, 400, "Intro"), (400, 800, "Rest"))
TAGS = {"title": "My film", "comment": "keep me", "artist": "Me"}


@pytest.mark.parametrize("name", ["out.mp4", "out.mov", "out.mkv"])
def test_tags_and_chapters_come_through(tmp_path, name):
    video = read_video(film(tmp_path / "in.mkv", chapters=CHAPTERS, tags=TAGS, texts=()))
    assert {key.lower(): value for key, value in video.extras.tags} == TAGS
    expected = (Chapter(0, 400_000_000, "Intro"), Chapter(400_000_000, 800_000_000, "Rest"))
    assert video.extras.chapters == expected
    write(tmp_path / name, video)
    back = read_video(tmp_path / name)
    assert {key.lower(): value for key, value in back.extras.tags} == TAGS
    assert back.extras.chapters == expected
    assert back.warnings == ()  # MP4's chapters are a track of text, which is no subtitle


def test_tags_that_an_output_does_not_know_are_told(tmp_path):
    video = read_video(film(tmp_path / "in.mkv", tags={"title": "a", "MOOD": "b"}, texts=()))
    assert "left out, as .mp4 cannot hold it: tag MOOD" in write(tmp_path / "out.mp4", video)
    assert write(tmp_path / "out.mkv", video) == []
    assert dict(read_video(tmp_path / "out.mkv").extras.tags) == {"title": "a", "MOOD": "b"}
    assert "tag MOOD (.mkv)" in told_outputs(video.info, video.tracks, video.extras)[0]


def test_tags_that_no_file_holds_are_told(tmp_path):
    video = read_video(film(tmp_path / "in.mkv", tags={"comment": "x" * 20_000, "title": "a"}, texts=()))
    assert dict(video.extras.tags) == {"title": "a"}
    assert "tags left out, too long or too many: COMMENT" in video.warnings


@pytest.mark.parametrize("late", [False, True])
def test_chapters_of_a_part_are_clipped_and_begin_with_it(tmp_path, late):
    source = film(tmp_path / "in.mkv", chapters=CHAPTERS, tags=TAGS, texts=())
    expected = (Chapter(0, 200_000_000, "Intro"), Chapter(200_000_000, 400_000_000, "Rest"))
    if late:
        video = read_video(source)
        assert cut_to(video.extras, video.info, range(5, 15)).chapters == expected
    else:
        assert read_video(source, Selection(frames=(5, 15))).extras.chapters == expected


def test_hostile_extras_do_not_keep_a_video_from_being_written(tmp_path):
    video = read_video(make_clip(tmp_path / "in.mp4", moving(3)))
    limit = (1 << 62) - 1
    extras = Extras(
        tags=(("timecode", "99:99:99;99"), ("title", "\x1b[2J\r\n"), ("=", ""), ("encoder", "x"), ("title", "twice")),
        chapters=(Chapter(-limit, limit, "a"), Chapter(limit, limit), Chapter(5, 5), Chapter(5, 9), Chapter(0, 1)),
        mastering=Mastering((0, 0, 0, 0, 0, 0, 0, 0), ((1 << 32) - 1, (1 << 32) - 1)),
        light=Light(65535, 65535),
        attachments=(Attachment("", "", b""), Attachment("", "", b"x"), Attachment("../../a", "image/png", b"y")) * 80,
    )
    for name in ("a.mp4", "a.mov", "a.mkv", "a.y4m", "a"):
        write(tmp_path / name, video, extras)
        assert len(read_video(tmp_path / name).frames) == 3


# Attachments


def test_fonts_and_covers_come_through_matroska(tmp_path):
    with av.open(str(tmp_path / "cover.png"), "w", format="image2") as container:
        stream = container.add_stream("png", rate=1)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "rgb24"
        container.mux(stream.encode(av.VideoFrame.from_ndarray(moving(1)[0], format="rgb24")))
        container.mux(stream.encode())
    cover = Attachment("cover.png", "image/png", (tmp_path / "cover.png").read_bytes())
    source = film(tmp_path / "in.mkv", attachments=[FONT, cover])
    video = read_video(source)
    assert {each.name: each for each in video.extras.attachments} == {"a.ttf": FONT, "cover.png": cover}
    assert video.warnings == ()
    assert write(tmp_path / "out.mkv", video) == []
    assert set(read_video(tmp_path / "out.mkv").extras.attachments) == {FONT, cover}
    assert read_video(source, Selection(attachments=False)).extras.attachments == ()


def test_more_attachments_than_a_file_holds(tmp_path):
    fonts = [Attachment(f"{number}.ttf", FONT.media_type, b"x") for number in range(300)]
    video = read_video(film(tmp_path / "in.mkv", attachments=fonts, texts=(), sounds=()))
    assert video.extras.attachments == tuple(fonts[:256])
    assert "44 attachments left out: a file holds 256" in video.warnings
    assert write(tmp_path / "out.mkv", video) == []
    assert read_video(tmp_path / "out.mkv").extras.attachments == tuple(fonts[:256])


# Light levels and timecodes


def test_light_levels_of_hdr(tmp_path):
    display = "G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,50)"
    params = f"log-level=none:hdr10=1:master-display={display}:max-cll=1000,400"
    source = make_clip(
        tmp_path / "in.mp4", moving(4, 64, 64), codec="libx265", options={"x265-params": params}, tags=(9, 16, 9, 1)
    )
    video = read_video(source)
    expected = Mastering((34000, 16000, 13250, 34500, 7500, 3000, 15635, 16450), (10_000_000, 50)), Light(1000, 400)
    assert (video.extras.mastering, video.extras.light) == expected
    assert write(tmp_path / "out.mp4", video) == []
    back = read_video(tmp_path / "out.mp4").extras
    assert (back.mastering, back.light) == expected
    assert write(tmp_path / "out.mkv", video) == ["left out, as .mkv cannot hold it: light levels of HDR"]
    assert "light levels of HDR (.mp4 and .mov)" in told_outputs(video.info, (), video.extras)[0]


def test_timecodes(tmp_path):
    video = read_video(make_clip(tmp_path / "in.mp4", moving(10)))
    write(tmp_path / "code.mov", video, Extras(tags=(("timecode", "01:00:59:20"),)))
    source = read_video(tmp_path / "code.mov")
    assert (dict(source.extras.tags)["timecode"], source.warnings) == ("01:00:59:20", ())
    part = read_video(tmp_path / "code.mov", Selection(frames=(7, 9)))
    for name in ("out.mov", "out.mp4", "out.mkv"):
        assert write(tmp_path / name, part) == []
        assert dict(read_video(tmp_path / name).extras.tags)["timecode"] == "01:01:00:02"


@pytest.mark.parametrize(
    ("start", "frames", "rate", "expected"),
    [
        ("00:00:59;29", 1, Fraction(30000, 1001), "00:01:00;02"),  # numbers 0 and 1 are dropped each minute
        ("00:09:59;29", 1, Fraction(30000, 1001), "00:10:00;00"),  # but each tenth
        ("01:00:00;00", 107_892, Fraction(30000, 1001), "02:00:00;00"),
        ("00:00:59;59", 1, Fraction(60000, 1001), "00:01:00;04"),
        ("00:00:59:29", 1, Fraction(30000, 1001), "00:01:00:00"),
        ("23:59:59:24", 1, RATE, "00:00:00:00"),
        ("00:00:00:00", 0, RATE, "00:00:00:00"),
        ("no timecode", 5, RATE, "no timecode"),
    ],
)
def test_timecodes_count_frames(start, frames, rate, expected):
    assert later(start, frames, rate) == expected


@pytest.mark.parametrize(
    "changes",
    [
        {"skip": (1 << 31) - 1, "sample_rate": 1},
        {"skip": (1 << 31) - 1, "time_base": Fraction(1, (1 << 31) - 1)},
        {"skip": 5, "packets": ()},
        {"drop": (1 << 31) - 1},
        {"language": "\x1b[2J" * 40, "tags": (("title", "\r\n"), ("=", "x"))},
    ],
)
@pytest.mark.parametrize("name", ["out.mkv", "out.mp4", "out.mov"])
def test_forged_tracks_do_not_keep_a_video_from_being_written(tmp_path, changes, name):
    video = read_video(make_clip(tmp_path / "in.mp4", moving(3), sounds=[Sound()]))
    (track,) = video.tracks
    write(tmp_path / name, replace(video, tracks=(replace(track, **changes), track)))
    assert len(read_video(tmp_path / name).frames) == 3
