"""Folders of records and traces that a page can be made from: one small run, under many names."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from codonbench.leaderboard import build_board
from codonbench.site import files
from codonbench.store import Store


def renamed(record, **changes):
    """The record as if another model or seed had made it; `info` and others likewise."""
    planned = {k: changes[k] for k in ("model", "seed", "config") if k in changes}
    plan = record.plan.model_copy(update=planned)
    changes = {k: v for k, v in changes.items() if k != "config"}
    return record.model_copy(update={**changes, "plan": plan, "run_id": plan.run_id}).sealed()


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

    def add(self, record, trace=None):
        self.store.prepare()
        self.store.save(record, trace)
        return record

    def read(self):
        found = list(self.store.scan())
        return build_board(found), files.runs_by_id(found)

    def make(self):
        """Write the page as `bench site` does; return what it wrote."""
        board, runs = self.read()
        old = files.committed_rows(self.site)
        pictures = list(files.pictured_rows(board, runs, old, self.store))
        wanted = files.wanted_files(board, runs, pictures)
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
