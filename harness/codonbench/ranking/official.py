"""Which runs make a row, and which rows are official ones; what reads records needs no more.

It imports no SciPy, unlike what compares rows.
"""

from __future__ import annotations

from collections.abc import Sequence

from codonbench.contracts.run_record import RunRecord
from codonbench.contracts.run_spec import RunSpec, content_hash

RowKey = tuple[str, ...]
"""Model, its version, the hash of its configuration, and who supplies it."""

OFFICIAL_SEEDS = 10

_ONE_IN_A_ROW = ("salt", "stop", "budget_pairs", "budget_seconds", "threads", "engine")
"""Fields of a run spec that a row's runs might differ in, and an official row's do not."""


def unofficial(records: Sequence[RunRecord]) -> list[tuple[str, str]]:
    """Return why a row is no official one, as a field and what is to be said of it, each.

    An official row has the first seeds, none left out, so that nobody chose them, and its runs
    differ in nothing but their seeds.
    """
    seeds = sorted(record.seed for record in records)
    found = []
    if seeds != [*range(len(seeds))]:
        some = ", ".join(map(str, seeds[:OFFICIAL_SEEDS])) + ", ..." * (len(seeds) > OFFICIAL_SEEDS)
        official = f"0 to {OFFICIAL_SEEDS - 1}, or the first of them, none left out"
        found.append(("seed", f"{some}: an official row has {official}"))
    for field in _ONE_IN_A_ROW:
        values = {getattr(record.run_spec, field): None for record in records}
        if len(values) > 1:
            said = " and ".join(map(repr, [*values][:2]))
            found.append((f"run_spec.{field}", f"{said}: an official row has one"))
    return found


def row_key(record: RunRecord) -> RowKey:
    """Return what makes two runs of one table count in one row.

    The source is part of it: who edits a model and runs some of its seeds again has two models. So
    is the budget of a run that was tested in a state selected from several, which may be its
    model's own choice (`Ranking.budget_divides`).
    """
    run_spec, plugin = record.run_spec, record.plugin
    return (
        record.model,
        run_spec.model_version,
        content_hash(run_spec.config),
        plugin.distribution,
        plugin.source_sha256,
        *([] if record.selected_pairs is None else [budget_text(run_spec)]),
        *([] if record.tuning is None else [f"tuned {record.tuning.study}"]),
    )


def budget_text(run_spec: RunSpec) -> str:
    """Return a run's budget in words: ``5,000 pairs, or until patience``."""
    amount = f"{run_spec.budget_pairs:,} pairs"
    if run_spec.budget_seconds is not None:
        amount = f"{run_spec.budget_seconds:g} s"
    return amount if run_spec.stop == "budget" else f"{amount}, or until {run_spec.stop}"
