"""Checkpoints on disk: how far a run has come, so that one cut short goes on where it was.

One file a run, written all or nothing, gone once the run's record is there. A checkpoint is used
by the very run, code and kind of machine that left it, for only those give the same bits.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np
import numpy.typing as npt

from codonbench.contracts.run_spec import RunSpec
from codonbench.errors import StoreError
from codonbench.records.printable import printable
from codonbench.records.store import sweep, write_atomically

_ARRAYS = ("position", "pairs", "outputs", "seconds", "state")


@dataclass(frozen=True)
class Progress:
    """How far a run has come.

    Attributes:
        position: Pairs presented.
        pairs, outputs: Its probes so far, shapes (T,) and (T, P, C), in the learner's own labels.
        seconds: Spent on building, and in all.
        state: What the learner itself goes on from; see `keeping`.
    """

    position: int
    pairs: npt.NDArray[np.int64]
    outputs: npt.NDArray[np.float32]
    seconds: tuple[float, float]
    state: bytes


class Checkpoints:
    """The checkpoints in a results folder, below ``checkpoints/``.

    Args:
        folder: The results folder.
        origin: Hash of what must be the same for a checkpoint to be used: code and machine.
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

    def save(self, run_spec: RunSpec, progress: Progress) -> None:
        """Keep how far a run has come; where the disk does not let us, say so and go on."""
        if self.every is None:
            return
        buffer = io.BytesIO()
        np.savez(
            buffer,
            position=np.int64(progress.position),
            pairs=progress.pairs,
            outputs=progress.outputs,
            seconds=np.asarray(progress.seconds),
            state=np.frombuffer(progress.state, dtype=np.uint8),
        )
        content = buffer.getvalue()
        try:
            write_atomically(self._path(run_spec), self._seal(run_spec, content) + content)
        except StoreError as error:
            self.every = None
            self._say(f"no more checkpoints: {error}")

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
            progress = _unpack(content)
        except Exception as error:  # zip, zlib and numpy each have their own complaints
            self._set_aside(path, f"cannot be read: {printable(str(error))}")
            return None
        if progress.position:
            self._say(f"seed {run_spec.seed} goes on from {progress.position:,} pairs")
        return progress

    def drop(self, run_spec: RunSpec) -> None:
        """Forget how far a run had come: its record is there."""
        with suppress(OSError):
            self._path(run_spec).unlink(missing_ok=True)
        sweep(self._path(run_spec))

    def _path(self, run_spec: RunSpec) -> Path:
        return self._folder / f"{run_spec.run_id}.ckpt"

    def _seal(self, run_spec: RunSpec, content: bytes) -> bytes:
        return sha256(f"{run_spec.run_id}\0{self._origin}\0".encode() + content).digest()

    def _set_aside(self, path: Path, why: str) -> None:
        target = path.with_suffix(".set-aside")
        with suppress(OSError):
            path.replace(target)
            self._say(f"checkpoint {path.name} {why}: the run begins anew; it now lies in {target}")


def _unpack(content: bytes) -> Progress:
    """Return the progress that was packed.

    Raises:
        ValueError: Its arrays do not fit one another.
        Exception: It is damaged.
    """
    with np.load(io.BytesIO(content), allow_pickle=False) as file:
        position, pairs, outputs, seconds, state = (file[name] for name in _ARRAYS)
    kinds = [(array.dtype.kind, array.ndim) for array in (position, pairs, outputs, seconds)]
    if kinds != [("i", 0), ("i", 1), ("f", 3), ("f", 1)] or not 0 < len(pairs) == len(outputs):
        raise ValueError("its arrays do not fit one another")
    build, total = seconds.tolist()
    return Progress(int(position), pairs, outputs, (build, total), state.tobytes())
