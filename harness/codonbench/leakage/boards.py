"""Adds audits of data to a board: verdicts, the best rule as row zero, the clean subset."""

from __future__ import annotations

from collections.abc import Container, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from pydantic import ValidationError

from codonbench.errors import StoreError
from codonbench.leakage.verdict import KEPT, RULES, DataAudit
from codonbench.ranking.board import BestRule, Board, BoardTable
from codonbench.ranking.items import Copied, Rule, Tested
from codonbench.records.files import cache_folder


def read_audits(board_folder: Path, tasks: Container[str]) -> dict[str, DataAudit]:
    """Return the audits for a board, by the checksum of their data.

    They are read from the board's folder ``audits``. If none of these is of a known task, audits in
    the cache are added. A published board with audits of its tasks thus never depends on the cache.

    Args:
        board_folder: Folder of the board.
        tasks: Names of the known tasks.

    Raises:
        StoreError: A file is not an audit.
    """
    audits: dict[str, DataAudit] = {}
    for path in sorted((board_folder / KEPT).glob("*.json")):
        try:
            audit = DataAudit.model_validate_json(path.read_bytes())
        except ValidationError as error:
            raise StoreError(
                f"{path}: no audit of data; make it with 'bench audit-data --json'"
            ) from error
        audits[audit.checksum] = audit
    if any(audit.task in tasks for audit in audits.values()):
        return audits
    return _kept() | audits


def _kept() -> dict[str, DataAudit]:
    """Return the audits in the cache by checksum; of several for one data set, the most severe."""
    audits = []
    for path in sorted((cache_folder() / KEPT).glob("*.json")):
        with suppress(OSError, ValidationError):  # `kept_audit` ignores unreadable files, too
            audits.append(DataAudit.model_validate_json(path.read_bytes()))
    audits.sort(key=lambda audit: ("PASS", "WARN", "FAIL").index(audit.verdict))
    return {audit.checksum: audit for audit in audits if audit.rules == RULES}


def with_rules(tested: Tested, audits: Mapping[str, DataAudit]) -> Tested:
    """Return `tested` with near-copies and answers of the best rules, by the data's checksum."""
    rules = {
        checksum: Rule(audit.best_rule.check, audit.answers, audit.items)
        for checksum, audit in audits.items()
        if audit.best_rule is not None and audit.answers
    }
    return replace(tested, copied=near_copies(audits), rules=rules)


def near_copies(audits: Mapping[str, DataAudit]) -> dict[str, Copied]:
    """Return the test items with a near-copy in training, by the data's checksum."""
    return {
        checksum: Copied(audit.copied, audit.test, audit.items)
        for checksum, audit in audits.items()
    }


def with_audits(board: Board, audits: Mapping[str, DataAudit], with_failed: bool = False) -> Board:
    """Return a board whose tables have the verdict and best rule of their data's audit.

    Args:
        board: The board.
        audits: Audits by the checksum of their data.
        with_failed: As in `Board`.
    """
    counted = "includes its rows (--with-failed)" if with_failed else "does not include its rows"

    def with_audit(table: BoardTable) -> BoardTable:
        audit = audits.get(table.data_checksum)
        if audit is None:
            return table
        failed = f" The summary over tasks {counted}." if audit.verdict == "FAIL" else ""
        notes = (f"Data audit: {audit_words(audit, table)}.{failed}", *table.notes)
        best, rule = None, audit.best_rule
        if rule is not None and rule.value > 0 and not table.audited_apart:
            best = BestRule(
                check=rule.check,
                score=audit.score,
                value=rule.value,
                low=rule.low,
                high=rule.high,
                by_item=bool(audit.answers),
            )
        update = {"notes": notes, "verdict": audit.verdict, "best_rule": best}
        return table.model_copy(update=update)

    update = {"tables": tuple(map(with_audit, board.tables)), "with_failed": with_failed}
    return board.model_copy(update=update)


def audit_words(audit: DataAudit, table: BoardTable) -> str:
    """Return an audit's line and, where it does not hold for a table's test items, that."""
    apart = "; the audit was of another split than rows were tested on"
    return audit.line + (apart if table.audited_apart else "")
