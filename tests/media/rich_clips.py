"""Tiny videos with all that a container can hold, which the tests of the media make for themselves."""

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.stream import Disposition

RATE = Fraction(25)


@dataclass(frozen=True)
class Sound:
    """A tone to put beside a video; `start` in seconds."""

    codec: str = "aac"
    rate: int = 48000
    layout: str = "stereo"
    seconds: float = 0.5
    start: Fraction = Fraction(0)


@dataclass(frozen=True)
class Text:
    """Subtitles to put beside a video: (start, end, text) in milliseconds."""

    codec: str = "subrip"
    lines: tuple[tuple[int, int, str], ...] = ((100, 300, "one"), (300, 900, "two"))


def moving(count=5, height=48, width=64):
    """uint8 RGB frames (count, height, width, 3) that are easy to code and all differ."""
    y, x = np.mgrid[:height, :width]
    frames = [np.stack((4 * x + 6 * t, 4 * y + 3 * t, 2 * (x + y) + 9 * t), -1) for t in range(count)]
    smooth = [np.abs(frame % 512 - 255) for frame in frames]
    return np.clip(np.stack(smooth), 0, 255).astype(np.uint8)


def samples(pix_fmt, planes):
    """A frame of `pix_fmt` with these samples: 2D arrays, one a plane."""
    height, width = planes[0].shape
    frame = av.VideoFrame(width, height, pix_fmt)
    for plane, values in zip(frame.planes, planes, strict=True):
        rows = np.frombuffer(memoryview(plane), values.dtype).reshape(plane.height, -1).copy()
        rows[:, : values.shape[1]] = values
        plane.update(rows.tobytes())
    return frame


def make_clip(
    path,
    frames,
    *,
    codec="libx264",
    pix_fmt="yuv420p",
    rate=RATE,
    time_base=None,
    times=None,
    tags=(2, 2, 2, 0),
    aspect=None,
    rotation=0,
    options=None,
    sounds=(),
    texts=(),
    sound_first=False,
    container_options=None,
):
    """Write `frames` (RGB arrays, or frames as they are) to `path` with everything asked for; return `path`.

    `times` count in `time_base`; `tags` are H.273's primaries, transfer, matrix, and ffmpeg's number of the range.
    """
    time_base = time_base or 1 / rate
    with av.open(str(path), "w", options=container_options or {}) as container:
        early = [_add_sound(container, sound) for sound in sounds] if sound_first else []
        video = container.add_stream(codec, rate=rate, options=options or {})
        first = frames[0]
        size = (first.width, first.height) if isinstance(first, av.VideoFrame) else first.shape[1::-1]
        context = video.codec_context
        (context.width, context.height), context.pix_fmt = size, pix_fmt
        context.time_base = video.time_base = time_base
        context.color_primaries, context.color_trc, context.colorspace, context.color_range = tags
        if aspect:
            context.sample_aspect_ratio = aspect
        if rotation:
            video.set_display_rotation(rotation)
        streams = early or [_add_sound(container, sound) for sound in sounds]
        captions = [_add_text(container, text, path) for text in texts]
        packets = []
        for number, frame in enumerate(frames):
            picture = frame if isinstance(frame, av.VideoFrame) else av.VideoFrame.from_ndarray(frame, format="rgb24")
            picture.pts, picture.time_base = (times[number] if times else number), time_base
            if isinstance(frame, av.VideoFrame):
                picture.colorspace, picture.color_range = tags[2], tags[3]
            packets += video.encode(picture)
        packets += video.encode()
        for stream, sound in zip(streams, sounds, strict=True):
            packets += _tone(stream, sound)
        for stream, text in zip(captions, texts, strict=True):
            packets += _captions(stream, text)
        for packet in sorted(packets, key=lambda p: p.dts * p.time_base):
            container.mux(packet)
    return path


def _add_sound(container, sound):
    stream = container.add_stream(sound.codec, rate=sound.rate)
    stream.layout = sound.layout
    stream.codec_context.time_base = Fraction(1, sound.rate)
    return stream


def _tone(stream, sound):
    channels = len(stream.layout.channels)
    wave = np.sin(np.arange(round(sound.seconds * sound.rate)) * 2 * np.pi * 440 / sound.rate) / 2
    resampler = av.AudioResampler(stream.format.name, sound.layout, sound.rate, stream.codec_context.frame_size or 1024)
    whole = av.AudioFrame.from_ndarray(np.tile(wave.astype(np.float32), (channels, 1)), "fltp", sound.layout)
    whole.sample_rate, whole.time_base = sound.rate, Fraction(1, sound.rate)
    whole.pts = round(sound.start * sound.rate)
    packets = []
    for frame in [*resampler.resample(whole), *resampler.resample(None)]:
        packets += stream.encode(frame)
    return packets + stream.encode()


def _add_text(container, text, path):
    """A stream of subtitles; its header comes from ffmpeg's own reading of an .srt file."""
    source = Path(path).with_name("caption.srt")
    source.write_text("1\n00:00:00,000 --> 00:00:01,000\nx\n\n")
    with av.open(str(source)) as parsed:
        stream = container.add_stream_from_template(parsed.streams.subtitles[0])
    stream.time_base = Fraction(1, 1000)
    return stream


def _captions(stream, text):
    packets = []
    for start, end, line in text.lines:
        packet = av.Packet(line.encode())
        packet.stream, packet.time_base = stream, Fraction(1, 1000)
        packet.pts = packet.dts = start
        packet.duration, packet.is_keyframe = end - start, True
        packets.append(packet)
    return packets


TWO_SOUNDS = (Sound("aac", layout="mono"),) * 2
TWO_TEXTS = (Text(), Text())


def film(path, *, chapters=(), tags=(), attachments=(), sounds=TWO_SOUNDS, texts=TWO_TEXTS, kind=None):
    """A clip with words on each of its streams, copied from one without."""
    plain = make_clip(path.with_name("plain.mkv"), moving(20), sounds=list(sounds), texts=list(texts), **(kind or {}))
    words = iter(
        [
            ("eng", 0, "Main"),
            ("fra", 1 | 8, "Commentaire du réalisateur"),
            ("eng", 64, "Signs"),
            ("deu", 128, "SDH"),
        ]
    )
    with av.open(str(plain)) as source, av.open(str(path), "w") as target:
        target.metadata.update(tags)
        streams: dict[int, Any] = {}
        for stream in source.streams:
            copy = streams[stream.index] = target.add_stream_from_template(stream, opaque=True)
            if stream.type != "video":
                language, roles, title = next(words)
                copy.disposition = Disposition(roles)
                copy.metadata.update({"language": language, "title": title})
        target.set_chapters(
            [
                {"id": i, "start": start, "end": end, "time_base": Fraction(1, 1000), "metadata": {"title": title}}
                for i, (start, end, title) in enumerate(chapters)
            ]
        )
        for each in attachments:
            target.add_attachment(each.name, each.media_type, each.data)
        for packet in source.demux():
            if packet.size:
                packet.stream = streams[packet.stream.index]
                target.mux(packet)
    return path


def heard_samples(path):
    """How many a decoder gives, and the time of the first."""
    with av.open(str(path)) as container:
        frames = list(container.decode(audio=0))
    return sum(frame.samples for frame in frames), float(frames[0].pts * frames[0].time_base)


def packets_of(path, kind):
    """(bytes, start in seconds) of all packets of the first stream of a kind ("audio", "subtitle") in a file."""
    with av.open(str(path)) as container:
        stream = getattr(container.streams, {"audio": "audio", "subtitle": "subtitles", "video": "video"}[kind])[0]
        return [(bytes(p), p.pts * p.time_base) for p in container.demux(stream) if p.pts is not None]


def psnr(first, second):
    """dB between two uint8 arrays."""
    error = np.mean((first.astype(np.float64) - second) ** 2)
    return float("inf") if error == 0 else 10 * np.log10(255**2 / error)
