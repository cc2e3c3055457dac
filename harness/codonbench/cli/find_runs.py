"""The runs that words on the command line name: by name, by id, by file, by folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from glob import escape
from pathlib import Path
from typing import TYPE_CHECKING

from codonbench.errors import StoreError, UnknownNameError

if TYPE_CHECKING:  # plugins' commands import this, and `bench --help` imports those
    from codonbench.contracts import Trajectory
    from codonbench.contracts.run_record import RunRecord
    from codonbench.records.store import Store


@dataclass(frozen=True)
class Found:
    """A recorded run, and the file that holds its record."""

    path: Path
    record: RunRecord

    @property
    def store(self) -> Store:
        """The results folder that the file lies in."""
        from codonbench.records.store import Store

        return Store(self.path.parent)

    def trajectory(self) -> Trajectory:
        """Return the run's trajectory.

        Raises:
            StoreError: It has none here or a damaged one; says what makes it again.
        """
        record, folder = self.record, self.path.parent / "trajectories"
        if record.trajectory_sha256 is None:
            raise StoreError(
                f"no trajectory of {record.name} in {folder}: it was computed, not trained"
            )
        plugin = f" --plugin {record.plugin.file}" if record.plugin.file else ""
        remedy = f"'bench verify {self.path}{plugin} --keep-trajectory' makes it again"
        try:
            trajectory = self.store.load_trajectory(record)
        except StoreError as error:
            raise StoreError(f"{error}; {remedy}") from error
        if trajectory is None:
            raise StoreError(f"no trajectory of {record.name} in {folder}: {remedy}")
        return trajectory


def find_runs(words: Sequence[str], results: Path) -> list[Found]:
    """Return the runs that words name, each once; a folder names every record in it.

    Raises:
        UnknownNameError: A word names no run, or more than one.
        StoreError: A file is no sound record, or a folder holds none.
    """
    found: dict[Path, Found] = {}
    for word in words:
        place = _place(word, results)
        files = sorted(place.glob("*.json")) if place.is_dir() else [place]
        if not files:
            raise StoreError(f"folder {place} holds no record, no file ending in .json")
        found |= {path: _read(path) for path in files}
    return list(found.values())


def find_run(word: str, results: Path) -> Found:
    """Return the one run that a word names: a name, the beginning of one or of an id, or a file.

    Args:
        word: The word typed.
        results: Folder in which names, and files not found elsewhere, are looked up.

    Raises:
        UnknownNameError: It names no run, or more than one.
        StoreError: The file is no sound record.
    """
    place = _place(word, results)
    if place.is_dir():
        raise StoreError(f"{place} is a folder; give one record in it")
    return _read(place)


def _place(word: str, results: Path) -> Path:
    """Return the file or folder that a word means."""
    path = Path(word)
    if path.suffix == ".json" or len(path.parts) > 1:
        return results / path if (results / path).exists() and not path.exists() else path
    return path if word and any(path.glob("*.json")) else _named(word, results)


def _read(path: Path) -> Found:
    from codonbench.records.store import BadRecord, read_record

    record = read_record(path)
    if isinstance(record, BadRecord):
        raise StoreError(f"{path}: {record.reason}")
    return Found(path, record)


def parts_of(found: Found) -> list[RunRecord]:
    """Return the records beside a run's whose answers it joins, such as those of its folds."""
    spec = found.record.run_spec
    beside = found.path.parent.glob(f"{escape(_without_id(found.path.stem))}-*.json")
    records = [_read(path).record for path in sorted(beside)]
    parts = [each for each in records if each.run_spec.part and each.run_spec.whole == spec]
    return sorted(parts, key=lambda each: each.run_spec.part)


def _named(wanted: str, results: Path) -> Path:
    """Return the one file that a name or the beginning of one fits.

    Of a run and its parts, which have one name, it is the run's; else none of them is read.
    """
    if not results.is_dir():
        raise StoreError(f"no results folder {results}; 'bench run' makes one")
    names = [path.stem for path in sorted(results.glob("*.json"))]
    whole = [name for name in names if wanted in (name, _without_id(name))]
    fitting = whole or [name for name in names if _begins(wanted, name)]
    if len(whole) > 1:
        read = {name: _read(results / f"{name}.json").record for name in whole}
        fitting = [name for name in whole if not read[name].run_spec.part] or whole
    if len(fitting) == 1:
        return results / f"{fitting[0]}.json"
    if fitting:
        shown = ", ".join(_label(results / f"{name}.json") for name in fitting[:5])
        more = ", ..." if len(fitting) > 5 else ""
        raise UnknownNameError(
            f"{wanted!r} fits {len(fitting)} runs, give more of it: {shown}{more}"
        )
    close = get_close_matches(wanted, {*names, *map(_without_id, names)})
    hint = f"did you mean {' or '.join(map(repr, close))}? " if close else ""
    raise UnknownNameError(
        f"no run {wanted!r} in {results}; {hint}"
        "give a record's file, its name, or the beginning of its id"
    )


def _label(path: Path) -> str:
    """Return a run's name, and how it differs from others of the same model and seed."""
    try:
        record = _read(path).record
    except StoreError:
        return path.stem
    from codonbench.records.files import printable

    settings = [f"{name}={value}" for name, value in record.overrides.items()]
    if record.run_spec.control:
        settings.append(f"control {record.run_spec.control}")
    return printable(f"{path.stem} ({', '.join([record.task, *settings])})")


def _without_id(name: str) -> str:
    return name.rpartition("-")[0]


def _begins(wanted: str, name: str) -> bool:
    """Return whether `wanted` begins a run's id, or its name: net-8-s1 does not begin net-8-s10.

    >>> _begins("net-8-s1", "net-8-s1-0ad"), _begins("net-8-s1", "net-8-s10-0ad")
    (True, False)
    """
    cuts_number = wanted[-1:].isdigit() and name.removeprefix(wanted)[:1].isdigit()
    in_id = len(wanted) > len(_without_id(name))
    begins_name = name.startswith(wanted) and (in_id or not cuts_number)
    return begins_name or name.rpartition("-")[2].startswith(wanted)
