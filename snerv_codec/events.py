"""What the codec tells while it works; the command line renders it, Python callers may watch it."""

from dataclasses import asdict, dataclass, field
from typing import Any

from snerv_codec.report import Plan


@dataclass(frozen=True, slots=True)
class Planned:
    """The architecture is chosen and the frames are about to be read."""

    plan: Plan

    def to_json(self) -> dict[str, Any]:
        """A JSON object with `event` and the plan's fields."""
        return {"event": "plan", **self.plan.to_json()}


@dataclass(frozen=True, slots=True)
class StepsDone:
    """Some steps of an epoch are done: `step` of `steps`, with their mean loss and PSNR (dB), and the time they took.

    Told once in a while, not for every step.
    """

    phase: str
    epoch: int  # that is running, from 1
    epochs: int
    step: int
    steps: int
    loss: float
    psnr: float
    seconds: float
    segment: int = 0

    def to_json(self) -> dict[str, Any]:
        """A JSON object with `event` and the fields."""
        return {"event": "steps", **asdict(self)}


@dataclass(frozen=True, slots=True)
class EpochDone:
    """An epoch of a phase ("fit", "prune" or "grid"): means of its steps, PSNR in dB, and the time it took.

    `terms` are those of the loss, by name, without their weights; "rate", where it is one, in bits a value.
    """

    phase: str
    epoch: int  # from 1
    epochs: int
    loss: float
    psnr: float
    seconds: float
    terms: dict[str, float] = field(default_factory=dict)
    segment: int = 0

    def to_json(self) -> dict[str, Any]:
        """A JSON object with `event` and the fields."""
        return {"event": "epoch", **asdict(self)}


@dataclass(frozen=True, slots=True)
class StateSaved:
    """The state of a fit is on disk: an interrupted run goes on after `step` steps of `epoch` (from 0) of `phase`."""

    phase: str
    epoch: int
    step: int
    segment: int = 0

    def to_json(self) -> dict[str, Any]:
        """A JSON object with `event` and the fields."""
        return {"event": "saved", **asdict(self)}


@dataclass(frozen=True, slots=True)
class SegmentBegun:
    """The fit of segment number `segment` of `total`, from 0, begins, goes on, or is tried once more."""

    segment: int
    total: int

    def to_json(self) -> dict[str, Any]:
        """A JSON object with `event` and the fields."""
        return {"event": "begun", **asdict(self)}


@dataclass(frozen=True, slots=True)
class SegmentFailed:
    """Segment number `segment` of `total`, from 0, cannot be fitted, for the reason in `message`; others go on."""

    segment: int
    total: int
    message: str

    def to_json(self) -> dict[str, Any]:
        """A JSON object with `event` and the fields."""
        return {"event": "failed", **asdict(self)}


@dataclass(frozen=True, slots=True)
class SegmentDone:
    """Segment number `segment` of `total`, from 0, is fitted and coded."""

    segment: int
    total: int

    def to_json(self) -> dict[str, Any]:
        """A JSON object with `event` and the fields."""
        return {"event": "segment", **asdict(self)}


@dataclass(frozen=True, slots=True)
class FrameDone:
    """A frame was decoded: `task` is "measure", "interpolate", "decode", "verify" or "evaluate"; `done` of `total`.

    Of task "read" it is a frame of the input that was looked at before the fit, of task "rivals" a file of another
    codec that was made and measured.
    `total` is 0 where it is not known beforehand; of an input it is what its container claims, or its length suggests.
    """

    task: str
    done: int
    total: int

    def to_json(self) -> dict[str, Any]:
        """A JSON object with `event` and the fields."""
        return {"event": "frame", **asdict(self)}


@dataclass(frozen=True, slots=True)
class Warned:
    """Something the user should know; the work goes on."""

    message: str

    def to_json(self) -> dict[str, Any]:
        """A JSON object with `event` and the message."""
        return {"event": "warning", "message": self.message}


Event = Planned | StepsDone | EpochDone | StateSaved | SegmentBegun | SegmentFailed | SegmentDone | FrameDone | Warned
