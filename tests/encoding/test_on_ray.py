"""Segments on a Ray cluster come out as they do here; nothing that is done is done twice."""

import builtins
import sys
from dataclasses import replace
from functools import cache, partial
from types import ModuleType, SimpleNamespace

import pytest
import torch
from segment_jobs import jobs_of
from test_segments import CUT

from snerv_codec import encode
from snerv_codec.encoding.home import CarriedCheckpoint, Home, settled_in
from snerv_codec.encoding.runner import run_jobs
from snerv_codec.errors import ResourceError, SettingsError, UserError
from snerv_codec.events import EpochDone, SegmentBegun, SegmentDone


def test_without_ray_one_is_told_how_to_get_it(clip, tmp_path, monkeypatch):
    found = builtins.__import__

    def without(name, *arguments, **named):
        if name == "ray":
            raise ImportError(name)
        return found(name, *arguments, **named)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ResourceError, match=r"`ray` needs the package of that name; pip install 'snerv-codec\[ray\]'"):
        encode(clip, tmp_path / "a.snrv", CUT, ray="local")
    with pytest.raises(SettingsError, match="choose one"):
        run_jobs([], workers=2, ray="local", on_event=lambda event: None)
    assert list(tmp_path.iterdir()) == []


class Tasks(ModuleType):
    """What we ask of Ray, done in this process once it is waited for, the task submitted last first."""

    exceptions = SimpleNamespace(RayError=OSError, RayTaskError=LookupError)

    def init(self, address, **options):
        """Nothing to connect to."""

    cancel = shutdown = lambda self, *_: None

    def cluster_resources(self):
        return {"CPU": 2}

    def remote(self, **options):
        return lambda work: SimpleNamespace(remote=lambda *values: cache(partial(work, *values)))

    def wait(self, references, num_returns, timeout):
        references[-1]()
        return references[-1:], references[:-1]

    def get(self, reference):
        return reference()


class Asked:
    """An actor in this process, which does at once what it is asked for."""

    def __init__(self, actor):
        self._actor = actor

    def __getattr__(self, name):
        def remote(*values):
            answer = getattr(self._actor, name)(*values)
            return lambda: answer

        method = SimpleNamespace(remote=remote)
        method.options = lambda **options: method
        return method


def test_tasks_of_a_chain_wait_for_those_they_start_from(clip, tmp_path, monkeypatch):
    settings = replace(CUT, segment=2, chain=2)
    torch.set_num_threads(1)  # as in tasks
    encode(clip, tmp_path / "here.snrv", settings)
    monkeypatch.setitem(sys.modules, "ray", Tasks("ray"))
    monkeypatch.setattr("snerv_codec.encoding.on_ray.home_on", lambda ray: Asked(Home()))
    told = []
    encode(clip, tmp_path / "there.snrv", settings, ray="local", on_event=told.append)
    assert (tmp_path / "there.snrv").read_bytes() == (tmp_path / "here.snrv").read_bytes()
    for number in range(3):
        events = [type(event) for event in told if getattr(event, "segment", None) == number]
        assert events[0] is SegmentBegun
        assert EpochDone in events
        assert events[-1] is SegmentDone
    done = [event.segment for event in told if isinstance(event, SegmentDone)]
    assert sorted(done) == [0, 1, 2]
    assert done.index(0) < done.index(1)


def test_a_machine_that_does_not_see_the_files_gets_them_carried(clip, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", Tasks("ray"))
    monkeypatch.setattr("snerv_codec.encoding.home._sees_input", lambda job: False)
    torch.set_num_threads(1)
    settings = replace(CUT, segment=3, chain=2)
    here, there = (jobs_of(clip, tmp_path / name, settings) for name in ("here", "there"))
    for folder in ("here", "there"):
        (tmp_path / folder).mkdir()
    home, places = Home(), []
    for job in here:
        job.run()
    for job in there:
        with settled_in(job, 2, Asked(home), tmp_path / "no marker") as (placed, tell):
            places.append(placed.checkpoint.directory)
            assert placed.footage.source is None
            placed.run(on_event=tell)
    assert [job.coded() for job in there] == [job.coded() for job in here]
    assert not any(place.exists() or place == tmp_path / "there" for place in places)
    kinds = [type(event) for event in home.heard()]
    assert kinds.count(SegmentBegun) == 2
    assert EpochDone in kinds
    again = CarriedCheckpoint(there[0].checkpoint, tmp_path, Asked(home))  # of a task that was lost
    assert replace(there[0], checkpoint=again).run(on_event=lambda event: pytest.fail(str(event)))


@pytest.mark.slow
def test_a_cluster_gives_the_same_file(clip, tmp_path, monkeypatch):
    """One of this machine alone, whatever cluster the environment names."""
    pytest.importorskip("ray", reason="needs Ray, of the extra `ray`")
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    torch.set_num_threads(1)  # as in tasks
    encode(clip, tmp_path / "here.snrv", CUT)
    told = []
    encode(clip, tmp_path / "there.snrv", CUT, ray="local", on_event=told.append)
    assert (tmp_path / "there.snrv").read_bytes() == (tmp_path / "here.snrv").read_bytes()
    assert {event.segment for event in told if isinstance(event, SegmentDone)} == {0, 1}


@pytest.mark.slow
def test_a_task_that_fails_is_named_and_the_others_are_kept(clip, tmp_path):
    pytest.importorskip("ray", reason="needs Ray, of the extra `ray`")
    jobs = jobs_of(clip, tmp_path / "work", CUT)
    with pytest.raises(UserError, match="segment 2: .*target leaves.*; the other segments are kept"):
        run_jobs([jobs[0], replace(jobs[1], limit=1)], ray="local", on_event=lambda event: None)
    assert jobs[0].run(on_event=lambda event: pytest.fail(str(event)))


@pytest.mark.slow
def test_a_cluster_that_is_not_there_is_told():
    pytest.importorskip("ray", reason="needs Ray, of the extra `ray`")
    with pytest.raises(ResourceError, match="no Ray cluster at 127.0.0.1:1: .*refused"):
        run_jobs([], ray="127.0.0.1:1", on_event=lambda event: None)
