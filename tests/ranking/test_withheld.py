"""Tables of tasks whose targets may not be published: what is written down, and what stays true."""

import shutil

import numpy as np
import pytest

import codonbench
from codonbench import ModelInfo
from codonbench.contracts import Task
from codonbench.plugins.discovery import load_registry
from codonbench.ranking.board import board_with_outputs, gain_cell
from codonbench.ranking.items import gather_tested
from codonbench.records.store import Store

N = 200


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Runs of four models on quantities."""
    folder, rng = tmp_path_factory.mktemp("made"), np.random.default_rng(0)
    letters = ["".join(rng.choice(list("ACGT"), 20)) for _ in range(N)]
    lines = [f"{text},{text.count('G') + rng.normal():.3f}" for text in letters]
    (folder / "mine.csv").write_text("\n".join(["sequence,value", *lines]) + "\n")
    asked = {"data": folder / "mine.csv", "workers": 0, "results": folder / "runs"}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CODONBENCH_CACHE", str(folder / "cache"))
        for model in ("majority", "nearest", "kmer-linear", "onehot-linear"):
            codonbench.run(model, seeds="0-2", folds=0, **asked)
    return folder / "runs"


@pytest.fixture
def store(made, tmp_path, monkeypatch):
    """The same, of a task that keeps its targets to itself."""
    monkeypatch.setattr(Task, "shares_targets", False)
    return Store(shutil.copytree(made, tmp_path / "runs"))


def board_of(store):
    registry = load_registry()
    found = list(store.scan())
    tested = gather_tested([(store, found)], registry)
    return board_with_outputs(store, found, registry.known_tasks, tested), tested


def write(files):
    for path, content in files.items():
        if content is None:
            path.unlink()
        else:
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(content)


def test_answers_that_are_training_targets_are_not_written_and_their_figures_stay(store):
    (board, files), tested = board_of(store)
    write(files)
    names = {path.name.split("-s")[0] for path in (store.folder / "outputs").iterdir()}
    assert {name for name in names if not name.startswith("figures")} == {
        "majority",
        "kmer-linear",
        "onehot-linear",
    }
    assert len(tested.withheld) == 3
    (table,) = board.tables
    nearest = next(row for row in table.references if row.model == "nearest")
    assert table.figures.by_item.rows[nearest.id].predicted
    for path in (store.folder / "trajectories").iterdir():
        path.unlink()
    (again, changed), _ = board_of(store)
    assert changed == {}
    assert again.tables[0].rows == table.rows
    assert again.tables[0].figures == table.figures


def test_outputs_that_were_written_before_are_removed(store):
    (_, files), _ = board_of(store)
    write(files)
    (path,) = (p for p in files if p.name.startswith("majority-s0"))
    record = next(r for r in store.scan() if r.model == "nearest")
    stale = path.with_name(f"{record.name}.npz")
    stale.write_bytes(path.read_bytes())
    (_, changed), _ = board_of(store)
    assert changed == {stale: None}


def test_no_gain_is_over_a_lesser_row_where_the_best_is_not_at_hand(store):
    """The best reference row loses its answers, and no figures were kept."""
    (board, _), _ = board_of(store)
    means = {row.model: row.means["pearson"] for row in board.tables[0].references}
    best = max((m for m in means if means[m]), key=lambda model: means[model].value)
    for record in store.scan():
        if record.model == best:
            store.trajectory_path(record).unlink()
    (again, _), _ = board_of(store)
    assert board.tables[0].rows[0].gain is not None
    (table,) = again.tables
    assert table.rows[0].gain is None
    assert table.gain_words.startswith(
        f"no gain: the test outputs of the best reference row, {best}, are"
    )
    assert gain_cell(table.rows[0], table) == ""


def test_a_model_says_that_it_repeats_training_targets():
    assert "instance_based" not in ModelInfo(name="a", version="1", summary="s").model_dump()
    assert load_registry().models["nearest"].cls.info.instance_based
