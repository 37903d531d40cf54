"""Encodes whose program is killed at one moment after another, and gone on with."""

import json
import signal
import subprocess
from collections import Counter

from segment_jobs import jobs_of
from watched import fitted, log_of, note_ended

# The events of unfinished segments at which a program is killed: a worker starts, fits, packs, and is done with; the
# first of them or a later one, up to this one.
MOMENTS = {"begun": 2, "epoch": 5, "last epoch": 1, "segment": 2}


def kill_drivers(toy, folder, kills, *options, **process):
    """Kill so many drivers, of one encode of the toy after the other, and go on with each until its file is there.

    What is finished is never fitted again, and the files are those of an encode that nobody disturbs. Gives what to
    put on record: how many epochs were fitted, and how many of them more than once.
    """
    source, killed, encodes, counts = toy.clip(folder), 0, 0, Counter()
    whole = toy.undisturbed(source)
    while killed < kills:
        output = folder / f"{encodes}.snrv"
        work = output.with_name(output.name + ".work")
        command, jobs = toy.command(source, output, "--resume", *options), jobs_of(source, work, toy.settings)
        finished = set()
        while not output.exists():
            ended = _run(command, killed if killed < kills else None, toy.epochs, finished, process)
            assert ended in (0, -signal.SIGKILL)
            assert ended or killed > 0, "an encode came to its end, and was to be killed"
            killed += ended == -signal.SIGKILL
            finished = note_ended(jobs)
        assert output.read_bytes() == whole
        assert ended or not work.exists()
        epochs = fitted(log_of(work))
        counts += Counter(fitted=toy.segments * toy.epochs, again=epochs.total() - len(epochs))
        encodes += 1
    return f"{counts['again']} epochs fitted again, of {counts['fitted']} of {encodes} encodes"


def _run(command, number, epochs, finished, process):
    """The exit code of an encode that is killed at a moment that depends on `number`, or at none where it is None."""
    moment, most = list(MOMENTS.items())[(number or 0) % len(MOMENTS)]
    seen, wanted = Counter(), 1 + (number or 0) // len(MOMENTS) % most
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, **process) as driver:
        for event in map(json.loads, driver.stdout):
            kind = event["event"]
            if event.get("segment") not in finished:
                seen[kind] += 1
                seen["last epoch"] += kind == "epoch" and event["epoch"] == epochs
            written = event.get("task") == "measure" and seen["epoch"]  # the file is, under another name
            if number is not None and (seen[moment] == wanted or written):
                driver.kill()
                break
    return driver.returncode
