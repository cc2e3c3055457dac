"""The audit of a table of one's own that a run makes, and where the board of the run finds it."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

from codonbench.contracts import Dataset, Features, Sequences
from codonbench.leakage.audit import Progress, Subject, audited, kept_audit, unwatched
from codonbench.leakage.verdict import KEPT, DataAudit
from codonbench.records.files import board_folder, cache_folder, write_atomically

_QUICK = 10_000_000
"""Letters of a table that a run audits by itself."""


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
