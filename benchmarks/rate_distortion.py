"""Rate and distortion: datasets x codecs x points, a line each in results/rd/DATASET/CODEC.jsonl.

    python -m benchmarks.rate_distortion --dataset bunny-small --codec x264-medium x265-medium snerv:epochs=60

A point that is on record with the same clip, settings and version is not run again; a failed one is recorded as
failed, with why, and the run goes on. Rate is the size of the file on disk. Coded files stay in benchmarks/cache.
"""

import argparse
import os
import sys
from dataclasses import asdict
from pathlib import Path

from benchmarks import codecs, datasets, ffmpeg, record
from benchmarks.codecs import Codec
from benchmarks.curves import CEILING
from benchmarks.datasets import Dataset
from benchmarks.record import Record
from snerv_codec import evaluate
from snerv_codec.errors import UserError
from snerv_codec.evaluation.metrics import bits_per_pixel
from snerv_codec.media.source import Selection


def record_name(dataset: Dataset, codec: Codec) -> str:
    """The file of records that the points of a codec on a clip are in."""
    return f"rd/{dataset.name}/{codec.name}"


def identity(dataset: Dataset, codec: Codec, point: str) -> Record:
    """What makes two runs the same point, of whatever version."""
    return {"dataset": dataset.to_json(), "codec": codec.name, "point": point, "settings": codec.settings(point)}


def is_recorded(
    dataset: Dataset, codec: Codec, point: str, *, any_version: bool = False, results: Path | None = None
) -> bool:
    """Whether the point was measured before; a failed one was not."""
    found = record.find_record(record_name(dataset, codec), identity(dataset, codec, point), folder=results)
    return found is not None and found["status"] == "done" and (any_version or found["version"] == codec.version)


def run_point(
    dataset: Dataset, codec: Codec, point: str, *, cache: Path = datasets.CACHE, results: Path | None = None
) -> Record:
    """Code, decode and measure one point, and record it, failed or not. Returns what was measured."""
    values: Record = {"status": "done", "version": codec.version}
    folder = cache / "coded" / f"{dataset.name}-{dataset.sha256[:8]}" / codec.name
    try:
        values |= _measure(dataset, codec, point, folder)
    except Exception as error:  # whatever it is, the other points are still wanted
        reason = str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
        values |= {"status": "failed", "reason": reason}
    record.write_record(record_name(dataset, codec), identity(dataset, codec, point), values, folder=results)
    return values


def record_ceiling(dataset: Dataset, *, results: Path | None = None) -> None:
    """What the conversion to 4:2:0 and back costs by itself: the quality that no 4:2:0 codec exceeds."""
    name = f"rd/{dataset.name}/{CEILING}"
    same = {"dataset": dataset.to_json(), "settings": {"conversion": ffmpeg.CONVERSION}}
    if record.find_record(name, same, folder=results):
        return
    back = dataset.folder / "ceiling.mkv"
    ffmpeg.run("-i", dataset.master_420(), *ffmpeg.TO_RGB, "-c:v", "ffv1", back)
    record.write_record(name, same, {"quality": _quality(dataset, back)}, folder=results)
    back.unlink()


def _measure(dataset: Dataset, codec: Codec, point: str, folder: Path) -> Record:
    folder.mkdir(parents=True, exist_ok=True)
    load = os.getloadavg()[0]
    coded = codec.code(dataset, point, folder / point)
    pictures = codec.to_rgb(coded.path, folder / f"{point}.rgb.mkv")
    quality = _quality(dataset, pictures)
    if pictures != coded.path:
        pictures.unlink()
    size, shape = coded.path.stat().st_size, (dataset.width, dataset.height, dataset.frames)
    return {
        "rate": {
            "bytes": size,
            "bpp": bits_per_pixel(size, *shape),
            "stream_bytes": coded.stream_bytes,
            "stream_bpp": bits_per_pixel(coded.stream_bytes, *shape),
            "keyframes": coded.keyframes,
        },
        "quality": quality,
        "time": {
            "encode": asdict(coded.encode) if coded.encode else None,
            "decode": asdict(coded.decode),
            "threads": coded.threads,
            "load_before": load,
        },
        "library": coded.library,
        "details": coded.details,
    }


def _quality(dataset: Dataset, pictures: Path) -> Record:
    """Means over all frames, with what measured them."""
    result = evaluate(dataset.master, pictures)
    return {
        **result.summary,
        "matrix": result.matrix,
        "vmaf_model": result.vmaf_model,
        "vmaf_version": result.vmaf_version,
    }


def parse(argv: list[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add(
        "--dataset",
        nargs="+",
        required=True,
        help="bunny, bunny-small, bikes-small, uvg[/SEQUENCE], davis[/SEQUENCE], or a path",
    )
    add("--codec", nargs="+", required=True, help="names as in benchmarks.codecs, or anchors for all of those")
    add("--points", nargs="+", help="sizes for snerv, crf28 or qp32 for anchors, instead of the codec's own")
    add("--crop", type=_sides, metavar="HxW", help="centre crop of a clip given by path")
    add("--frames", type=_range, metavar="A:B", help="frames of a clip given by path")
    add("--data", type=Path, default=datasets.DATA, help="folder of UVG and DAVIS")
    add("--results", type=Path, default=record.RESULTS, help="folder of the records [%(default)s]")
    add("--any-version", action="store_true", help="keep points that another version of the codec made")
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    """Run what is missing. The exit status is 1 where a point failed."""
    options = parse(argv)
    try:
        jobs = _jobs(options)
    except UserError as error:
        sys.exit(str(error))
    failed = False
    for dataset, codec, point in jobs:
        print(f"{dataset.name:>14} {codec.name:<22} {point:>6}  ", end="", flush=True)
        if is_recorded(dataset, codec, point, any_version=options.any_version, results=options.results):
            print("on record")
            continue
        values = run_point(dataset, codec, point, results=options.results)
        print(_line(values), flush=True)
        failed |= values["status"] == "failed"
    return int(failed)


def _jobs(options: argparse.Namespace) -> list[tuple[Dataset, Codec, str]]:
    """All points asked for; the clips are made, and the ceiling of 4:2:0 measured, where anchors need it."""
    names = [name for given in options.codec for name in (codecs.ANCHORS if given == "anchors" else [given])]
    chosen = [codecs.find_codec(name) for name in names]
    selection = Selection(crop=options.crop, frames=options.frames) if options.crop or options.frames else None
    jobs = []
    for name in options.dataset:
        for dataset in datasets.find_datasets(name, data=options.data, selection=selection):
            points = [(codec, point) for codec in chosen for point in options.points or codec.points(dataset)]
            for codec, point in points:
                codec.settings(point)  # a wrong point is told before hours of work
            jobs += [(dataset, codec, point) for codec, point in points]
            if any(codec.name in codecs.ANCHORS for codec in chosen):
                record_ceiling(dataset, results=options.results)
    return jobs


def _sides(text: str) -> tuple[int, int]:
    height, width = text.split("x")
    return int(height), int(width)


def _range(text: str) -> tuple[int, int | None]:
    start, stop = text.split(":")
    return int(start or 0), int(stop) if stop else None


def _line(values: Record) -> str:
    if values["status"] == "failed":
        return f"failed: {values['reason']}"
    rate, quality, encode = values["rate"], values["quality"], values["time"]["encode"]
    took = f"{encode['seconds']:.1f} s" if encode else "resumed"
    return f"{rate['bytes']:>9,} bytes  {rate['bpp']:.4f} bpp  {quality['psnr']:.2f} dB  {took}"


if __name__ == "__main__":
    sys.exit(main())
