"""Checkpoints on disk: how far a run has come, so that one cut short goes on where it was.

Two files a run, what it has shown and the state it goes on from; the first seals both. Written all
or nothing, gone once the run's record is there. A checkpoint is used
by the very run, code and kind of machine that left it, for only those give the same bits.
"""

from __future__ import annotations

import io
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from hashlib import file_digest, sha256
from pathlib import Path
from shutil import rmtree
from typing import Self

import numpy as np
import numpy.typing as npt

from codonbench.contracts.provenance import Machine
from codonbench.contracts.run_spec import RunSpec, content_hash
from codonbench.errors import StoreError
from codonbench.records.locks import sweep_folders
from codonbench.records.printable import printable
from codonbench.records.store import flush_to_disk, sweep, write_atomically

_ARRAYS = ("position", "pairs", "outputs", "seconds", "state")


@dataclass(frozen=True)
class Progress:
    """How far a run has come.

    Attributes:
        position: Pairs presented.
        pairs, outputs: Its probes so far, shapes (T,) and (T, P, C), in the learner's own labels.
        seconds: Spent on building, and in all.
        state: The file that the learner itself goes on from; None while it is not kept.
    """

    position: int
    pairs: npt.NDArray[np.int64]
    outputs: npt.NDArray[np.float32]
    seconds: tuple[float, float]
    state: Path | None = None


class Checkpoints:
    """The checkpoints in a results folder, below ``checkpoints/``.

    Args:
        folder: The results folder.
        origin: Hash of what must be the same for a checkpoint to be used: the code, see also `on`.
        every: Seconds between two of a run; None for none.
        say: Told in a sentence what is taken up again, is set aside, or cannot be written.
    """

    def __init__(
        self, folder: Path, origin: str, every: float | None, say: Callable[[str], None]
    ) -> None:
        self.every = every
        self._folder = folder / "checkpoints"
        self._origin = origin
        self._say = say

    def on(self, machine: Machine) -> Self:
        """Return those that were made on one kind of machine."""
        origin = content_hash([self._origin, *machine.kind])
        return type(self)(self._folder.parent, origin, self.every, self._say)

    def sweep(self) -> None:
        """Remove what workers of processes that were killed had on its way here."""
        sweep_folders(self._folder)

    def save(self, run_spec: RunSpec, progress: Progress, write: Callable[[Path], None]) -> None:
        """Keep how far a run has come; where the disk does not let us, say so and go on.

        Args:
            run_spec: The run's.
            progress: How far.
            write: Puts the learner's state into a file of this name.
        """
        if self.every is None:
            return
        try:
            state, digest = self._keep_state(run_spec, write)
            buffer = io.BytesIO()
            np.savez(
                buffer,
                position=np.int64(progress.position),
                pairs=progress.pairs,
                outputs=progress.outputs,
                seconds=np.asarray(progress.seconds),
                state=np.frombuffer(digest, dtype=np.uint8),
            )
            content = buffer.getvalue()
            write_atomically(self._path(run_spec), self._seal(run_spec, content) + content)
            self._remove_states(run_spec, but=state)
        except (StoreError, OSError) as error:
            self.every = None
            self._say(f"no more checkpoints: {error}")

    def _keep_state(self, run_spec: RunSpec, write: Callable[[Path], None]) -> tuple[Path, bytes]:
        """Have the state written and flushed, whatever its size; return its file and checksum."""
        self._folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self._folder, prefix=f".{run_spec.run_id}-") as folder:
            new = Path(folder) / "state"
            write(new)
            with new.open("rb") as file:
                digest = file_digest(file, "sha256").digest()
                flush_to_disk(file.fileno())
            return new.replace(self._state_path(run_spec, digest)), digest

    def load(self, run_spec: RunSpec) -> Progress | None:
        """Return how far a run had come; None where that is not known.

        A damaged checkpoint is set aside.
        """
        path = self._path(run_spec)
        try:
            found = path.read_bytes()
        except OSError:
            return None
        seal, content = found[:32], found[32:]
        if seal != self._seal(run_spec, content):
            self._set_aside(path, "is damaged, or of other code or another machine")
            return None
        try:
            progress, digest = _unpack(content)
        except Exception as error:  # zip, zlib and numpy each have their own complaints
            self._set_aside(path, f"cannot be read: {printable(str(error))}")
            return None
        state = self._state_path(run_spec, digest)
        try:
            with state.open("rb") as file:
                whole = file_digest(file, "sha256").digest() == digest
        except OSError:
            whole = False
        if not whole:
            self._set_aside(path, f"has lost its state, {state.name}, or that is damaged")
            return None
        if progress.position:
            self._say(f"seed {run_spec.seed} goes on from {progress.position:,} pairs")
        return replace(progress, state=state)

    def drop(self, run_spec: RunSpec) -> None:
        """Forget how far a run had come: its record is there."""
        with suppress(OSError):
            self._path(run_spec).unlink(missing_ok=True)
            self._remove_states(run_spec)
        sweep(self._path(run_spec))

    def _path(self, run_spec: RunSpec) -> Path:
        return self._folder / f"{run_spec.run_id}.ckpt"

    def _state_path(self, run_spec: RunSpec, digest: bytes) -> Path:
        return self._folder / f"{run_spec.run_id}-{digest.hex()[:16]}.state"

    def _remove_states(self, run_spec: RunSpec, but: Path | None = None) -> None:
        for path in self._folder.glob(f"{run_spec.run_id}-*.state"):
            if path != but:
                path.unlink(missing_ok=True)
        for left in self._folder.glob(f".{run_spec.run_id}-*"):  # by a process that was killed
            rmtree(left, ignore_errors=True)

    def _seal(self, run_spec: RunSpec, content: bytes) -> bytes:
        return sha256(f"{run_spec.run_id}\0{self._origin}\0".encode() + content).digest()

    def _set_aside(self, path: Path, why: str) -> None:
        target = path.with_suffix(".set-aside")
        with suppress(OSError):
            path.replace(target)
            self._say(f"checkpoint {path.name} {why}: the run begins anew; it now lies in {target}")


def _unpack(content: bytes) -> tuple[Progress, bytes]:
    """Return the progress that was packed, and the checksum of the state's file.

    Raises:
        ValueError: Its arrays do not fit one another.
        Exception: It is damaged.
    """
    with np.load(io.BytesIO(content), allow_pickle=False) as file:
        position, pairs, outputs, seconds, digest = (file[name] for name in _ARRAYS)
    kinds = [(a.dtype.kind, a.ndim) for a in (position, pairs, outputs, seconds, digest)]
    if kinds != [("i", 0), ("i", 1), ("f", 3), ("f", 1), ("u", 1)]:
        raise ValueError("its arrays do not fit one another")
    if not 0 < len(pairs) == len(outputs) or digest.nbytes != sha256().digest_size:
        raise ValueError("its arrays do not fit one another")
    build, total = seconds.tolist()
    return Progress(int(position), pairs, outputs, (build, total)), digest.tobytes()
