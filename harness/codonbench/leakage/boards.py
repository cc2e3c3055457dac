"""What audits of data add to a board: verdicts, the best rule as row zero, the clean subset."""

from __future__ import annotations

from collections.abc import Container, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from pydantic import ValidationError

from codonbench.errors import StoreError
from codonbench.leakage.verdict import KEPT, RULES, DataAudit
from codonbench.ranking.board import BestRule, Board, Table
from codonbench.ranking.items import Rule, Tested
from codonbench.records.files import cache_folder


def read_audits(board_folder: Path, tasks: Container[str]) -> dict[str, DataAudit]:
    """Return the audits that a board is made with, by their data's checksum.

    They lie in its folder ``audits``. Where none of these is of a task, those that the cache has
    are taken, too. A board that is published with the audits of its tasks has no others, and is the
    same on every machine.

    Args:
        board_folder: The board's.
        tasks: Names of the known tasks.

    Raises:
        StoreError: A file is no audit.
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
    """Return the audits that the cache has, of several of the same data the most severe."""
    audits = []
    for path in sorted((cache_folder() / KEPT).glob("*.json")):
        with suppress(OSError, ValidationError):  # as it is where `kept_audit` meets it
            audits.append(DataAudit.model_validate_json(path.read_bytes()))
    audits.sort(key=lambda audit: ("PASS", "WARN", "FAIL").index(audit.verdict))
    return {audit.checksum: audit for audit in audits if audit.rules == RULES}


def knowing(tested: Tested, audits: Mapping[str, DataAudit]) -> Tested:
    """Return what was tested with what audits say of its data: near-copies, and the best rules."""
    rules = {
        checksum: Rule(audit.best_rule.check, audit.answers)
        for checksum, audit in audits.items()
        if audit.best_rule is not None and audit.answers
    }
    copied = {checksum: audit.copied for checksum, audit in audits.items()}
    return replace(tested, copied=copied, rules=rules)


def with_audits(board: Board, audits: Mapping[str, DataAudit], with_failed: bool = False) -> Board:
    """Return a board whose tables note first what audits say of their data.

    Args:
        board: The board.
        audits: By the checksum of their data.
        with_failed: As in `Board`.
    """
    counted = "summaries over tasks, as was asked for" if with_failed else "no summary over tasks"

    def told(table: Table) -> Table:
        audit = audits.get(table.data_checksum)
        if audit is None:
            return table
        failed = f" Its rows count in {counted}." if audit.verdict == "FAIL" else ""
        notes = (f"Data audit: {audit.line}.{failed}", *table.notes)
        best, rule = None, audit.best_rule
        if rule is not None and rule.value > 0:
            best = BestRule(
                check=rule.check,
                score=audit.score,
                value=rule.value,
                low=rule.low,
                high=rule.high,
            )
        update = {"notes": notes, "verdict": audit.verdict, "best_rule": best}
        return table.model_copy(update=update)

    update = {"tables": tuple(map(told, board.tables)), "with_failed": with_failed}
    return board.model_copy(update=update)
