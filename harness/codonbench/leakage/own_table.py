"""A user's own table as the subject of an audit, and the audit that a run makes of it."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from codonbench.contracts import Dataset, Features, Sequences
from codonbench.data.own_table import MetricsOf, open_table, read_description
from codonbench.data.table_files import find_files
from codonbench.data.table_guess import GROUP_NAMES
from codonbench.leakage.audit import Progress, Subject, audited, kept_audit, unwatched
from codonbench.leakage.verdict import KEPT, DataAudit
from codonbench.records.files import board_folder, cache_folder, write_atomically

ALSO_GROUPS = ("gene", "gene_id", "transcript", "chromosome", "chrom", "chr", "contig", "organism")
"""Columns, in either case, whose items are looked at as groups though nobody calls them so."""

_QUICK = 10_000_000
"""Letters of a table that a run audits by itself."""


def table_subject(data: str, overrides: Mapping[str, str], metrics_of: MetricsOf) -> Subject:
    """Return a table of one's own, whose groups may cross splits here.

    Args:
        data: The file, folder or files, or the path of a description.
        overrides: Fields of `codonbench.data.own_table.TableDescription`, as text.
        metrics_of: As for `open_table`.

    Raises:
        DataError: The table is missing, unreadable or unusable; names file and line.
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
    *_, dataset = open_table(data, "", {**overrides, "group": ""}, metrics_of, ())
    found = {}
    for name in names:
        cells = [
            cell
            for file in files.files.values()
            for chunk in files.chunks(file, [name])
            for cell in chunk.cells[name]
        ]
        found[name] = np.unique(np.array(cells), return_inverse=True)[1]
    if given in found and len(dataset.splits) == 1:
        dataset = replace(dataset, groups=found[given])
    return Subject(dataset, found, given)


def audit_of_run(
    dataset: Dataset,
    progress: Progress = unwatched,
    say: Callable[[str], None] = warnings.warn,
) -> DataAudit | None:
    """Return the audit of a run's data: the one that was kept, or a new one, which is kept.

    None where there is none yet, and the table is so large that a run should not wait for it.

    Args:
        dataset: The table.
        progress: Told how far it has come.
        say: Told where the new one cannot be kept.

    Raises:
        DataError: There is nothing to audit.
    """
    subject, cache = Subject(dataset, {}), cache_folder()
    audit = kept_audit(subject, cache)
    if audit is None and _letters(dataset) <= _QUICK:
        audit = audited(subject, cache, progress, say=say)
    return audit


def lay_beside(results: Path, dataset: Dataset) -> None:
    """Write the audit of a table that is kept, if there is one, where the board of runs finds it.

    Args:
        results: The runs' folder.
        dataset: The table.

    Raises:
        StoreError: It cannot be written.
    """
    audit = kept_audit(Subject(dataset, {}), cache_folder())
    if audit is not None:
        path = board_folder(results) / KEPT / f"{audit.task}-{audit.checksum[:12]}.json"
        write_atomically(path, audit.as_json().encode())


def _letters(dataset: Dataset) -> int:
    items = dataset.items
    if isinstance(items, Features):
        return items.values.size
    parts = (items,) if isinstance(items, Sequences) else items.parts
    return sum(len(part.letters) for part in parts)
