"""Many records read at once: sound files are not checked again, shared parts are kept once.

An index of a large folder, in the user's cache, has name, times of change and size of each file
that was found to be a sound record. It may be deleted. Records are read from their files all the
same, and `bench validate` does not use the index. If very many files are not in the index, a second
process checks most of them, while this one reads them: ``python -P -m codonbench.records.known
FOLDER`` takes the files' names as a JSON list and prints a line for each, with what identifies the
file as it was read, or nothing for one that is no sound record.
"""

from __future__ import annotations

import json
import marshal
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, suppress
from functools import cache
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryFile
from types import MappingProxyType
from typing import IO, Any

from pydantic import ValidationError

from codonbench.contracts import Frozen, ModelInfo
from codonbench.contracts.base import Origin
from codonbench.contracts.run_record import (
    Circumstances,
    DatasetFacts,
    Engine,
    Harness,
    Machine,
    RunRecord,
    seals,
)
from codonbench.errors import StoreError
from codonbench.records.files import cache_folder, decoded, identity, read_content

SHARED_OUT = 20_000
"""Files that are not in the index from which on a second process checks some of them."""

_SHARE = 0.75
"""Of them that it checks; meanwhile this process reads these, and reads and checks the others."""

_SETTLED = 2.0
"""Seconds after which a file that is written again has other times of change for sure."""

_PARTS: Mapping[str, type[Frozen]] = MappingProxyType(
    {
        "dataset": DatasetFacts,
        "plugin": Origin,
        "info": ModelInfo,
        "harness": Harness,
        "engine": Engine,
    }
)
"""Fields of a record that many have in common."""

_FIGURES = ("metrics", "validation_metrics")
_KINDS = ("str", "dict", "Literal")

_TABLE = "create table if not exists checked (name text primary key, seen text not null)"


class Shared:
    """Parts of records, each kept once however many records it is a part of."""

    def __init__(self) -> None:
        self._held: dict[Any, Any] = {}

    def record(self, content: dict[str, Any]) -> RunRecord:
        """Return the record that some content is.

        Raises:
            ValidationError: It is none.
        """
        try:
            parts: dict[str, Any] = {
                name: self._part(name, cls, content[name]) for name, cls in _PARTS.items()
            }
            parts["machine"] = self._machine(content["machine"])
        except (ValidationError, AttributeError, KeyError, TypeError, ValueError):
            parts = {}  # what is wrong with it is said of the whole
        record = RunRecord.model_validate({**content, **parts})
        for part in (record, record.run_spec, record.timings):
            self._hold_once(part)
        return record

    def _part(self, name: str, cls: type[Frozen], content: dict[str, Any]) -> Any:
        key = name, marshal.dumps(content)
        if key not in self._held:
            self._held[key] = cls.model_validate(content)
        return self._held[key]

    def _machine(self, content: dict[str, Any]) -> Machine:
        """Return a machine; what is a run's own of it is not shared."""
        rest = {name: value for name, value in content.items() if name != "circumstances"}
        machine: Machine = self._part("machine", Machine, rest)
        circumstances = content.get("circumstances")
        if circumstances is None:
            return machine
        own = machine.model_copy(
            update={"circumstances": Circumstances.model_validate(circumstances)}
        )
        self._hold_once(own)
        return own

    def _hold_once(self, part: Frozen) -> None:
        """Let a part, which is immutable, refer to texts and tables that other parts have too."""
        names = frozenset(part.__pydantic_fields_set__)
        object.__setattr__(
            part, "__pydantic_fields_set__", self._held.setdefault(names, part.model_fields_set)
        )
        held, fields = self._held, part.__dict__
        for name in _texts_and_tables(type(part)):
            value = fields[name]
            if isinstance(value, str):
                fields[name] = held.setdefault(value, value)
            elif isinstance(value, dict):
                fields[name] = held.setdefault((name, marshal.dumps(value)), value)


@cache
def _texts_and_tables(cls: type[Frozen]) -> tuple[str, ...]:
    """Return the fields that hold text or tables which other records hold too."""
    own = ("run_id", "checksum", "trajectory_sha256", "weights_sha256", *_FIGURES)
    shared = (name for name in cls.model_fields if name not in (*_PARTS, *own))
    return tuple(
        name
        for name in shared
        if any(kind in str(cls.model_fields[name].annotation) for kind in _KINDS)
    )


class Known:
    """What is known of a folder's records before they are read.

    Args:
        folder: The folder.
        names: Names of its files.
    """

    def __init__(self, folder: Path, names: Sequence[str]) -> None:
        self.shared = Shared()
        self._index = _index_of(folder)
        self._before: dict[str, str] = {}
        self._new: dict[str, str] = {}
        with suppress(sqlite3.Error, OSError), closing(_opened(self._index)) as base:
            self._before = dict(base.execute("select name, seen from checked"))
        new = [name for name in names if name not in self._before]
        self._second = _SecondProcess(folder, new if _cores() > 1 else ())

    def is_checked(self, name: str, facts: os.stat_result) -> bool:
        """Return whether a file was found sound and has not changed since, or is being checked."""
        seen = identity(facts)
        return self._before.get(name) == seen or self._second.takes(name, seen, facts.st_mtime)

    def note(self, name: str, facts: os.stat_result) -> None:
        """Note that a file was found sound."""
        self._note(name, identity(facts), facts.st_mtime)

    def _note(self, name: str, seen: str, written: float) -> None:
        if time.time() - written > _SETTLED:
            self._new[name] = seen

    def unsound(self) -> list[str]:
        """Return the files that the second process does not find sound as they were read here.

        From now on `is_checked` says so of none that it was given.
        """
        found = []
        for name, seen, written, sound in self._second.finish():
            if sound:
                self._note(name, seen, written)
            else:
                found.append(name)
        return found

    def close(self) -> None:
        """End what still checks files."""
        self._second.close()

    def save(self) -> None:
        """Keep what was noted for the next time; where that cannot be written, do without."""
        if not self._new:
            return
        with suppress(sqlite3.Error, OSError):
            self._index.parent.mkdir(parents=True, exist_ok=True)
            with closing(_opened(self._index)) as base, base:
                base.execute(_TABLE)
                base.executemany("insert or replace into checked values (?, ?)", self._new.items())


class _SecondProcess:
    """Files that a second process checks; none where they are few, or it cannot be started.

    Args:
        folder: Their folder.
        names: Their names.
    """

    def __init__(self, folder: Path, names: Sequence[str]) -> None:
        self._names = names[: int(_SHARE * len(names))] if len(names) >= SHARED_OUT else ()
        self._process: subprocess.Popen[bytes] | None = None
        self._shared, self._taken = set(self._names), dict[str, tuple[str, float]]()
        self._output: IO[bytes] | None = None
        places = [str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")]
        with suppress(OSError), TemporaryFile() as names_file:
            if self._names:
                self._output = TemporaryFile()  # noqa: SIM115 - as long as the process
                names_file.write(json.dumps(self._names).encode())
                names_file.seek(0)
                self._process = subprocess.Popen(
                    [sys.executable, "-P", "-m", "codonbench.records.known", str(folder.resolve())],
                    stdin=names_file,
                    stdout=self._output,
                    stderr=subprocess.DEVNULL,
                    env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, places))},
                )

    def takes(self, name: str, seen: str, written: float) -> bool:
        """Return whether a file is among them; note as what it is read, and when it was written."""
        if self._process is None or name not in self._shared:
            return False
        self._taken[name] = seen, written
        return True

    def finish(self) -> Iterator[tuple[str, str, float, bool]]:
        """Yield each that was read meanwhile, as `takes` has it, and whether it is sound so."""
        if self._process is None or self._output is None:
            return
        self._process.wait()
        self._process = None
        self._output.seek(0)
        digests = dict(zip(self._names, self._output.read().decode().splitlines(), strict=False))
        for name, (seen, written) in self._taken.items():
            yield name, seen, written, digests.get(name) == seen

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        if self._output is not None:
            self._output.close()


def _seen_sound(path: Path) -> str:
    """Return a file's identity where its content has the checksums that it gives, else nothing."""
    try:
        text, facts = read_content(path)
        content = decoded(text)
        sound = seals(content) == (content["run_id"], content["checksum"])
    except (StoreError, LookupError, TypeError, ValueError, AttributeError):
        return ""
    return identity(facts) if sound else ""


def _cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1


def _opened(index: Path) -> sqlite3.Connection:
    return sqlite3.connect(index, timeout=5.0)


def _index_of(folder: Path) -> Path:
    """Return where a folder's index is; another one for each version of what checks."""
    name = sha256(f"{folder.resolve()}\0{_checks()}".encode()).hexdigest()[:16]
    return cache_folder() / "records" / f"{name}.sqlite"


@cache
def _checks() -> str:
    """Return the hash of the code that checks records."""
    core = Path(__file__).parents[1]
    digest = sha256()
    for path in sorted([*core.glob("contracts/*.py"), *core.glob("records/*.py")]):
        digest.update(path.read_bytes())
    return digest.hexdigest()


if __name__ == "__main__":
    checked = Path(sys.argv[1])
    for file in json.load(sys.stdin):
        print(_seen_sound(checked / file))
