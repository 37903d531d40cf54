"""The page of one encode: how close the decoded video is, where it is worst, what the bytes went into."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from fractions import Fraction
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import av
import numpy as np
from av.video.reformatter import Interpolation

from snerv_codec.bitstream.container import StreamFile
from snerv_codec.bitstream.segmentsection import CodedSegment
from snerv_codec.decoding import Decoder
from snerv_codec.evaluation.evaluate import Evaluation, evaluate
from snerv_codec.evaluation.pairing import open_side
from snerv_codec.evaluation.rivals import (
    ENCODERS,
    PRESET,
    SIDE_SECTIONS,
    OpenFrames,
    RivalPoint,
    bytes_at,
    rival_points,
)
from snerv_codec.events import Event
from snerv_codec.media.picture import Pixels
from snerv_codec.media.source import Selection
from snerv_codec.media.timeline import cut
from snerv_codec.media.writer import open_writer, png_bytes
from snerv_codec.pages.compare import Pair, clip, slider
from snerv_codec.pages.document import Block, Figure, Section, Table, Text, Verdict, html
from snerv_codec.pages.plot import Line, bar, plot
from snerv_codec.runtime.files import atomic_path

CLIP_SECONDS, CLIP_FRAMES, CLIP_SIDE, CLIP_CRF = 5, 150, 960, 14
WORST = 5  # frames in the table of the worst
GROUPS = {  # of a tensor's name before the first dot; the rest is told under its own name
    "up": ("up-sampling blocks", "snerv"),
    "fuse": ("fusion of resolutions (MFU)", "x264"),
    "high": ("high bands (HFR)", "x265"),
    "embeddings": ("frame embeddings", "svtav1"),
    "temporal": ("temporal embeddings, or motion", "svtav1"),
}
# How a video looks that reaches so much: by VMAF where it is measured, else by PSNR.
LOOKS = ((93, 40, "hard to tell from the original"), (80, 35, "close to the original"), (60, 30, "visibly softer"))


def write_page(
    reference: str | Path,
    coded: str | Path,
    output: str | Path,
    *,
    selection: Selection | None = None,
    device: str = "auto",
    vmaf: bool = True,
    rivals: bool = False,
    overwrite: bool = False,
    on_event: Callable[[Event], None] = lambda event: None,
) -> Evaluation:
    """Measure the `.snrv` file `coded` against the video it was made of, and write the page to `output`.

    `selection` is what was taken of `reference`; the crop is seen from the file. With `rivals`, x264 and x265 encode
    the same frames. Raises as `evaluate` does, and `OutputError`.
    """
    selection = selection or Selection()
    result = evaluate(reference, coded, selection=selection, device=device, vmaf=vmaf, on_event=on_event)
    selection = replace(selection, crop=(result.height, result.width))
    originals = partial(_originals, reference, selection, device)
    points: list[RivalPoint] = []
    with Decoder(coded, device=device) as decoder:
        if rivals:
            points = rival_points(originals, decoder.info, on_event=on_event)
        blocks: list[Block] = [
            _verdict(reference, result, points),
            Section("Original and decoded", list(_pictures(result, originals, decoder))),
            Section("Quality over time", list(_over_time(result, decoder))),
            *([_beside_rivals(result, points)] if points else []),
            _bytes_section(coded),
        ]
    with atomic_path(Path(output), overwrite=overwrite) as beside:
        beside.write_text(html(f"{Path(coded).name}, beside {Path(reference).name}", blocks, contents=True))
    return result


@contextmanager
def _originals(reference: str | Path, selection: Selection, device: str) -> Iterator[Iterator[Pixels]]:
    with open_side(reference, selection, device) as side:
        yield side.frames


def _verdict(reference: str | Path, result: Evaluation, points: list[RivalPoint]) -> Verdict:
    mean, size, path = result.summary, result.bytes or 0, Path(reference)
    text = f"The decoded video is {_looks(mean)}"
    if path.is_file() and path.stat().st_size:
        text += f", at {_share(size / path.stat().st_size)} bytes of the input"
    text += "."
    needs = {codec: bytes_at(points, codec, mean["psnr"]) for codec in ENCODERS}
    told = [f"{codec} needs {need / (result.video_bytes or 1):.2g} times" for codec, need in needs.items() if need]
    if told:
        text += f" For the same PSNR {' and '.join(told)} the bytes of its video (preset {PRESET})."
    figures = [
        ("size", _kilobytes(size)),
        ("bits a pixel", f"{result.bpp or 0:.4f}"),
        ("PSNR", f"{mean['psnr']:.2f} dB"),
        ("SSIM", f"{mean['ssim']:.4f}"),
    ]
    if "vmaf" in mean:
        figures.append(("VMAF", f"{mean['vmaf']:.1f}"))
    return Verdict(text, tuple(figures))


def _share(ratio: float) -> str:
    """A ratio in words that go before "bytes": "3.4 times the", "45 % of the"."""
    return f"{ratio:.1f} times the" if ratio >= 1.05 else f"{100 * ratio:.2g} % of the"


def _kilobytes(size: int) -> str:
    return f"{size / 1e6:.2f} MB" if size >= 1e6 else f"{size / 1e3:.1f} kB"


def _looks(mean: dict[str, float]) -> str:
    for vmaf, psnr, words in LOOKS:
        if mean["vmaf"] >= vmaf if "vmaf" in mean else mean["psnr"] >= psnr:
            return words
    return "plainly worse than the original"


def _pictures(result: Evaluation, originals: OpenFrames, decoder: Decoder) -> Iterator[Block]:
    """A slider over some frames, and over a clip around the worst of them."""
    psnr = result.per_frame["psnr"]
    chosen = _chosen(psnr)
    length = min(CLIP_FRAMES, max(1, round(CLIP_SECONDS * decoder.info.rate)), result.frames)
    start = min(max(0, next(iter(chosen)) - length // 2), result.frames - length)
    span = range(start, start + length)
    stills, moving = _read(originals, decoder, tuple(chosen), span)
    pairs = []
    for number, why in chosen.items():
        before, after = stills[number]
        name = f"{number}, {why}: {psnr[number]:.2f} dB"
        pairs.append(Pair(name, png_bytes(before), png_bytes(after), before.shape[1], before.shape[0]))
    yield Figure("Move the border with the mouse, a finger or the arrow keys", slider(pairs))
    if length > 1:
        yield Figure(f"Frames {span.start} to {span.stop - 1}, around the worst one", moving)


def _chosen(psnr: Sequence[float]) -> dict[int, str]:
    """Frames to look at and why, the worst one first."""
    order = sorted(range(len(psnr)), key=psnr.__getitem__)
    wishes = ((order[0], "worst"), (order[len(order) // 2], "median"), (order[-1], "best"), (0, "first"))
    found: dict[int, str] = {}
    for number, why in wishes:
        found.setdefault(number, why)
    return found


def _read(
    originals: OpenFrames, decoder: Decoder, chosen: tuple[int, ...], span: range
) -> tuple[dict[int, tuple[Pixels, Pixels]], str]:
    """The chosen frames as they were and as they are; and those of `span` as a clip for the page."""
    stills: dict[int, tuple[Pixels, Pixels]] = {}
    side = _shown_size(decoder[0])
    info, _ = cut(decoder.info, (), span)
    info = replace(info, width=2 * side[1], height=side[0], pixel_aspect=Fraction(1))
    with TemporaryDirectory(prefix="snerv-page-") as folder:
        path = Path(folder) / "clip.mp4"
        with originals() as frames, open_writer(path, info, crf=CLIP_CRF, preset="veryfast") as writer:
            for number, original in enumerate(frames):
                if number in span or number in chosen:
                    pair = original, decoder[number]
                    if number in chosen:
                        stills[number] = pair
                    if number in span:
                        writer.write(np.concatenate([_scaled(picture, side) for picture in pair], axis=1))
        return stills, clip(path.read_bytes(), side[1], side[0])


def _shown_size(picture: Pixels) -> tuple[int, int]:
    """Height and width of a picture in the clip: even, as 4:2:0 needs, and not larger than a page shows."""
    height, width = picture.shape[:2]
    share = min(1.0, CLIP_SIDE / max(height, width))
    return max(2, int(height * share) // 2 * 2), max(2, int(width * share) // 2 * 2)


def _scaled(picture: Pixels, size: tuple[int, int]) -> Pixels:
    if max(picture.shape[:2]) <= CLIP_SIDE:
        return picture[: size[0], : size[1]]  # an odd row or column is left out
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
    return np.asarray(frame.reformat(size[1], size[0], interpolation=Interpolation.AREA).to_ndarray(), np.uint8)


def _over_time(result: Evaluation, decoder: Decoder) -> Iterator[Block]:
    times = [float(time * decoder.info.time_base) for time in decoder.info.timestamps]
    figures = (("psnr", "PSNR (dB)", "snerv", 2), ("ssim", "SSIM", "x264", 4), ("vmaf", "VMAF", "x265", 2))
    drawn = [figure for figure in figures if figure[0] in result.per_frame]
    worst = sorted(range(result.frames), key=result.per_frame["psnr"].__getitem__)[:WORST]
    for name, label, color, digits in drawn:
        values = result.per_frame[name]
        points = list(zip(times, values, strict=True))
        lowest = [(times[number], values[number]) for number in sorted(worst)]
        lines = [Line(label, points, color), Line("the worst frames by PSNR", lowest, "svtav1", dots=True)]
        mean, least = result.summary[name], min(values)
        yield Figure(
            f"{label}: {mean:.{digits}f} on average, {least:.{digits}f} at least", plot(lines, "seconds", label)
        )
    rows = [
        (str(number), f"{times[number]:.2f}", *(f"{result.per_frame[name][number]:.{of}f}" for name, _, _, of in drawn))
        for number in worst
    ]
    yield Table(("worst frames", "second", *(label for _, label, _, _ in drawn)), rows)


def _beside_rivals(result: Evaluation, points: list[RivalPoint]) -> Section:
    ours = (result.video_bytes or 0, result.summary["psnr"])
    lines = [
        Line(codec, sorted((p.bytes / 1000, p.psnr) for p in points if p.codec == codec), codec, marked=True)
        for codec in dict.fromkeys(point.codec for point in points)
    ]
    lines.append(Line("this file", [(ours[0] / 1000, ours[1])], "snerv", strong=True))
    rows = [(f"{p.codec}, CRF {p.crf}", f"{p.bytes:,}", f"{p.psnr:.2f}") for p in points]
    rows.append(("this file", f"{ours[0]:,}", f"{ours[1]:.2f}"))
    title = "PSNR over kilobytes of video, sound left out: higher and further left is better"
    return Section(
        "Beside x264 and x265",
        [
            Figure(title, plot(lines, "kB", "PSNR (dB)", log_x=True)),
            Table(("", "bytes", "PSNR (dB)"), sorted(rows, key=lambda row: float(row[2]))),
            Text(f"Both at preset {PRESET} and otherwise as they come, in 4:2:0; PSNR is that of RGB frames for all."),
        ],
    )


def _bytes_section(coded: str | Path) -> Section:
    """What the bytes of the file went into: tensors by their part of the network, sound, and the rest."""
    with StreamFile(coded) as file:
        header = file.header
        tensors: dict[str, int] = {}
        for index in range(len(header.segments)):
            for name, size in _tensor_sizes(file.coded_segment(index)).items():
                tensors[name] = tensors.get(name, 0) + size
    groups: dict[tuple[str, str], int] = {}
    for name, size in tensors.items():
        group = GROUPS.get(name.partition(".")[0], ("the rest of the network", "vvenc"))
        groups[group] = groups.get(group, 0) + size
    sound = sum(section.end - section.offset for section in header.sections if section.name in SIDE_SECTIONS)
    rest = header.file_size - sound - sum(tensors.values())
    groups |= {("sound and subtitles", "weak"): sound, ("grids, tables, times and headers", "ink"): rest}
    by_size = sorted(groups.items(), key=lambda item: -item[1])
    parts = [(name, size, color) for (name, color), size in by_size if size > 0]
    rows = [(name, f"{size:,}", f"{size / header.file_size:.1%}") for name, size, _ in parts]
    each = [(name, f"{size:,}") for name, size in sorted(tensors.items(), key=lambda item: -item[1])]
    return Section(
        "Where the bytes are",
        [
            Figure(f"{header.file_size:,} bytes", bar(parts)),
            Table(("part", "bytes", "share"), rows),
            Section("Every tensor", [Table(("tensor", "bytes of symbols"), each)], folded=True),
            Text(header.summary),
        ],
    )


def _tensor_sizes(segment: CodedSegment) -> dict[str, int]:
    """Bytes of the coded symbols of each tensor, by name; those of an NNC bitstream together."""
    sizes = segment.tensor_bytes
    together = segment.symbol_bytes - sum(sizes.values())
    return sizes | ({"all weights (NNC)": together} if together else {})
