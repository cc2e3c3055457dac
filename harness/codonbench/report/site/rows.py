"""The id of a row: a name for its file, and for a link to it."""

from __future__ import annotations

from collections.abc import Mapping

from codonbench.contracts.run_record import RunRecord
from codonbench.contracts.run_spec import content_hash
from codonbench.ranking.controls import row_key

Records = Mapping[str, RunRecord]
"""A row's records by run_id."""


def row_id(record: RunRecord) -> str:
    """Return the id of the row that a record counts in."""
    place = (record.comparability_key, record.machine.device)
    return content_hash([*place, *row_key(record)])[:16]
