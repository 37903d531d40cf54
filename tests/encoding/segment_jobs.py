"""The jobs that an encode would run, for tests of what becomes of them."""

from snerv_codec.encoding.footage import read_footage
from snerv_codec.encoding.segment_job import make_jobs
from snerv_codec.encoding.segmentation import plan_segments
from snerv_codec.encoding.workdir import WorkDirectory


def jobs_of(source, folder, settings):
    """Those of `source`, with states in `folder`."""
    footage = read_footage(source, settings)
    return make_jobs(footage, plan_segments(footage.info, settings, footage.scenes), settings, WorkDirectory(folder), 0)
