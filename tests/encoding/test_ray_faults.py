"""Nodes, workers and drivers of a Ray cluster that are lost: nothing finished is fitted again, and the bytes stay."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass, fields, replace
from pathlib import Path

import pytest
import torch
from segment_jobs import Toy, jobs_of

from snerv_codec import encode
from snerv_codec.encoding.runner import run_jobs
from snerv_codec.encoding.segment_job import FittedSegment, SegmentJob
from snerv_codec.events import EpochDone, SegmentBegun, SegmentDone

ray = pytest.importorskip("ray", reason="needs Ray, of the extra `ray`")

SEGMENTS, FRAMES, EPOCHS = 6, 2, 20
TOY = Toy(SEGMENTS, FRAMES, EPOCHS)
SETTINGS = TOY.settings

pytestmark = pytest.mark.slow


@dataclass(frozen=True, slots=True)
class Watched(SegmentJob):
    """A job that writes down in `log` which epochs it fits, and on which node; one that is `fragile` is killed once."""

    log: Path = Path()
    fragile: bool = False

    def run(self, on_event=lambda event: None) -> FittedSegment:
        node, killed = ray.get_runtime_context().get_node_id(), self.log.with_suffix(".killed")

        def note(event):
            on_event(event)
            if not isinstance(event, EpochDone):
                return
            with self.log.open("a") as file:
                file.write(f"{event.segment} {event.epoch} {node}\n")
            if event.epoch == EPOCHS // 2 and self.fragile and not killed.exists():
                killed.touch()
                os.kill(os.getpid(), signal.SIGKILL)

        return SegmentJob.run(self, on_event=note)


@pytest.fixture(autouse=True)
def _found_by_workers(monkeypatch):
    """The modules of tests, in processes that Ray starts."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return TOY.clip(tmp_path_factory.mktemp("source"))


@pytest.fixture(scope="module")
def undisturbed(source):
    return TOY.undisturbed(source)


def watched(source, folder, **others):
    """The jobs of an encode."""
    jobs = jobs_of(source, folder / "work", SETTINGS)
    parts = [{field.name: getattr(job, field.name) for field in fields(job)} for job in jobs]
    return [Watched(**part, log=folder / "log", **others) for part in parts]


def fitted(folder):
    """How often each epoch of each segment was fitted, and the nodes that did."""
    lines = [line.split() for line in (folder / "log").read_text().splitlines()]
    epochs = Counter((int(segment), int(epoch)) for segment, epoch, _ in lines)
    assert set(epochs) == {(segment, epoch) for segment in range(SEGMENTS) for epoch in range(1, EPOCHS + 1)}
    return epochs, {node for *_, node in lines}


def assert_as_undisturbed(jobs, whole):
    """Their coded segments are those of the file, which holds them as they are."""
    assert all(job.coded().section in whole for job in jobs)


def test_a_task_whose_process_is_killed_goes_on_from_its_state(
    source, undisturbed, tmp_path, record_testsuite_property
):
    jobs = watched(source, tmp_path, fragile=True)
    run_jobs(jobs, ray="local", on_event=lambda event: None)
    assert (tmp_path / "log.killed").exists()
    assert_as_undisturbed(jobs, undisturbed)
    epochs, _ = fitted(tmp_path)
    again = sum(epochs.values()) - len(epochs)
    record_testsuite_property(f"epochs of {len(epochs)} fitted again where a task was killed", again)
    assert again <= EPOCHS


def test_nodes_that_come_and_go(source, undisturbed, tmp_path, record_testsuite_property):
    """One of two is lost once a segment is done; another one comes once two are."""
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    second, done = cluster.add_node(num_cpus=1), []

    def watch(event):
        if isinstance(event, SegmentDone):
            done.append(event.segment)
            if len(done) == 1:
                cluster.remove_node(second, allow_graceful=False)
            if len(done) == 2:
                cluster.add_node(num_cpus=1)

    jobs = watched(source, tmp_path)
    try:
        run_jobs(jobs, ray=cluster.address, on_event=watch)
    finally:
        cluster.shutdown()
    assert sorted(done) == list(range(SEGMENTS))
    assert_as_undisturbed(jobs, undisturbed)
    epochs, nodes = fitted(tmp_path)
    again = sum(epochs.values()) - len(epochs)
    record_testsuite_property(f"epochs of {len(epochs)} fitted again where a node of {len(nodes)} was lost", again)
    assert len(nodes) >= 2
    assert again <= EPOCHS


def test_a_machine_that_sees_neither_input_nor_output(source, tmp_path):
    """The only node with a core finds an empty folder where they are; frames, networks and states are carried."""
    from ray.cluster_utils import Cluster

    hidden = ["unshare", "--mount", "sh", "-c", 'mount -t tmpfs none "$0" && exec "$@"', str(tmp_path)]
    if shutil.which("unshare") is None or subprocess.run([*hidden, "true"], capture_output=True).returncode:
        pytest.skip("a folder can be hidden from a process by root alone, on Linux")
    settings, here = replace(SETTINGS, chain=2), tmp_path / "here.mp4"
    shutil.copy(source, here)
    torch.set_num_threads(1)
    encode(here, tmp_path / "here.snrv", settings)
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    join = [sys.executable, "-m", "ray.scripts.scripts", "start", "--block", "--num-cpus=1"]
    blind = subprocess.Popen([*hidden, *join, f"--address={cluster.address}"], stdout=subprocess.DEVNULL)
    told = []
    try:
        encode(here, tmp_path / "there.snrv", settings, ray=cluster.address, on_event=told.append)
    finally:
        blind.terminate()
        blind.wait()
        cluster.shutdown()
    assert (tmp_path / "there.snrv").read_bytes() == (tmp_path / "here.snrv").read_bytes()
    for kind in (SegmentBegun, EpochDone, SegmentDone):
        assert {event.segment for event in told if isinstance(event, kind)} == set(range(SEGMENTS))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["here.mp4", "here.snrv", "there.snrv"]


def test_a_driver_that_is_killed(source, undisturbed, tmp_path):
    """What it had told to be done is not begun again by the next one."""
    output, done = tmp_path / "out.snrv", set()
    command = TOY.command(source, output, "--ray", "local")
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout:
            event = json.loads(line)
            if event.get("event") == "segment":
                done.add(event["segment"])
                process.kill()
                break
    assert done

    def watch(event):
        assert not isinstance(event, EpochDone) or event.segment not in done

    torch.set_num_threads(1)
    encode(source, output, SETTINGS, resume=True, on_event=watch)
    assert output.read_bytes() == undisturbed
