"""Folders of records and trajectories to make a page from: one small run, under many names."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from codonbench.contracts.run_spec import RunRequest
from codonbench.execution.prepare import prepare
from codonbench.execution.run import run
from codonbench.plugins.discovery import load_registry
from codonbench.protocols.referee import unwatched
from codonbench.ranking.board import build_board
from codonbench.records.store import Store
from codonbench.report.site import files
from codonbench.report.site.by_item import PageSources
from codonbench_datasets.human_codon.page import CodonFigures
from codonbench_datasets.human_codon.task import HumanCodon

FIGURES = {"codons": CodonFigures()}
TASKS = dict.fromkeys(("human-codon", "dipeptide"), HumanCodon())  # ranked alike


def renamed(record, **changes):
    """The record as if another model or seed had made it; `info` and others likewise."""
    planned = {k: changes[k] for k in ("model", "seed", "config") if k in changes}
    run_spec = record.run_spec.model_copy(update=planned)
    changes = {k: v for k, v in changes.items() if k != "config"}
    return record.model_copy(
        update={**changes, "run_spec": run_spec, "run_id": run_spec.run_id}
    ).sealed()


@dataclass(frozen=True)
class Shelf:
    """A leaderboard's folder: ``results/`` and, once made, ``site/``."""

    folder: Path

    @property
    def site(self) -> Path:
        return self.folder / "site"

    @property
    def store(self) -> Store:
        return Store(self.folder / "results")

    def add(self, record, trajectory=None):
        self.store.prepare()
        self.store.save(record, trajectory)
        return record

    def read(self):
        found = list(self.store.scan())
        return build_board(found, TASKS), files.runs_by_id(found)

    def make(self):
        """Write the page as `bench site` does; return what it wrote."""
        board, runs = self.read()
        drawn = list(files.drawn_rows(board, runs, self.drawn(), self.store, FIGURES))
        return self.write(self.wanted(board, runs, drawn))

    def drawn(self):
        """What the rows in the page's folder are drawn from, by row."""
        return files.committed_rows(self.site, FIGURES)

    def picture(self):
        """What the only row is drawn from."""
        (one,) = self.drawn().values()
        return one.content

    def wanted(self, board, runs, drawn=()):
        return files.wanted_files(board, runs, drawn, FIGURES, PageSources(tasks=TASKS))

    def write(self, wanted):
        for path, content in wanted.items():
            (self.site / path).parent.mkdir(parents=True, exist_ok=True)
            (self.site / path).write_bytes(content)
        return wanted

    @property
    def row_files(self):
        return sorted((self.site / "rows").glob("*.js"))


@pytest.fixture
def shelf(tmp_path):
    return Shelf(tmp_path / "leaderboard")


@pytest.fixture(scope="session")
def rename():
    return renamed


@pytest.fixture(scope="session")
def codons(made_once):
    """Two seeds of mlp-64 on codons, long enough for two frames of the paper's instrument."""

    def make(folder):
        registry = load_registry()
        request = RunRequest(model="mlp-64", seeds=(0, 1), pairs=400_000, full=True)
        job = prepare(request, registry, folder / "cache")
        shelf = Shelf(folder)
        for record, trajectory in run(job, registry, unwatched):
            shelf.add(record, trajectory)
        shelf.make()

    return Shelf(made_once("codons", make))
