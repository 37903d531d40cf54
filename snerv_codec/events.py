"""What the codec tells while it works; the command line renders it, Python callers may watch it."""

from dataclasses import asdict, dataclass
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
class EpochDone:
    """An epoch of a phase ("fit", "prune" or "grid"): mean loss and PSNR (dB) of its steps, and the time it took."""

    phase: str
    epoch: int  # from 1
    epochs: int
    loss: float
    psnr: float
    seconds: float

    def to_json(self) -> dict[str, Any]:
        """A JSON object with `event` and the fields."""
        return {"event": "epoch", **asdict(self)}


@dataclass(frozen=True, slots=True)
class FrameDone:
    """A frame was decoded: `task` is "measure", "interpolate", "decode", "verify" or "evaluate"; `done` of `total`.

    Of task "rivals" it is a file of another codec that was made and measured.
    `total` is 0 where it is not known beforehand.
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


Event = Planned | EpochDone | FrameDone | Warned
