"""Segments on a Ray cluster come out as they do here; nothing that is done is done twice."""

import builtins
import sys
from dataclasses import replace
from functools import partial
from types import ModuleType, SimpleNamespace

import pytest
import torch
from segment_jobs import jobs_of
from test_segments import CUT

from snerv_codec import encode
from snerv_codec.encoding.runner import run_jobs
from snerv_codec.errors import ResourceError, SettingsError, UserError
from snerv_codec.events import SegmentDone


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

    def init(self, **options):
        """Nothing to connect to."""

    cancel = shutdown = lambda self, *_: None

    def cluster_resources(self):
        return {"CPU": 2}

    def remote(self, **options):
        return lambda work: SimpleNamespace(remote=partial(partial, work))

    def wait(self, references, num_returns):
        return references[-1:], references[:-1]

    def get(self, reference):
        return reference()


def test_tasks_of_a_chain_wait_for_those_they_start_from(clip, tmp_path, monkeypatch):
    settings = replace(CUT, segment=2, chain=2)
    torch.set_num_threads(1)  # as in tasks
    encode(clip, tmp_path / "here.snrv", settings)
    monkeypatch.setitem(sys.modules, "ray", Tasks("ray"))
    told = []
    encode(clip, tmp_path / "there.snrv", settings, ray="local", on_event=told.append)
    assert (tmp_path / "there.snrv").read_bytes() == (tmp_path / "here.snrv").read_bytes()
    done = [event.segment for event in told if isinstance(event, SegmentDone)]
    assert sorted(done) == [0, 1, 2]
    assert done.index(0) < done.index(1)


@pytest.mark.slow
def test_a_cluster_gives_the_same_file(clip, tmp_path):
    pytest.importorskip("ray", reason="needs Ray, of the extra `ray`")
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
