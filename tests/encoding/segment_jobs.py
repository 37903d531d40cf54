"""The jobs that an encode would run, and a toy encode of many segments, for tests of what becomes of them."""

import sys
from dataclasses import dataclass, replace

import torch
from clips import write_clip
from conftest import QUICK

from snerv_codec import encode
from snerv_codec.encoding.footage import read_footage
from snerv_codec.encoding.segment_job import make_jobs
from snerv_codec.encoding.segmentation import plan_segments
from snerv_codec.encoding.workdir import WorkDirectory
from snerv_codec.training.settings import FitSettings

PROGRAM = f"import sys; sys.path = {sys.path}; import watched; watched.main()"


def jobs_of(source, folder, settings):
    """Those of `source`, with states in `folder`."""
    footage = read_footage(source, settings)
    return make_jobs(footage, plan_segments(footage.info, settings, footage.scenes), settings, WorkDirectory(folder), 0)


@dataclass(frozen=True)
class Toy:
    """So many segments of so few frames that each is fitted in a moment, for so many epochs."""

    segments: int
    frames: int  # of each
    epochs: int

    @property
    def settings(self):
        """Those of Python; `command` has the same."""
        fit = FitSettings.preset("paper", epochs=self.epochs, prune_epochs=0)
        return replace(QUICK, size=f"{40 * self.segments}k", segment=self.frames, fit=fit)

    def clip(self, folder):
        """The video, in.mp4."""
        return write_clip(folder / "in.mp4", width=34, height=18, frames=self.segments * self.frames)

    def undisturbed(self, source):
        """The bytes of the file that comes out in this process, where nobody is killed."""
        torch.set_num_threads(1)  # as in workers and tasks of tests
        encode(source, source.with_name("whole.snrv"), self.settings)
        return source.with_name("whole.snrv").read_bytes()

    def command(self, source, output, *others):
        """The encode as a program that tells what it does as JSON, with other options; its jobs are watched."""
        fit = ["--preset", "paper", "--epochs", self.epochs, "--prune-epochs", 0, "--size", self.settings.size]
        options = [*fit, "--segment", self.frames, "--device", "cpu", "--json", "--force", *others]
        return [*map(str, [sys.executable, "-c", PROGRAM, "encode", source, "-o", output, *options])]
