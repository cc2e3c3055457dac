"""What audits of data add to a board: verdicts, the best rule as row zero, the clean subset."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from pydantic import ValidationError

from codonbench.errors import StoreError
from codonbench.leakage.verdict import DataAudit
from codonbench.ranking.board import BestRule, Board, Table
from codonbench.ranking.items import Rule, Tested


def read_audits(board_folder: Path) -> dict[str, DataAudit]:
    """Return the audits that lie in the folder ``audits`` of a board, by their data's checksum.

    Raises:
        StoreError: A file is no audit.
    """
    audits = {}
    for path in sorted((board_folder / "audits").glob("*.json")):
        try:
            audit = DataAudit.model_validate_json(path.read_bytes())
        except ValidationError as error:
            raise StoreError(
                f"{path}: no audit of data; make it with 'bench audit-data --json'"
            ) from error
        audits[audit.checksum] = audit
    return audits


def knowing(tested: Tested, audits: Mapping[str, DataAudit]) -> Tested:
    """Return what was tested with what audits say of its data: near-copies, and the best rules."""
    rules = {
        checksum: Rule(audit.best_rule.check, audit.answers)
        for checksum, audit in audits.items()
        if audit.best_rule is not None and audit.answers
    }
    copied = {checksum: audit.copied for checksum, audit in audits.items()}
    return replace(tested, copied=copied, rules=rules)


def with_audits(board: Board, audits: Mapping[str, DataAudit]) -> Board:
    """Return a board whose tables note first what audits say of their data."""

    def told(table: Table) -> Table:
        audit = audits.get(table.data_checksum)
        if audit is None:
            return table
        failed = " Its rows count in no summary over tasks." if audit.verdict == "FAIL" else ""
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

    return board.model_copy(update={"tables": tuple(map(told, board.tables))})
