"""Audits of a user's own table, on request or as part of a run."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from codonbench.contracts import Dataset, Features
from codonbench.data.own_table import MetricsOf, open_table, read_description
from codonbench.data.table_files import TableFiles, find_files
from codonbench.data.table_guess import GROUP_NAMES
from codonbench.leakage.audit import Progress, Subject, audited, kept_audit, unwatched
from codonbench.leakage.verdict import KEPT, DataAudit
from codonbench.records.files import board_folder, cache_folder, write_atomically

ALSO_GROUPS = ("gene", "gene_id", "transcript", "chromosome", "chrom", "chr", "contig", "organism")
"""Columns (case is ignored) that are checked as groups even if not declared as such."""

_QUICK = 10_000_000
"""Largest table, in letters, that a run audits without being asked."""


def table_subject(data: str, overrides: Mapping[str, str], metrics_of: MetricsOf) -> Subject:
    """Return a user's table as the subject of an audit; unlike in a run, groups may cross splits.

    Args:
        data: Path of a file or folder, a pattern of files, or the path of a TOML description.
        overrides: Fields of `codonbench.data.own_table.TableDescription`, as text.
        metrics_of: As for `open_table`.

    Raises:
        DataError: The table is missing, unreadable or unusable; the message has file and line.
        ConfigError: A field is wrong.
    """
    described, folder = {}, Path()
    if data.lower().endswith(".toml"):
        described, folder = read_description(Path(data)), Path(data).parent
    files = find_files(str(described.get("data", data)), folder)
    first = next(iter(files.chunks(files.first, rows=1)), None)
    lower = {} if first is None else {column.lower(): column for column in first.cells}
    given = overrides.get("group", described.get("group"))
    if given is None:
        given = next((lower[name] for name in GROUP_NAMES if name in lower), "")
    used = {*overrides.values(), *map(str, described.values())} - {given}
    names = [given, *(lower[name] for name in ALSO_GROUPS if name in lower)]
    names = [name for name in dict.fromkeys(names) if name and name not in used]
    _, options, dataset = open_table(data, "", {**overrides, "group": ""}, metrics_of, ())
    found = {
        name: np.unique(np.array(cells), return_inverse=True)[1]
        for name, cells in _cells(files, names).items()
    }
    if given in found and len(dataset.splits) == 1:
        dataset = replace(dataset, groups=found[given])

    def cells() -> dict[str, list[str]]:
        heads = [next(files.chunks(file, rows=1)).cells for file in files.files.values()]
        shared = [name for name in heads[0] if all(name in head for head in heads)]
        return _cells(files, [name for name in shared if name != options.split])

    return Subject(dataset, found, given, cells)


def _cells(files: TableFiles, names: Sequence[str]) -> dict[str, list[str]]:
    """Return some columns of all files, one file after another."""
    found: dict[str, list[str]] = {name: [] for name in names}
    for file in files.files.values():
        for chunk in files.chunks(file, names) if names else ():
            for name in names:
                found[name] += chunk.cells[name]
    return found


def audit_of_run(
    dataset: Dataset,
    progress: Progress = unwatched,
    say: Callable[[str], None] = warnings.warn,
) -> DataAudit | None:
    """Return the audit of a run's data: the stored one, or a new one, which is stored.

    None for a table without a stored audit that is too large for a run to wait for one.

    Args:
        dataset: The table.
        progress: Called with progress.
        say: Called with a warning if the audit cannot be stored.

    Raises:
        DataError: The data cannot be audited.
    """
    subject, cache = Subject(dataset, {}), cache_folder()
    audit = kept_audit(subject, cache)
    if audit is None and _letters(dataset) <= _QUICK:
        audit = audited(subject, cache, progress, say=say)
    return audit


def copy_audit(results: Path, dataset: Dataset) -> None:
    """Copy the stored audit of a table, if there is one, to the board folder of the results.

    Args:
        results: The results folder.
        dataset: The table.

    Raises:
        StoreError: The audit cannot be written.
    """
    audit = kept_audit(Subject(dataset, {}), cache_folder())
    if audit is not None:
        path = board_folder(results) / KEPT / f"{audit.task}-{audit.checksum[:12]}.json"
        write_atomically(path, audit.as_json().encode())


def _letters(dataset: Dataset) -> int:
    items = dataset.items
    if isinstance(items, Features):
        return items.values.size
    return sum(len(part.letters) for part in items.parts)
