"""What becomes of what comes with a video, on its way in and on its way out: the rows of docs/kept.md.

Each row is tried by test_fates.py, which writes the page too: `REGENERATE_KEPT=1 pytest tests/media/test_fates.py`.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from rich_clips import RATE, Sound, Text, film, heard_samples, make_clip, moving
from surgery import set_edits, step_back
from test_choice import folder, several
from test_color import flat
from test_damage import cut
from test_interlacing import interlaced
from test_orientation import with_matrix
from test_timing import joined

from snerv_codec.bitstream.extras import Attachment, Extras, Light, Mastering
from snerv_codec.bitstream.types import Color, Packet, SideTrack, VideoInfo
from snerv_codec.media.reader import Video, read_video

OUTPUTS = {".mp4": "out.mp4", ".mov": "out.mov", ".mkv": "out.mkv", ".y4m, `-`": "out.y4m", "PNG": "frames"}
WORDS = {"k": "kept", "t": "left out, told", "c": "converted", "-": "—"}
FRAMES = moving(12)


@dataclass(frozen=True)
class Out:
    """A row of the second table: a video with something to keep, whether it is `there` in what comes back, and its fate
    for each output: k kept, t left out and told by a warning, c changed as the page says, - left out without a word."""

    name: str
    make: Callable[[Path], Video]
    there: Callable[[Video, Video, Path], bool]  # of what went in, what came back, and the file
    fates: str


@dataclass(frozen=True)
class In:
    """A row of the first table: a source that `make` gives, what becomes of it, and what is said."""

    name: str
    make: Callable[[Path], Path]
    fate: str  # kept, converted, left out or refused
    said: str = ""  # a part of the warning or the error; none where it is empty
    deinterlace: bool = False


# On the way out


def plain(**changes: Any) -> Callable[[Path], Video]:
    """A video of FRAMES with these changes to its information, or to the extras."""

    def make(folder: Path) -> Video:
        extras = changes.get("extras", Extras())
        rest = {name: value for name, value in changes.items() if name != "extras"}
        info = VideoInfo(64, 48, 1 / RATE, tuple(range(12)), 1, RATE)
        return Video(replace(info, **rest), FRAMES, (), (), extras)

    return make


def heard(codec: str, suffix: str = ".mkv", **more: Any) -> Callable[[Path], Video]:
    """A video with sound of a codec."""
    return lambda folder: read_video(make_clip(folder / f"in{suffix}", FRAMES, sounds=[Sound(codec, **more)]))


def shown(subtitles: SideTrack) -> Callable[[Path], Video]:
    """A video with subtitles."""
    return lambda folder: replace(plain()(folder), tracks=(subtitles,))


def described(codec: str, header: bytes, kind: str, data: bytes) -> SideTrack:
    """A track of subtitles whose codec has this header, described by a container of a kind."""
    import io

    buffer = io.BytesIO()
    options = {"movflags": "empty_moov+default_base_moof"} if kind == "mp4" else {}
    with av.open(buffer, "w", format=kind, options=options) as container:
        stream: Any = container.add_stream(codec)
        stream.codec_context.subtitle_header = header
        stream.codec_context.time_base = stream.time_base = Fraction(1, 1000)
        packet = av.Packet(data)
        packet.stream, packet.time_base, packet.pts, packet.dts = stream, Fraction(1, 1000), 0, 0
        container.start_encoding() if kind == "mp4" else container.mux(packet)
    packets = (Packet(data, 0, 0, 400),)
    return SideTrack("subtitle", codec, buffer.getvalue(), Fraction(1, 1000), packets, "eng")


ASS = (
    b"[Script Info]\nScriptType: v4.00+\n[V4+ Styles]\nFormat: Name, Fontname, Fontsize\nStyle: Default,Arial,20\n"
    b"[Events]\nFormat: Layer, Start, End, Style, Text\n\0"
)


def movie(**more: Any) -> Callable[[Path], Video]:
    """A film with words on its tracks."""
    return lambda folder: read_video(film(folder / "in.mkv", **more))


def same_packets(before: Video, back: Video, path: Path) -> bool:
    return [[p.data for p in t.packets] for t in back.tracks] == [[p.data for p in t.packets] for t in before.tracks]


def same_samples(before: Video, back: Video, path: Path) -> bool:
    return bool(back.tracks) and heard_samples(path)[0] == heard_samples(path.parent / "in.mkv")[0]


def words(*names: str) -> Callable[[Video, Video, Path], bool]:
    """Whether these words of all tracks come back: attributes, or roles."""

    def all_there(before: Video, back: Video, path: Path) -> bool:
        return len(back.tracks) == len(before.tracks) and all(
            (getattr(a, name) == getattr(b, name)) if hasattr(a, name) else ((name in a.roles) == (name in b.roles))
            for a, b in zip(before.tracks, back.tracks, strict=True)
            for name in names
        )

    return all_there


def extra(name: str) -> Callable[[Video, Video, Path], bool]:
    """Whether a part of the extras comes back; names of tags in any case."""

    def value(video: Video) -> Any:
        if name == "tags":
            return sorted((key.lower(), text) for key, text in video.extras.tags)
        return getattr(video.extras, name)

    return lambda before, back, path: value(before) == value(back)


def told(name: str) -> Callable[[Video, Video, Path], bool]:
    """Whether a part of the information comes back."""
    return lambda before, back, path: getattr(before.info, name) == getattr(back.info, name)


def same_times(before: Video, back: Video, path: Path) -> bool:
    def times(info: VideoInfo) -> list[Fraction]:
        ends = (*info.timestamps, info.timestamps[-1] + info.final_duration)
        return [(time - info.timestamps[0]) * info.time_base for time in ends]

    return times(before.info) == times(back.info)


DISPLAY = Mastering((34000, 16000, 13250, 34500, 7500, 3000, 15635, 16450), (10_000_000, 50))
UNEVEN = {"time_base": Fraction(1, 1000), "timestamps": (*range(0, 400, 40), 401, 650), "final_duration": 90}
TAGS = {"title": "My film", "comment": "keep me", "artist": "Me"}
CHAPTERS = ((0, 240, "Intro"), (240, 480, "Rest"))
FONT = Attachment("a.ttf", "font/ttf", bytes(99))
OUT = (
    Out("pixels, as they were decoded", plain(), lambda a, b, _: np.array_equal(a.frames, b.frames), "cckck"),
    Out(
        "rate of 30000/1001", plain(rate=Fraction(30000, 1001), time_base=Fraction(1001, 30000)), told("rate"), "kkkk-"
    ),
    Out("uneven times, a long last frame", plain(**UNEVEN), same_times, "kkkt-"),
    Out("pixel aspect", plain(pixel_aspect=Fraction(4, 3)), told("pixel_aspect"), "kktk-"),
    Out("which field is first", plain(scan="top"), told("scan"), "kkkkt"),
    Out("colour matrix and range", plain(color=Color(1, 1, 1, False)), told("color"), "kk-t-"),
    Out("AAC sound", heard("aac"), same_packets, "kkk--"),
    Out("MP3 sound", heard("libmp3lame"), same_packets, "kkk--"),
    Out("AC-3 sound", heard("ac3"), same_packets, "kkk--"),
    Out("Opus sound", heard("libopus"), same_packets, "ktk--"),
    Out("FLAC sound", heard("flac"), same_packets, "ktk--"),
    Out("ALAC sound", heard("alac", ".mov"), same_packets, "kkk--"),
    Out("PCM sound of 16 bits", heard("pcm_s16le", ".mov"), lambda a, b, _: bool(b.tracks), "kkk--"),
    Out("G.711 sound", heard("pcm_mulaw", ".mov", rate=8000), lambda a, b, _: bool(b.tracks), "tkk--"),
    Out("ADPCM of QuickTime", heard("adpcm_ima_qt", ".mov"), lambda a, b, _: bool(b.tracks), "tkt--"),
    Out("the encoder's delay of AAC and AC-3, to the sample", heard("aac"), same_samples, "kkk--"),
    Out("the padding at the end of Opus and MP3", heard("libmp3lame"), same_samples, "ttk--"),
    Out("SubRip subtitles", movie(sounds=(), texts=(Text(),)), same_packets, "ttk--"),
    Out("ASS subtitles", shown(described("ass", ASS, "matroska", b"0,0,Default,,0,0,0,,hi")), same_packets, "ttk--"),
    Out("subtitles of MP4", shown(described("mov_text", ASS, "mp4", b"\0\2hi")), same_packets, "kkt--"),
    Out("language and title of a track", movie(texts=()), words("language", "tags"), "kkk--"),
    Out("the default track", movie(texts=()), words("default"), "kkk--"),
    Out("comment, hearing impaired and other roles", movie(texts=()), words("comment"), "ktk--"),
    Out("title, artist, comment", movie(texts=(), sounds=(), tags=TAGS), extra("tags"), "kkk--"),
    Out("other tags", movie(texts=(), sounds=(), tags={"MOOD": "calm"}), extra("tags"), "ttk--"),
    Out("chapters", movie(texts=(), sounds=(), chapters=CHAPTERS), extra("chapters"), "kkk--"),
    Out("attached fonts and covers", plain(extras=Extras(attachments=(FONT,))), extra("attachments"), "ttk--"),
    Out("timecode", plain(extras=Extras(tags=(("timecode", "01:00:00:00"),))), extra("tags"), "kkk--"),
    Out("mastering display of HDR", plain(extras=Extras(mastering=DISPLAY)), extra("mastering"), "kkt--"),
    Out("light levels of HDR", plain(extras=Extras(light=Light(1000, 400))), extra("light"), "kkt--"),
)


# On the way in


def y4m(folder):
    (folder / "a.y4m").write_bytes(b"YUV4MPEG2 W32 H32 C444\n" + 3 * (b"FRAME\n" + bytes(32 * 32 * 3)))
    return folder / "a.y4m"


def transparent(folder):
    frames = [av.VideoFrame.from_ndarray(np.full((48, 64, 4), 99, np.uint8), format="rgba")]
    return make_clip(folder / "a.mov", frames, codec="png", pix_fmt="rgba")


def of_matrix(number):
    kind: dict[str, Any] = {"codec": "ffv1", "pix_fmt": "yuv444p", "tags": (2, 2, number, 1)}
    return lambda folder: make_clip(folder / "a.mkv", [flat("yuv444p", [120, 100, 140])], **kind)


def mirrored(folder):
    return with_matrix(folder / "a.mp4", moving(1), (-65536, 0, 0, 0, 65536, 0, 0, 0, 1 << 30))


def stepping_back(folder):
    return step_back(make_clip(folder / "a.flv", moving(20), options={"bf": "0"}), 9, 11, 42)


def trimmed(folder):
    return set_edits(make_clip(folder / "a.mp4", moving(20), options={"bf": "0"}), 0, [(400, 12800 // 5)])


def jumping(folder):
    times = [*range(5), *(90_000 + i for i in range(5))]
    return make_clip(folder / "a.mp4", moving(10), times=times, options={"bf": "0"})


def changing(folder):
    parts = [make_clip(folder / f"{w}.h264", moving(4, 48, w), options={"bf": "0"}) for w in (64, 80)]
    (folder / "a.h264").write_bytes(b"".join(part.read_bytes() for part in parts))
    return folder / "a.h264"


def playlist(folder):
    (folder / "a.m3u8").write_text("#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nb.ts\n#EXT-X-ENDLIST\n")
    return folder / "a.m3u8"


def raw(folder):
    (folder / "a.yuv").write_bytes(bytes(3000))
    return folder / "a.yuv"


def deep(folder):
    return make_clip(folder / "a.mkv", moving(3), codec="ffv1", pix_fmt="yuv422p10le", tags=(1, 1, 1, 1))


def half(folder):
    return cut(make_clip(folder / "a.mkv", moving(30), codec="ffv1", pix_fmt="bgr0"), 0.6)


def fields(folder):
    return interlaced(folder / "a.mp4", "top")[0]


def timeless(folder):
    return make_clip(folder / "a.avi", moving(5), codec="mpeg4")


def with_data(folder):
    with av.open(str(folder / "a.ts"), "w") as container:
        stream: Any = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        data = container.add_data_stream("klv")
        for frame in moving(3):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        packet: Any = av.Packet(b"abc")
        packet.stream, packet.time_base, packet.pts, packet.dts = data, Fraction(1, 1000), 0, 0
        container.mux(packet)
        container.mux(stream.encode())
    return folder / "a.ts"


def with_captions(folder):
    """H.264 whose first frame carries a byte pair of CEA-608."""
    path = make_clip(folder / "a.h264", moving(3), options={"bf": "0"})
    data, message = path.read_bytes(), b"\xb5\x00\x31GA94\x03\xc1\xff\xfc\x94\x2c\xff"
    place = data.index(b"\x00\x00\x01\x65")
    unit = b"\x00\x00\x01\x06\x04" + bytes([len(message)]) + message + b"\x80"
    path.write_bytes(data[:place] + unit + data[place:])
    return path


def odd_sound(folder):
    return make_clip(folder / "a.avi", moving(5), codec="mpeg4", sounds=[Sound("adpcm_ms", layout="mono")])


IN = (
    In("8 bits, 4:2:0", lambda f: make_clip(f / "a.mp4", moving(3)), "kept"),
    In("10 bits and more, 4:2:2, 4:4:4, RGB", deep, "converted to 8-bit RGB"),
    In("YCgCo", of_matrix(8), "converted to RGB by its own formula"),
    In("ICtCp and other matrices that cannot be converted", of_matrix(14), "refused", "cannot be converted"),
    In("transparency", transparent, "left out", "transparency is dropped"),
    In("turned and mirrored pictures", mirrored, "converted: upright, as players show them", "frames are mirrored"),
    In("interlaced", fields, "kept, with its flag", "frames are interlaced, top field"),
    In("interlaced, with `--deinterlace`", fields, "converted by bwdif", deinterlace=True),
    In("edit lists", trimmed, "kept: what players show"),
    In("no presentation times (AVI)", timeless, "kept, at the right times"),
    In("no rate (y4m, folders, raw)", y4m, "taken for 25 frames/s", "the rate is not told"),
    In("recordings in a row", joined, "kept, one after the other", "times start anew"),
    In("times that step back", stepping_back, "moved by the least", "whose times step back"),
    In("a jump of more than 10 s", jumping, "kept", "the times jump there"),
    In("several videos", lambda f: several(f / "a.mkv", [(32, 32, False), (64, 96, True)]),
       "the default or the largest is taken", "is taken of several"),
    In("images whose numbers have gaps", lambda f: folder(f / "frames", ["1.png", "2.png", "5.png"]),
       "taken as one sequence", "numbers are missing"),
    In("sound that no container here holds", odd_sound, "left out", "left out: it cannot be carried"),
    In("closed captions inside the video", with_captions, "left out", "closed captions"),
    In("streams of data, as of sensors", with_data, "left out", "which cannot be carried: 1 (klv)"),
    In("a file that is cut short", half, "refused, but for what is there (`--frames`)", "cut short"),
    In("a size that changes", changing, "refused, but for each part (`--frames`)", "must keep its size"),
    In("playlists", playlist, "refused", "not a video"),
    In("raw samples without `--video-size`", raw, "refused", "do not tell their size"),
)  # fmt: skip


def page() -> str:
    """docs/kept.md."""
    lines = [
        "# What is kept",
        "",
        "Made by the tests, which try every row. *Told* is one line, a warning or an error, that names it.",
        "",
        "## On the way in",
        "",
        "| input | what becomes of it | told |",
        "|---|---|---|",
        *(f"| {row.name} | {row.fate} | {'yes' if row.said else ''} |" for row in IN),
        "",
        "What is left out at `encode` is told there, and what only some outputs of `decode` can hold as well.",
        "",
        "## On the way out",
        "",
        "A `.snrv` file keeps all of these. Pixels in .mp4 and .mov are H.264, visually lossless; in .y4m YUV 4:4:4.",
        "",
        f"| | {' | '.join(OUTPUTS)} |",
        f"|---|{'---|' * len(OUTPUTS)}",
        *(f"| {row.name} | {' | '.join(WORDS[fate] for fate in row.fates)} |" for row in OUT),
        "",
        "A dash: this kind of output has no place for it; .mkv holds RGB, which has no matrix.",
    ]
    return "\n".join(lines) + "\n"
