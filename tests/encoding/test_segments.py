"""Segments as jobs: shared out, run anywhere, gone on with, and put together to one file."""

import multiprocessing
import zlib
from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import QUICK
from hypothesis import given
from hypothesis import strategies as st

from snerv_codec import Decoder, encode, plan
from snerv_codec.bitstream.container import StreamFile, read_header
from snerv_codec.encoding.footage import read_footage
from snerv_codec.encoding.segment_job import make_jobs
from snerv_codec.encoding.segmentation import SegmentPlan, plan_segments, shares
from snerv_codec.encoding.workdir import WorkDirectory
from snerv_codec.errors import InputError, SettingsError
from snerv_codec.events import EpochDone
from snerv_codec.rate_control.targets import Target
from snerv_codec.training.settings import FitSettings

WHOLE = replace(QUICK, size="120k")
CUT = replace(WHOLE, segment=4)  # 6 frames: two segments, of 4 and 2


def jobs_of(clip, folder, settings=CUT):
    footage = read_footage(clip, settings)
    return make_jobs(footage, plan_segments(footage.info, settings), settings, WorkDirectory(folder), 0)


def run_in_another_process(job, threads, results):
    torch.set_num_threads(threads)
    results.put(job.run())


def epochs_of(clip, output, settings=CUT, stop_after=None, **options):
    """The epochs of an encode that is interrupted after some of them, or not."""
    seen = []

    def watch(event):
        if isinstance(event, EpochDone):
            seen.append(event)
            if len(seen) == stop_after:
                raise KeyboardInterrupt

    if stop_after is None:
        encode(clip, output, settings, on_event=watch, **options)
    else:
        with pytest.raises(KeyboardInterrupt):
            encode(clip, output, settings, on_event=watch, **options)
    return len(seen)


@given(st.integers(0, 10**9), st.lists(st.integers(1, 1000), min_size=1, max_size=50))
def test_bytes_are_shared_out_by_frames_to_the_last_one(room, lengths):
    ends = np.cumsum(lengths).tolist()
    segments = [SegmentPlan(range(end - n, end), None, None) for n, end in zip(lengths, ends, strict=True)]
    given = shares(room, segments)
    assert sum(given) == room
    assert all(abs(share - room * n / ends[-1]) <= 1 for n, share in zip(lengths, given, strict=True))


def test_segments_share_the_parameters(clip):
    whole, parts = plan(clip, WHOLE), plan(clip, CUT)
    assert whole.segments == ((0, 6),)
    assert parts.segments == ((0, 4), (4, 2))
    assert parts.total_parameters == pytest.approx(whole.total_parameters, rel=0.1)
    with pytest.raises(SettingsError, match="segments of 0 frames"):
        replace(QUICK, segment=0)


def test_a_job_gives_the_same_segment_in_another_process(clip, tmp_path):
    here = jobs_of(clip, tmp_path / "here")[1].run()
    spawn = multiprocessing.get_context("spawn")
    results = spawn.SimpleQueue()
    job = jobs_of(clip, tmp_path / "there")[1]
    process = spawn.Process(target=run_in_another_process, args=(job, torch.get_num_threads(), results))
    process.start()
    there = results.get()
    process.join()
    assert there == here
    assert there.coded.frame_count == 2


def test_a_file_of_several_segments_shows_all_frames_in_order(clip, tmp_path):
    report = encode(clip, tmp_path / "a.snrv", CUT)
    header = read_header(tmp_path / "a.snrv")
    assert [(each.first_frame, each.frame_count) for each in header.segments] == [(0, 4), (4, 2)]
    with Decoder(tmp_path / "a.snrv", device="cpu") as decoder:
        assert [zlib.crc32(frame.tobytes()) for frame in decoder] == list(decoder.checksums())
        one, other = decoder[:4], decoder[4:]
    for frames, job in zip((one, other), jobs_of(clip, tmp_path / "jobs"), strict=True):
        assert [zlib.crc32(frame.tobytes()) for frame in frames] == frame_checksums(job.run().coded, tmp_path, header)
    assert report.frames == 6
    assert report.bytes_symbols < report.bytes_total


def frame_checksums(coded, folder, header):
    from snerv_codec.bitstream.container import StreamWriter

    times = header.video.timestamps[: coded.frame_count]
    with (folder / "one.snrv").open("wb") as file:
        writer = StreamWriter(file.write, replace(header.video, timestamps=times))
        writer.add(coded)
        writer.finish()
    with StreamFile(folder / "one.snrv") as file:
        return list(file.read_segment(0).frame_checksums)


def test_a_target_in_bytes_is_that_of_the_file(clip, tmp_path):
    fit = FitSettings.preset("paper", recipe="rd", epochs=1, grid_epochs=6)
    settings = replace(CUT, fit=fit, target=Target("size", 60_000))
    report = encode(clip, tmp_path / "a.snrv", settings)
    assert report.bytes_total <= 60_000
    assert report.bytes_total == (tmp_path / "a.snrv").stat().st_size


def test_what_is_fitted_is_not_fitted_again(clip, tmp_path):
    whole = epochs_of(clip, tmp_path / "whole.snrv")
    output, half = tmp_path / "cut.snrv", whole // 2
    assert epochs_of(clip, output, stop_after=half + 1) == half + 1
    names = {path.name for path in (tmp_path / "cut.snrv.work").iterdir()}
    assert names == {"lock", "segment-0.npz", "segment-1.npz"}
    assert epochs_of(clip, output, resume=True) == half - 1
    assert output.read_bytes() == (tmp_path / "whole.snrv").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cut.snrv", "whole.snrv"]


def test_a_damaged_segment_that_was_done_is_told(clip, tmp_path):
    job = jobs_of(clip, tmp_path / "work")[1]
    fitted = job.run()
    assert job.run(resume=True, on_event=lambda event: pytest.fail(str(event))) == fitted
    for ended in ("{}", "[", '{"counts": [1], "outcome": {}}', '{"counts": [1, 2], "outcome": {"x": 1}}'):
        state = job.checkpoint.load()
        job.checkpoint.save({**state, "ended": ended})
        with pytest.raises(InputError, match="not a usable state"):
            job.run(resume=True)
