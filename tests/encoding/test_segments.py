"""Segments as jobs: shared out, run anywhere, gone on with, and put together to one file."""

import json
import multiprocessing
import os
import re
import signal
import subprocess
import sys
import zlib
from dataclasses import replace
from fractions import Fraction
from functools import partial
from itertools import pairwise

import numpy as np
import pytest
import torch
from clips import write_clip
from conftest import QUICK
from hypothesis import given
from hypothesis import strategies as st
from segment_jobs import jobs_of

from snerv_codec import Decoder, EncodeSettings, encode, plan
from snerv_codec.bitstream.container import StreamFile, StreamWriter, read_header
from snerv_codec.bitstream.types import VideoInfo
from snerv_codec.cli.render import plan_rows
from snerv_codec.encoding.footage import read_footage
from snerv_codec.encoding.outcome import settled, shortfall
from snerv_codec.encoding.runner import run_jobs
from snerv_codec.encoding.segment_job import FittedSegment, PackedDraft
from snerv_codec.encoding.segmentation import MOST_BYTES, SegmentPlan, cuts, shares
from snerv_codec.errors import InputError, OutputError, SettingsError, UserError
from snerv_codec.evaluation.metrics import psnr
from snerv_codec.events import EpochDone, FrameDone, Planned, SegmentBegun, SegmentDone, SegmentFailed, Warned
from snerv_codec.media.reader import read_video
from snerv_codec.media.source import Selection
from snerv_codec.media.writer import write_image
from snerv_codec.rate_control.targets import Target
from snerv_codec.training.checkpoint import Checkpoint
from snerv_codec.training.settings import FitSettings

WHOLE = replace(QUICK, size="120k")
RD = FitSettings.preset("paper", recipe="rd", epochs=1, grid_epochs=6)
CUT = replace(WHOLE, segment=4)  # 6 frames: two segments, of 4 and 2


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
    assert re.match(
        r"2 of 2 to 4 frames, about [\d,]+ to [\d,]+ parameters and \S+ kB to \S+ kB", plan_rows(parts)["segments"]
    )
    with pytest.raises(SettingsError, match="segments of 0 frames"):
        replace(QUICK, segment=0)


def test_a_file_of_several_segments_shows_all_frames_in_order(clip, tmp_path):
    report = encode(clip, tmp_path / "a.snrv", CUT)
    header = read_header(tmp_path / "a.snrv")
    assert [(each.first_frame, each.frame_count) for each in header.segments] == [(0, 4), (4, 2)]
    with Decoder(tmp_path / "a.snrv", device="cpu") as decoder:
        assert [zlib.crc32(frame.tobytes()) for frame in decoder] == list(decoder.checksums())
        one, other = decoder[:4], decoder[4:]
    for frames, job in zip((one, other), jobs_of(clip, tmp_path / "jobs", CUT), strict=True):
        job.run()
        assert [zlib.crc32(frame.tobytes()) for frame in frames] == frame_checksums(job.coded(), tmp_path, header)
    assert report.frames == 6
    assert report.bytes_symbols < report.bytes_total


def frame_checksums(coded, folder, header):
    times = header.video.timestamps[: coded.frame_count]
    with (folder / "one.snrv").open("wb") as file:
        writer = StreamWriter(file.write, replace(header.video, timestamps=times))
        writer.add(coded)
        writer.finish()
    with StreamFile(folder / "one.snrv") as file:
        return list(file.read_segment(0).frame_checksums)


def test_a_target_in_bytes_is_that_of_the_file(clip, tmp_path):
    settings = replace(CUT, fit=RD, target=Target("size", 60_000))
    report = encode(clip, tmp_path / "a.snrv", settings)
    assert 0.98 * 60_000 <= report.bytes_total <= 60_000
    assert report.bytes_total == (tmp_path / "a.snrv").stat().st_size


def test_a_target_of_quality_is_that_of_the_file(clip, tmp_path):
    settings = replace(CUT, fit=replace(RD, grid_epochs=3), target=Target("psnr", 9), min_psnr=8)
    report = encode(clip, tmp_path / "a.snrv", settings)
    assert report.reached == pytest.approx(report.quality.psnr, abs=1e-6)  # as the file decodes, over all frames
    assert report.reached >= 9
    with Decoder(tmp_path / "a.snrv", device="cpu") as decoder:
        figures = [psnr(a, b) for a, b in zip(read_video(clip).frames, decoder, strict=True)]
    assert report.worst_psnr == pytest.approx(min(np.mean(figures[:4]), np.mean(figures[4:])), abs=1e-6)


def drafted(*drafts):
    return FittedSegment({"fit": 30.0}, None, tuple(PackedDraft(size, size, 0, psnr, psnr) for size, psnr in drafts))


def test_what_segments_leave_over_or_lack_is_made_up_for_whatever_their_order(clip, tmp_path):
    short, able = drafted((100, 28.0)), drafted((100, 30.0), (110, 31.0), (130, 32.0), (90, 29.0))  # of 4, 2 frames
    in_bytes = replace(CUT, fit=RD, target=Target("size", 10_000))
    jobs = [replace(job, limit=105) for job in jobs_of(clip, tmp_path, in_bytes)]
    outcome = settled(jobs, [short, able], in_bytes)
    assert (outcome.chosen, outcome.symbol_bytes, outcome.reached) == ((0, 1), 210, None)

    def told(target, floor, *fitted):
        settings = replace(in_bytes, target=Target("psnr", target), min_psnr=floor)
        outcome = settled(jobs, fitted, settings)
        return outcome.chosen, list(shortfall(settings, outcome))

    assert told(29, 28, short, able) == ((0, 1), [])  # (4 * 28 + 2 * 31) / 6
    chosen, (mean, worst) = told(30, 29, short, able)
    assert chosen == (0, 2)
    assert "PSNR 30 dB, is out of this fit's reach, which came to 29.33" in mean
    assert "PSNR 29 dB, is out of reach for segment 1, the worst, which came to 28.00" in worst


@pytest.mark.parametrize(
    ("choices", "problem"),
    [
        ({"min_psnr": 30}, "`min_psnr` is a floor beside a target of quality"),
        ({"min_psnr": 30, "target_size": 1e6}, "`min_psnr` is a floor beside a target of quality"),
        ({"min_psnr": 35, "target_psnr": 34}, "`min_psnr` 35 is above the target, PSNR 34 dB"),
        ({"min_psnr": 101, "target_vmaf": 90}, "`min_psnr` 101 is not above 0 and at most 100 dB"),
    ],
)
def test_a_floor_is_one_below_a_target_of_quality(choices, problem):
    with pytest.raises(SettingsError, match=problem):
        EncodeSettings.of(**choices)


def test_what_is_fitted_is_not_fitted_again(clip, tmp_path):
    whole = epochs_of(clip, tmp_path / "whole.snrv")
    output, half = tmp_path / "cut.snrv", whole // 2
    assert epochs_of(clip, output, stop_after=half + 1) == half + 1
    names = {path.name for path in (tmp_path / "cut.snrv.work").iterdir()}
    assert names == {"lock", "segment-0.npz", "segment-1.npz"}
    assert epochs_of(clip, output, resume=True) == half - 1
    assert output.read_bytes() == (tmp_path / "whole.snrv").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cut.snrv", "whole.snrv"]


def test_what_an_earlier_run_has_ended_takes_no_worker(clip, tmp_path, monkeypatch):
    jobs, told = jobs_of(clip, tmp_path / "work", CUT), []
    fitted = [job.run() for job in jobs]
    monkeypatch.setattr("snerv_codec.encoding.runner._SideBySide._start", lambda *_: pytest.fail("a worker"))
    assert run_jobs(jobs, workers=2, on_event=told.append) == fitted
    assert told == [SegmentDone(0, 2), SegmentDone(1, 2)]


def test_an_interrupted_run_that_is_dropped_leaves_nothing_that_is_gone_on_with(clip, tmp_path):
    output, other = tmp_path / "out.snrv", replace(CUT, size="100k")
    half = epochs_of(clip, tmp_path / "whole.snrv", other) // 2
    epochs_of(clip, output, stop_after=half + 1)  # within the second segment
    epochs_of(clip, output, other, stop_after=1, overwrite=True)  # within the first one
    assert not (tmp_path / "out.snrv.work" / "segment-1.npz").exists()
    assert epochs_of(clip, output, other, resume=True) >= 2 * half - 1


def test_a_damaged_segment_that_was_done_is_told(clip, tmp_path):
    job = jobs_of(clip, tmp_path / "work", CUT)[1]
    fitted = job.run()
    assert job.run(on_event=lambda event: pytest.fail(str(event))) == fitted
    state = job.checkpoint.load()
    for ended in ("{}", "[", "[1, 2]", "[{}, null, [[1]]]"):
        job.checkpoint.save({**state, "ended": ended})
        with pytest.raises(InputError, match="not a usable state"):
            job.run()
    job.checkpoint.save({**state, "section 0": state["section 0"] ^ 1})
    with pytest.raises(InputError, match="not a usable state"):
        job.coded()


@pytest.mark.parametrize("holdout", [None, "even"])
def test_frames_that_are_read_when_they_are_needed_are_those_that_are_held(clip, holdout):
    chosen = replace(WHOLE, holdout=holdout, source=Selection(frames=(1, 6)))
    held, read = read_footage(clip, chosen), read_footage(clip, replace(chosen, segment=2))
    assert read.held is None
    assert read.info == held.info
    assert np.array_equal(list(read.pictures()), list(held.pictures()))
    assert read.gaps == held.gaps
    assert [frame.tobytes() for frame in read.between()] == [frame.tobytes() for frame in held.between()]
    for numbers in (range(2), range(1, 3)):
        mine, theirs = read.part(numbers).load(), held.part(numbers).load()
        assert np.array_equal(mine.frames, theirs.frames)
        assert mine.info == theirs.info


def test_a_source_that_changes_meanwhile_is_told(clip, tmp_path):
    source = tmp_path / "in.mp4"
    source.write_bytes(clip.read_bytes())
    footage = read_footage(source, CUT)
    before = footage.part(range(2)).identity
    write_clip(source, width=64, height=48, frames=6)
    assert footage.part(range(2)).identity != before
    with pytest.raises(InputError, match=r"in\.mp4: has changed"):
        footage.part(range(2)).load()


def test_segments_come_out_the_same_side_by_side(clip, tmp_path, monkeypatch):
    monkeypatch.setattr("snerv_codec.runtime.machine.available_cores", lambda: 2 * torch.get_num_threads())
    settings = replace(CUT, fit=replace(RD, grid_epochs=3), target=Target("size", 60_000))
    encode(clip, tmp_path / "one.snrv", settings)
    told = []
    encode(clip, tmp_path / "two.snrv", settings, workers=2, on_event=told.append)
    assert (tmp_path / "two.snrv").read_bytes() == (tmp_path / "one.snrv").read_bytes()
    for kind in (SegmentBegun, EpochDone, SegmentDone):
        assert {event.segment for event in told if isinstance(event, kind)} == {0, 1}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one.snrv", "two.snrv"]


@pytest.mark.slow
def test_where_one_segment_fails_the_others_are_kept(clip, tmp_path):
    jobs = jobs_of(clip, tmp_path / "work", CUT)
    broken, told = replace(jobs[1], limit=1), []  # byte
    with pytest.raises(UserError, match="segment 2: .*; the other segments are kept: use `resume`"):
        run_jobs([jobs[0], broken], workers=2, on_event=told.append)
    (failure,) = (event for event in told if isinstance(event, SegmentFailed))
    assert failure.segment == 1
    assert "leaves" in failure.message
    assert jobs[0].run(on_event=lambda event: pytest.fail(str(event)))


def test_where_the_output_is_taken_meanwhile_what_was_fitted_is_not_lost(clip, tmp_path):
    output = tmp_path / "out.snrv"

    def take(event):
        if isinstance(event, EpochDone):
            output.write_bytes(b"another's")

    with pytest.raises(OutputError, match=r"exists already.*out\.snrv\.work holds what was fitted: use `resume`"):
        encode(clip, output, CUT, on_event=take)
    assert output.read_bytes() == b"another's"
    assert epochs_of(clip, output, resume=True, overwrite=True) == 0
    assert Decoder(output)


def test_somebody_has_to_fit(clip, tmp_path):
    with pytest.raises(SettingsError, match="`workers` 0: at least one"):
        encode(clip, tmp_path / "out.snrv", CUT, workers=0)


@pytest.mark.slow
def test_what_cannot_be_written_ends_all_at_once(clip, tmp_path):
    jobs = jobs_of(clip, tmp_path / "work", CUT)
    (tmp_path / "file").write_bytes(b"")
    lost = replace(jobs[0], checkpoint=Checkpoint(tmp_path / "file", {}))
    with pytest.raises(OutputError, match="the state of the fit cannot be saved"):
        run_jobs([lost, jobs[1]], workers=2, on_event=lambda event: None)


@pytest.mark.slow
def test_a_signal_to_all_stops_each_once_and_loses_nothing(clip, tmp_path):
    command = [sys.executable, "-m", "snerv_codec", "encode", clip, "-o", tmp_path / "out.snrv"]
    options = ["--size", "120k", "--epochs", "100000", "--segment", "3", "--workers", "2", "--json", "--device", "cpu"]
    process = subprocess.Popen(
        [*map(str, command), *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, process_group=0
    )
    seen = (json.loads(line)["event"] for line in process.stdout)
    assert "epoch" in seen  # so that there is something to keep
    os.killpg(process.pid, signal.SIGINT)  # as Ctrl-C on a terminal does
    os.killpg(process.pid, signal.SIGTERM)
    errors = process.communicate()[1]
    assert process.returncode < 0
    assert "Traceback" not in errors
    assert list((tmp_path / "out.snrv.work").glob("segment-*.npz"))


@pytest.mark.slow
def test_a_worker_that_is_lost_is_replaced_and_its_job_gone_on_with(clip, tmp_path):
    jobs, killed, warned = jobs_of(clip, tmp_path / "work", CUT), [], []

    def kill(event):
        if isinstance(event, Warned):
            warned.append(event.message)
        if isinstance(event, EpochDone) and not killed:
            killed.append(event.segment)
            for child in multiprocessing.active_children():
                child.kill()

    fitted = run_jobs(jobs, workers=2, on_event=kill)
    assert killed
    assert all("its process was lost (exit code -9); it is tried again" in message for message in warned)
    assert warned
    assert len(fitted) == 2
    assert [job.coded().frame_count for job in jobs] == [4, 2]


@pytest.mark.parametrize("segment", [None, 4, "auto"])
def test_reading_is_told_frame_by_frame_before_the_plan(clip, tmp_path, segment):
    for work in (plan, partial(encode, output=tmp_path / "out.snrv")):
        told = []
        work(clip, settings=replace(CUT, segment=segment), on_event=told.append)
        before = told[: next((n for n, event in enumerate(told) if isinstance(event, Planned)), None)]
        read = [event for event in before if isinstance(event, FrameDone)]
        assert read == [FrameDone("read", number, 6) for number in range(1, 7)]


SHOTS = VideoInfo(
    width=640, height=480, time_base=Fraction(1, 25), timestamps=tuple(range(5000)), final_duration=1, rate=Fraction(25)
)


def test_where_a_video_is_cut():
    assert cuts(SHOTS, None, [100]) == [0]
    assert cuts(SHOTS, 2000, [100]) == [0, 2000, 4000]
    assert cuts(SHOTS, "90s", [100]) == [0, 2250, 4500]
    longest = MOST_BYTES // (640 * 480 * 3)  # 1165 frames: five segments
    plain = cuts(SHOTS, "auto", [])
    assert plain == [0, 1000, 2000, 3000, 4000]
    moved = cuts(SHOTS, "auto", [10, 940, 1100, 2050, 4999])
    assert moved[:3] == [0, 940, 2050]
    assert all(end - start <= longest for start, end in pairwise([*moved, 5000]))
    assert cuts(replace(SHOTS, timestamps=tuple(range(1000))), "auto", [500]) == [0]


@pytest.mark.parametrize("wrong", ["half", "0s", "-3", 0, "3m"])
def test_a_segment_is_a_length_or_a_way(wrong):
    with pytest.raises(SettingsError, match="segment"):
        EncodeSettings.of(segment=wrong)
    assert EncodeSettings.of(segment="900").segment == 900
    assert EncodeSettings.of(segment="none").segment is None


def test_a_long_video_is_cut_where_its_scenes_begin(tmp_path, monkeypatch):
    monkeypatch.setattr("snerv_codec.encoding.segmentation.MOST_BYTES", 12 * 64 * 48 * 3)
    monkeypatch.setattr("snerv_codec.encoding.footage.MOST_BYTES", 12 * 64 * 48 * 3)
    for number in range(21):
        picture = np.full((48, 64, 3), (20, 230, 120)[number // 7], np.uint8)
        picture[8:16, number : number + 8] ^= 8
        write_image(tmp_path / f"{number}.png", picture)
    settings = EncodeSettings.of(size="300k")
    footage = read_footage(tmp_path, settings)
    assert footage.held is None
    assert footage.scenes == (7, 14)
    assert plan(tmp_path, settings).segments == ((0, 7), (7, 7), (14, 7))
    assert read_footage(tmp_path, replace(settings, segment=None)).held is not None


@pytest.mark.slow
def test_an_interrupted_encode_of_several_workers_goes_on_in_one_where_they_were(clip, tmp_path, monkeypatch):
    monkeypatch.setattr("snerv_codec.runtime.machine.available_cores", lambda: 2 * torch.get_num_threads())
    settings = replace(CUT, fit=replace(CUT.fit, epochs=10))
    done = epochs_of(clip, tmp_path / "a.snrv", settings, stop_after=4, workers=2)
    assert not multiprocessing.active_children()
    left = epochs_of(clip, tmp_path / "a.snrv", settings, resume=True)
    assert left <= 2 * sum(phase.epochs for phase in settings.phases()) - done
    encode(clip, tmp_path / "b.snrv", settings)
    assert (tmp_path / "a.snrv").read_bytes() == (tmp_path / "b.snrv").read_bytes()
