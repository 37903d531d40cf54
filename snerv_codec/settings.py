"""What a user may ask of an encode. Never stored in the file, except as a line of text."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from difflib import get_close_matches
from fractions import Fraction
from importlib.metadata import version
from numbers import Real
from pathlib import Path
from typing import Any, Literal, get_args

from snerv_codec.bitstream import nnc
from snerv_codec.bitstream.models import LAYOUTS, Model
from snerv_codec.bitstream.types import MAX_FRAMES, VideoInfo
from snerv_codec.errors import SettingsError
from snerv_codec.media.source import Selection
from snerv_codec.rate_control.targets import GREATEST, Target, TargetKind
from snerv_codec.training.settings import RECIPES, FitSettings, Phase, PresetName, RecipeName

SIZES = {"size", "channels", "blocks"}  # the settings that say how many parameters there are
TARGETS: dict[str, TargetKind] = {f"target_{kind}": kind for kind in get_args(TargetKind)}

# Raise this where the same video and settings come to another file than before: what was measured then is of another
# codec. Benchmarks keep it with each record.
CODEC_REVISION = 4

DEFAULT_FIT = FitSettings()
AUTO = "auto"  # of a model: what suits the recipe

Segmentation = int | str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodeSettings:
    """All choices of an encode; the defaults are those of `snerv encode`.

    `size` is the number of parameters, embeddings included ("3M", "350k", 350_000). `of` takes all settings by name,
    those of `fit`, `source` and `target` too.

    With a `target` in bytes the file is at most that large, and not much smaller; with one of quality it looks at
    least that good, and not much better, where a model of this `size` can; `min_psnr` is then a floor, in dB, of the
    mean PSNR of each segment. Either takes recipe "rd". Without a `size`, that of the target in bytes is taken, or what
    suits the video's pixels (`encoding.prediction`); and recipe "rd", unless settings ask for the paper's.

    `model` is the backbone "b", its temporal extension, with 3D ("t") or 2D convolutions ("t2d"), or "pixel", which
    makes pixels in place of subbands; "canvas" adds a map to it that all frames share, and that of "sprite" moves with
    the camera, and is another for each scene. "auto" becomes "sprite" with recipe "rd", which has the fewest bits, and
    the paper's "b" with the others, or where `blocks` or a `temporal_size` are asked for. `embedding` is the (channels,
    height, width) of a frame's embedding, `temporal_size` the (height, width) of the extension's temporal ones; None
    stands for what suits size and frame.
    With `entropy` "nnc" the decoder is an ISO/IEC 15938-17 bitstream at quantisation parameter `qp`, with grids of its
    own. With `rounding` "rdo" the paper's recipe ends in fewer bits that do the frames no more harm than plain grids
    would.

    `holdout` "even" leaves out the second, fourth ... frame; decoding at twice the rate inserts them again.
    `mask` is a picture, a folder of pictures or a video, white where pixels are missing and to be filled in.
    `segment` says which frames share a network: so many ("900", 900), those of so many seconds ("30s"), all (None or
    "none"), or as many as memory allows, from the start of a scene where that can be ("auto"). Of so many segments in a
    row as `chain` says, each starts with the network of the one before, and so is fitted after it; where less than half
    of its frames are still of the scene that the one before ends in, it starts anew.
    """

    size: str | int | float | None = None
    model: Model = AUTO
    channels: int | None = None
    blocks: int | None = None
    strides: tuple[int, ...] | None = None
    embedding: tuple[int, int, int] | None = None
    temporal_size: tuple[int, int] | None = None
    entropy: Literal["range", "nnc"] = "range"
    qp: int = nnc.DEFAULT_QP
    rounding: Literal["plain", "rdo"] = "plain"
    device: str = "auto"
    target: Target | None = None
    min_psnr: float | None = None
    fit: FitSettings = DEFAULT_FIT
    holdout: Literal["even"] | None = None
    mask: str | Path | None = None
    segment: Segmentation = "auto"
    chain: int = 1
    source: Selection = field(default_factory=Selection)

    @classmethod
    def of(cls, *, preset: PresetName = "default", **choices: Any) -> "EncodeSettings":
        """Settings by their names alone: `of(size=1e6, epochs=3, target_psnr=34, crop=(640, 1280), rate=29.97)`.

        The names are those of the fields here, in `FitSettings` and in `Selection`, and target_size (bytes),
        target_bpp, target_bitrate (bits a second), target_psnr (dB) and target_vmaf, of which one may be given. None
        stands for what the preset or the recipe has. Without a size or with a target the recipe is "rd", but where
        another is asked for. Raises `SettingsError`.
        """
        given = {name: value for name, value in choices.items() if value is not None}
        targets = {
            name: Target(kind, _number(name, given.pop(name))) for name, kind in TARGETS.items() if name in given
        }
        if len(targets) > 1:
            raise SettingsError(f"{' and '.join(targets)} cannot both be met; give one of them")
        if "rate" in given:
            given["rate"] = _exact_rate(given["rate"])
        kinds = {kind: {field.name for field in fields(kind)} for kind in (cls, FitSettings, Selection)}
        kinds[cls] -= {"fit", "source", "target"}
        known = set().union(*kinds.values())
        for name in given.keys() - known:
            close = get_close_matches(name, [*known, *TARGETS], 1)
            raise SettingsError(f"there is no setting {name!r}" + (f"; {close[0]!r} is the nearest" if close else ""))
        for kind, names in kinds.items():
            given |= _numbers_of(kind, {name: given[name] for name in given.keys() & names})
        own, fit, source = ({k: v for k, v in given.items() if k in names} for names in kinds.values())
        if targets:
            own["target"] = next(iter(targets.values()))
        alone = cls(**own)
        if preset == "paper" and not targets:
            fit.setdefault("recipe", "paper")
        fit.setdefault("recipe", alone.fit.recipe)
        model = own.get("model", "b" if preset == "paper" else AUTO)  # `alone` knew neither preset nor recipe
        return replace(alone, model=model, fit=FitSettings.preset(preset, **fit), source=Selection(**source))

    @classmethod
    def either(cls, settings: "EncodeSettings | None", choices: Mapping[str, Any]) -> "EncodeSettings":
        """`settings`, or what `choices` name where there are none. Raises `SettingsError` where there are both."""
        if settings is not None and choices:
            raise SettingsError(f"settings and {', '.join(choices)} beside them; give either")
        return settings or cls.of(**choices)

    def __post_init__(self) -> None:
        if self.fit is DEFAULT_FIT:  # nobody chose a recipe
            object.__setattr__(self, "fit", replace(DEFAULT_FIT, recipe=self._default_recipe()))
        if self.model == AUTO:
            object.__setattr__(self, "model", self._default_model())
        if self.model not in LAYOUTS:
            raise SettingsError(f"model {self.model!r} is not one of {', '.join((AUTO, *LAYOUTS))}")
        object.__setattr__(self, "segment", _segmentation(self.segment))
        if self.chain < 1:
            raise SettingsError(f"`chain` {self.chain}: a chain has at least one segment")
        if self.holdout not in ("even", None):
            raise SettingsError(f"holdout {self.holdout!r} is not 'even'")
        if self.holdout is not None and self.mask is not None:
            raise SettingsError("frames left out and a mask cannot go together; choose one of `holdout` and `mask`")
        if self.entropy not in ("range", "nnc"):
            raise SettingsError(f"entropy coder {self.entropy!r} is not range or nnc")
        if self.entropy == "nnc" and RECIPES[self.fit.recipe].grids:
            raise SettingsError(f"recipe {self.fit.recipe} trains for grids of its own; `entropy` nnc has others")
        if not nnc.MIN_QP <= self.qp <= nnc.MAX_QP:
            raise SettingsError(f"QP {self.qp} is not in {nnc.MIN_QP}..{nnc.MAX_QP}")
        if self.rounding not in ("plain", "rdo"):
            raise SettingsError(f"rounding {self.rounding!r} is not plain or rdo")
        if self.rounding == "rdo" and (self.entropy == "nnc" or RECIPES[self.fit.recipe].grids):
            raise SettingsError("rounding rdo takes `recipe` paper and `entropy` range; others have their own grids")
        if self.target is not None and RECIPES[self.fit.recipe].grids != "learned":
            raise SettingsError(f"a target takes `recipe` rd, which trains for it; {self.fit.recipe} cannot")
        if self.min_psnr is not None:
            self._check_floor(self.min_psnr)
        if self.target is not None and self.target.kind == "vmaf" and self.mask is not None:
            raise SettingsError("VMAF counts pixels that `mask` leaves out; take `target_psnr` instead")

    def _check_floor(self, floor: float) -> None:
        if self.target is None or not self.target.of_quality:
            raise SettingsError(
                "`min_psnr` is a floor beside a target of quality; give `target_psnr` or `target_vmaf` too"
            )
        if not 0 < floor <= GREATEST["psnr"]:
            raise SettingsError(f"`min_psnr` {floor:g} is not above 0 and at most {GREATEST['psnr']:g} dB")
        if self.target.kind == "psnr" and floor > self.target.value:
            raise SettingsError(f"`min_psnr` {floor:g} is above the target, {self.target}; raise that")

    def _default_recipe(self) -> RecipeName:
        """The one that trains for rate where a target asks for it, or where nothing asks for the paper's."""
        papers = self.sized or self.entropy == "nnc" or self.rounding == "rdo"
        return "rd" if self.target is not None or not papers else "paper"

    def _default_model(self) -> Model:
        """That of the fewest bits where a fit trains for them, but for parts that only the paper's have."""
        papers = self.blocks is not None or self.temporal_size is not None
        return "sprite" if self.fit.recipe == "rd" and not papers else "b"

    @property
    def sized(self) -> bool:
        """Whether the number of parameters is asked for, in all or by its parts."""
        return any(getattr(self, name) is not None for name in SIZES)

    def target_bytes(self, info: VideoInfo) -> int | None:
        """The greatest size of the file in bytes; None where there is no target, or one of quality."""
        return None if self.target is None else self.target.bytes(info)

    @property
    def rate_weight(self) -> float:
        """How much a bit a value weighs beside distortion, with recipe rd."""
        return self.fit.weight_of_rate(self.model)

    def phases(self) -> tuple[Phase, ...]:
        """The phases of the fit; those of no epochs included."""
        return self.fit.phases(self.model)

    def summary(self) -> str:
        """How the file was made, for people."""
        epochs = " + ".join(f"{phase.epochs} {phase.name}" for phase in self.phases() if phase.epochs)
        tuned = f", tuned for {self.fit.tune}" if self.fit.tune else ""
        made = f"recipe {self.fit.recipe}{tuned}, {self.fit.optimizer}, epochs {epochs}, seed {self.fit.seed}"
        return f"snerv {version('snerv-codec')}: {made}"


def seconds_of(segment: str) -> Fraction:
    """The length in seconds that "30s" asks for. Raises `SettingsError`."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)s", segment)
    seconds = Fraction(match[1]) if match else Fraction(0)
    if not seconds:
        raise SettingsError(f"segment {segment!r} is not auto, none, a number of frames, or of seconds such as 30s")
    return seconds


def _segmentation(segment: Segmentation) -> Segmentation:
    """The setting in its one form."""
    if segment in (None, "none", "auto"):
        return None if segment == "none" else segment
    if isinstance(segment, str) and not segment.isdecimal():
        seconds_of(segment)
        return segment
    frames = int(segment or 0)
    if not 1 <= frames <= MAX_FRAMES:
        raise SettingsError(f"segments of {frames:,} frames are not of 1 to {MAX_FRAMES:,}")
    return frames


def _numbers_of(kind: type, given: Mapping[str, Any]) -> dict[str, float]:
    """Those `given` fields of `kind` that are nothing but numbers, whole ones as integers. Raises `SettingsError`."""
    found = {}
    for each in fields(kind):
        whole = each.type in (int, int | None)
        if each.name in given and (whole or each.type in (float, float | None)):
            found[each.name] = _number(each.name, given[each.name], whole=whole)
    return found


def _number(name: str, value: Any, *, whole: bool = False) -> float:
    is_number = isinstance(value, Real) and not isinstance(value, bool)
    if not is_number or (whole and value % 1 != 0):
        raise SettingsError(f"`{name}` {value!r} is not a {'whole ' if whole else ''}number")
    return int(value) if whole else float(value)


def _exact_rate(value: Any) -> Fraction:
    """Frames a second: 25, 29.97, "30000/1001" or a `Fraction`."""
    try:
        rate = Fraction(str(value))
    except (ValueError, ZeroDivisionError):
        rate = Fraction(0)
    if rate <= 0:
        raise SettingsError(f"rate {value!r} is not a number of frames a second, such as 25 or '30000/1001'")
    return rate
