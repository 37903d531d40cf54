"""The state of a fit on disk: arrays and text in an npz archive, no pickled objects, replaced atomically."""

import errno
import json
import os
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from snerv_codec.errors import InputError, OutputError, SettingsError, UserError
from snerv_codec.runtime.machine import is_out_of_memory

State = Mapping[str, Tensor | str | int]

SHARE = 0.05  # of the time, which saving may take
EVERY = 20.0  # seconds after which a state is old
MADE_BY = "made by"  # of an identity: the version
ADVICE = {errno.ENOSPC: "; free some space", errno.ENOENT: "; the directory has been removed meanwhile"}


class Checkpoint:
    """The state of one fit, `name`.npz in a directory that may hold others.

    `identity` says what the fit is of (frames, configuration, settings); the state of another one is not resumed.
    """

    def __init__(self, directory: Path, identity: Mapping[str, object], name: str = "state") -> None:
        self.directory = directory
        self.identity = json.loads(json.dumps(identity))
        self.path = directory / f"{name}.npz"
        self._made = False

    def at(self, directory: Path) -> "Checkpoint":
        """That of the same fit in another directory, or in the same one by another path."""
        return Checkpoint(directory, self.identity, self.path.stem)

    def save(self, state: State) -> None:
        """Replace the saved state; an interruption leaves the older one. Raises `OutputError`."""
        arrays: dict[str, Any] = {key: value.cpu().numpy() for key, value in state.items() if isinstance(value, Tensor)}
        plain = {key: value for key, value in state.items() if not isinstance(value, Tensor)}
        header = json.dumps({"identity": self.identity, "state": plain}).encode()
        archive = BytesIO()
        np.savez(archive, header=np.frombuffer(header, np.uint8), **arrays)  # a zip on a full disk fails noisily
        self.put(archive.getbuffer())

    def put(self, data: bytes | memoryview) -> None:
        """Replace the saved state by one that was read elsewhere, as bytes. Raises `OutputError`."""
        # A worker whose driver was lost may still be at it, so each writes to a name of its own.
        beside = self.path.with_suffix(f".{secrets.token_hex(4)}.tmp")
        try:
            if not self._made:  # once it was there, its loss is an error
                self.directory.mkdir(exist_ok=True)
                self._made = True
            with beside.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(beside, self.path)
        except OSError as error:
            with suppress(OSError):  # what is half-written goes, what was saved before stays
                beside.unlink(missing_ok=True)
                self.directory.rmdir()
            message = f"{self.path}: the state of the fit cannot be saved: {error.strerror}"
            raise OutputError(message + ADVICE.get(error.errno or 0, "")) from error

    def load(self, wanted: Callable[[str], bool] = lambda name: True) -> dict[str, Tensor | str | int]:
        """The saved state; of its tensors those whose names are `wanted`, and the others are not read.

        Raises `InputError` for a damaged one, `SettingsError` for another run's.
        """
        with self.using(), np.load(self.path, allow_pickle=False) as archive:
            header = json.loads(archive["header"].tobytes())
            arrays = {key: archive[key] for key in archive.files if key != "header" and wanted(key)}
            identity, plain = dict(header["identity"]), dict(header["state"])
        keys = sorted(identity.keys() | self.identity.keys())
        changed = [key for key in keys if identity.get(key) != self.identity.get(key)]
        if MADE_BY in changed:
            raise SettingsError(
                f"{self.directory}: an interrupted run of another version of snerv-codec; "
                "delete the directory, or start over with `overwrite`"
            )
        if changed:
            raise SettingsError(
                f"{self.directory}: the interrupted run differs in {', '.join(changed)}; "
                "give the same settings, or delete the directory to start over"
            )
        return {**plain, **{key: torch.from_numpy(value) for key, value in arrays.items()}}

    @contextmanager
    def using(self) -> Iterator[None]:
        """Whatever a damaged or forged state brings about in this block becomes an `InputError` that names it."""
        try:
            yield
        except UserError:
            raise
        except Exception as error:  # NumPy, zip, JSON and torch all have their own
            if is_out_of_memory(error):
                raise
            reason = next(iter(str(error).splitlines()), "") or type(error).__name__
            raise InputError(f"{self.path}: not a usable state ({reason}); delete {self.directory}") from error

    def exists(self) -> bool:
        """Whether there is a state to resume from."""
        return self.path.exists()

    def remove(self) -> None:
        """Delete the state, and the directory where nothing else is in it."""
        for path in (self.path, *self.directory.glob(f"{self.path.stem}.*.tmp")):
            with suppress(OSError):
                path.unlink(missing_ok=True)
        with suppress(OSError):
            self.directory.rmdir()


class Saver:
    """Saves one state after another as often as that takes a small share of the time.

    The last one offered is kept: leaving the `with` block, also by an error, saves it. So where one is offered whenever
    it is `due`, an interrupted program loses at most the work of `EVERY` seconds.
    """

    def __init__(self, checkpoint: Checkpoint | None) -> None:
        self._checkpoint = checkpoint
        self._waiting: State | None = None
        self._offered = time.perf_counter()
        self._saved, self._cost = -float("inf"), 0.0

    @property
    def due(self) -> bool:
        """Whether the last state offered is old."""
        return self._checkpoint is not None and time.perf_counter() - self._offered >= EVERY

    def offer(self, take: Callable[[], State]) -> bool:
        """Save the state that `take` gives, now or if nothing newer comes, and tell whether it was now.

        The state's tensors may change afterwards.
        """
        start = self._offered = time.perf_counter()
        if self._checkpoint is None:
            return False
        state = take()
        if start - self._saved < self._cost / SHARE:
            self._waiting = {k: v.clone() if isinstance(v, Tensor) else v for k, v in state.items()}
            return False
        self._waiting = state  # of an interruption meanwhile
        try:
            self._checkpoint.save(state)
        except OutputError:
            self._waiting = None
            raise
        self._waiting, self._saved = None, time.perf_counter()
        self._cost = self._saved - start
        return True

    def __enter__(self) -> "Saver":
        return self

    def __exit__(self, *_: object) -> None:
        if self._waiting is not None and self._checkpoint is not None:
            self._checkpoint.save(self._waiting)
