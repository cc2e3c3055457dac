"""A model's page: all its tables, what ran there, and how to run it again."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence

from codonbench.contracts import Frozen
from codonbench.contracts.run_record import RunRecord
from codonbench.ranking.board import Board, BoardTable
from codonbench.ranking.rows import Row
from codonbench.ranking.statistics import Mean, Median
from codonbench.records.again import command
from codonbench.report.site.by_item import PageSources
from codonbench.report.site.figures import Records, row_id
from codonbench.report.site.page import Interval, about_model, ends, model_id, table_id
from codonbench.report.site.scripts import shown, shown_facts
from codonbench.scoring.score import task_of


class ModelRow(Frozen):
    """A model in one table.

    Attributes:
        table, title, task, category, verdict: The table.
        row: The row's id.
        metric, digits, figure, gain, rank, tier, of, role, seeds: How it stands there, among `of`
            rows.
        config, changes, version: Configuration and version.
        source: SHA-256 of its source.
        supplier: Distribution, version and module.
        environment: Its environment, by name.
        about: As in `PageRow`.
        command: What makes the runs again.
        notes: As in `Row`.
        compared: Whether rows of the table can be laid side by side item by item.
    """

    table: str
    title: str
    task: str
    category: str
    verdict: str
    row: str
    metric: str
    digits: int
    figure: Median | Mean | None
    gain: Interval | None
    rank: int | None
    tier: int | None
    of: int
    role: str
    seeds: tuple[int, ...]
    config: str
    changes: str
    version: str
    source: str
    supplier: str
    environment: dict[str, str]
    about: dict[str, str]
    command: str
    notes: tuple[str, ...]
    compared: bool


class PageModel(Frozen):
    """A model over all tables, in a file of its own."""

    id: str
    label: str
    rows: tuple[ModelRow, ...]


def build_models(
    board: Board, runs: Records, known: PageSources, compared: Collection[str]
) -> Iterator[PageModel]:
    """Yield each model's page, by label.

    Args:
        board: The leaderboard.
        runs: The records that its rows count.
        known: Further sources of the page.
        compared: Ids of tables whose rows can be laid side by side item by item.
    """
    found: dict[str, list[ModelRow]] = defaultdict(list)
    for table in board.shown:
        for row in table.all_rows:
            records = [runs[run] for run in row.run_ids]
            one = _model_row(row, table, records, known)
            found[row.label].append(one.model_copy(update={"compared": one.table in compared}))
    for label, rows in sorted(found.items()):
        yield PageModel(id=model_id(label), label=shown(label), rows=tuple(rows))


def _model_row(
    row: Row, table: BoardTable, records: Sequence[RunRecord], known: PageSources
) -> ModelRow:
    first, primary = records[0], table.ranking.primary
    plugin, machine, lock = first.plugin, first.machine, first.environment
    supplier = f"{plugin.distribution or 'unknown'} {plugin.version}, {plugin.module}"
    packages = "" if lock is None else f"{len(lock.packages)} packages, lock {lock.sha256[:12]}"
    modified = ", changed" if first.harness.modified else ""
    environment = {
        "codonbench": f"{first.harness.version}, commit {first.harness.commit or '?'}{modified}",
        "Python": machine.python,
        "torch": machine.torch,
        "numpy": machine.numpy,
        "system": machine.system,
        "device": ", ".join(row.devices),
        "packages of its own": packages,
        "confinement": first.confinement or "",
        "day": max(map(known.day, records)),
    }
    return ModelRow(
        table=table_id(table),
        title=shown(table.title),
        task=shown(table.task),
        category=shown(table.category),
        verdict=table.verdict,
        row=row_id(first),
        metric=shown(primary.title),
        digits=primary.digits,
        figure=row.figure(table.ranking.metric),
        gain=ends(row.gain),
        rank=row.rank,
        tier=row.tier,
        of=len(table.rows),
        role=row.role,
        seeds=row.seeds,
        config=shown(shown_facts(row.config), 600),
        changes=shown(shown_facts(row.overrides)),
        version=shown(row.model_version),
        source=shown(plugin.source_sha256),
        supplier=shown(supplier),
        environment={name: shown(text) for name, text in environment.items() if text},
        about=about_model(first),
        command=shown(command(records, task_of(first, known.tasks)), 800),
        notes=tuple(shown(note, 400) for note in row.notes),
        compared=False,
    )
