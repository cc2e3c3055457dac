"""Checkpoints in an object store, or wherever fsspec reaches, with a copy here on the way."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

from codonbench.contracts.run_record import Machine
from codonbench.contracts.run_spec import RunSpec, content_hash
from codonbench.errors import ConfigError
from codonbench.records.unfinished import Checkpoints, Progress


def checkpoints_at(
    place: str | None, here: Path, origin: str, every: float | None, say: Callable[[str], None]
) -> Checkpoints:
    """Return the checkpoints of a place that several machines reach.

    Args:
        place: A folder that all of them have, or an address that fsspec knows; None for nowhere.
        here: A folder of this machine's own.
        origin: As for `Checkpoints`.
        every: Likewise.
        say: Likewise.

    Raises:
        ConfigError: Nothing that is installed reads such addresses.
    """
    if place is not None and "://" in place:
        return RemoteCheckpoints(place, here, origin, every, say)
    return Checkpoints(here if place is None else Path(place), origin, every, say)


class RemoteCheckpoints(Checkpoints):
    """Checkpoints at an address: written here and put there, fetched from there and read here.

    A state is put there before the file that seals it, and the one before goes last: what is found
    there is whole whenever the machine is lost.

    Args:
        address: As fsspec knows it: ``s3://bucket/folder``.
        folder: A folder of this machine's own.
        origin, every, say: As for `Checkpoints`.
    """

    def __init__(
        self,
        address: str,
        folder: Path,
        origin: str,
        every: float | None,
        say: Callable[[str], None],
    ) -> None:
        super().__init__(folder, origin, every, say)
        self._address = address
        try:
            from fsspec.core import url_to_fs

            self._there, root = url_to_fs(address)
        except (ImportError, ValueError) as error:
            raise ConfigError(
                f"--shared {address} cannot be reached: {error}; "
                "pip install 'codonbench[cluster]', and what fsspec asks for"
            ) from error
        self._root = f"{root.rstrip('/')}/checkpoints"

    def on(self, machine: Machine) -> Self:
        """Return those that were made on one kind of machine."""
        origin = content_hash([self._origin, *machine.kind])
        return type(self)(self._address, self._folder.parent, origin, self.every, self._say)

    def save(self, run_spec: RunSpec, progress: Progress, write: Callable[[Path], None]) -> None:
        """Save how far a run has come, here and there."""
        super().save(run_spec, progress, write)
        if self.every is None:
            return
        try:
            self._there.makedirs(self._root, exist_ok=True)
            before = set(self._found(run_spec))
            new = [*self._folder.glob(f"{run_spec.run_id}-*.state"), self._path(run_spec)]
            for path in new:
                self._there.put_file(str(path), f"{self._root}/{path.name}")
            for old in before - {f"{self._root}/{path.name}" for path in new}:
                self._there.rm_file(old)
        except Exception as error:  # each store has its own complaints
            self.every = None
            self._say(f"no more checkpoints: {self._address}: {error}")

    def load(self, run_spec: RunSpec) -> Progress | None:
        """Return how far a run had come; None where that is not known."""
        try:
            for path in self._found(run_spec):
                self._folder.mkdir(parents=True, exist_ok=True)
                self._there.get_file(path, str(self._folder / path.rpartition("/")[2]))
        except Exception as error:
            self._say(f"no checkpoint of seed {run_spec.seed}: {self._address}: {error}")
            return None
        return super().load(run_spec)

    def drop(self, run_spec: RunSpec) -> None:
        """Remove the checkpoint of a run: its record is there."""
        super().drop(run_spec)
        with suppress(Exception):
            for path in self._found(run_spec):
                self._there.rm_file(path)

    def _found(self, run_spec: RunSpec) -> list[str]:
        """Return the files of a run that are there."""
        self._there.invalidate_cache()
        paths: list[Any] = self._there.glob(f"{self._root}/{run_spec.run_id}*")
        return [str(path) for path in paths if str(path).endswith((".ckpt", ".state"))]
