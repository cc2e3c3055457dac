"""A board of a table of one's own, with its page: three models, two seeds, every file there is."""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import pytest

import codonbench
from codonbench.contracts.run_record import RunRecord
from codonbench.leakage.audit import Subject, audit
from codonbench.leakage.own_table import table_subject
from codonbench.plugins.discovery import load_registry
from codonbench.ranking.board import Board, BoardTable, board_with_outputs
from codonbench.ranking.items import gather_tested
from codonbench.records.store import Store
from codonbench.report.item_facts import item_facts
from codonbench.report.site import files
from codonbench.report.site.by_item import PageSources
from codonbench.report.site.figures import row_id
from codonbench.report.site.page import model_id, table_id


def table_of(items: int) -> str:
    """Sequences of 30 to 59 letters; half of them have a motif, and few G and C beside it."""
    rng = random.Random(items)
    rows = []
    for i in range(items):
        letters = rng.choices(
            "ACGT", weights=(2, 1, 1, 2) if i % 2 else (1, 1, 1, 1), k=30 + i % 30
        )
        if i % 2:
            letters[8:14] = "TATAAT"
        rows.append(f"{''.join(letters)},{'bound' if i % 2 else 'unbound'}")
    rng.shuffle(rows)
    rows = [f"{row},{'test' if i % 3 == 0 else 'train'}" for i, row in enumerate(rows)]
    return "\n".join(["sequence,label,split", *rows]) + "\n"


@dataclass(frozen=True)
class Shown:
    """A board and its page.

    Attributes:
        site: The page's folder.
        table: Its one table.
        runs: By run id.
        known: What the page drew on.
    """

    site: Path
    table: BoardTable
    runs: dict[str, RunRecord]
    known: PageSources

    def row(self, model):
        (row,) = [r for r in (*self.table.rows, *self.table.references) if r.model == model]
        return row

    def outputs(self, model):
        """What each of a model's runs answered."""
        return [self.known.outputs[run] for run in self.row(model).run_ids]


@pytest.fixture(scope="session")
def shown(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shown")
    data = folder / "mine.csv"
    data.write_text(table_of(400))
    asked = {"data": data, "workers": 0, "results": folder / "runs"}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CODONBENCH_CACHE", str(folder / "cache"))
        for model, more in (("majority", {}), ("kmer-linear", {}), ("cnn", {"epochs": 3})):
            with pytest.warns(UserWarning, match="data audit"):
                codonbench.run(model, seeds="0-1", **more, **asked)
    registry = load_registry()
    subject = table_subject(str(data), {}, registry.metrics_of)
    found = audit(Subject(subject.dataset, {}))
    store = Store(folder / "runs")
    records = list(store.scan())
    tested = gather_tested([(store, records)], registry)
    board, _ = board_with_outputs(store, records, registry.known_tasks, tested)
    known = PageSources(
        tasks=registry.known_tasks,
        metrics=registry.known_metrics,
        outputs=tested.outputs,
        audits={found.checksum: found},
        facts={found.checksum: item_facts(None, subject.dataset)},
    )
    runs = files.runs_by_id(records)
    figures = files.all_figures(registry)
    drawn = list(files.drawn_rows(board, runs, {}, store, figures))
    write_page(folder / "site", board, runs, known, drawn, figures)
    (table,) = board.tables
    return Shown(folder / "site", table, runs, known)


def write_page(site, board, runs, known, drawn=(), figures=MappingProxyType({})):
    """Write a page as `bench site` does."""
    for path, content in files.wanted_files(board, runs, drawn, figures, known).items():
        (site / path).parent.mkdir(parents=True, exist_ok=True)
        (site / path).write_bytes(content)


@pytest.fixture(scope="session")
def write():
    return write_page


@pytest.fixture(scope="session")
def three_tasks(shown, tmp_path_factory):
    """The page of a board with that table under three names, in two categories, one FAIL."""
    tables = [
        shown.table.model_copy(
            update={"task": name, "key": name, "category": category, "verdict": verdict}
        )
        for name, category, verdict in (
            ("first", "regulatory", "PASS"),
            ("second", "regulatory", "WARN"),
            ("third", "variants", "FAIL"),
        )
    ]
    site = tmp_path_factory.mktemp("three") / "site"
    write_page(site, Board(tables=tuple(tables), excluded=()), shown.runs, shown.known)
    return site


def page_id(shown, model):
    return row_id(shown.runs[shown.row(model).run_ids[0]])


@pytest.fixture(scope="session")
def views(shown):
    """The address of each view, and what is there once it is drawn."""
    table = f"#table={table_id(shown.table)}"
    rows = f"{page_id(shown, 'cnn')}.{page_id(shown, 'kmer-linear')}"
    models = f"#model={model_id('cnn')}"
    return {
        "task": (table, "#count:not(:empty)"),
        "row": (f"{table}&row={page_id(shown, 'cnn')}", "#row-title"),
        "beside": (f"{table}&beside={rows}", "#beside table"),
        "model": (models, "#model-title"),
        "models": (f"{models}&other={model_id('majority')}", "#model table"),
    }
