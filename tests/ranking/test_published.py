"""Figures that others published: read from TOML, and shown beside rows, never among them."""

import tomllib
from pathlib import Path

import pytest

from codonbench.errors import ConfigError
from codonbench.plugins.discovery import load_registry
from codonbench.ranking.published import read_published, shipped_published

TABLE = """
[table]
source = "Someone et al. 2024"
place = "table 1"
split = "their own"
comparable = "the same items"

[[figure]]
task = "gue-tf-0"
metric = "mcc"
model = "Best"
value = 0.5
"""


def test_a_file_gives_each_task_its_figures_and_where_they_were_read(tmp_path):
    path = tmp_path / "one.toml"
    path.write_text(TABLE + TABLE[TABLE.index("[[fig") :].replace("tf-0", "tf-1"))
    found = read_published(path)
    assert list(found) == ["gue-tf-0", "gue-tf-1"]
    assert found["gue-tf-0"].source.place == "table 1"
    assert [(f.model, f.value) for f in found["gue-tf-1"].figures] == [("Best", 0.5)]
    assert shipped_published([path, path])["gue-tf-0"] == (found["gue-tf-0"],) * 2


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ("value = 0.5", 'value = "high"', r"\[\[figure\]\] 1.*value"),
        ("[table]", "[tabel]", "figure.*tabel"),
        ('place = "table 1"\n', "", r"\[table\].*place"),
    ],
)
def test_what_is_wrong_with_a_file_is_named(before, after, words, tmp_path):
    path = tmp_path / "one.toml"
    path.write_text(TABLE.replace(before, after))
    with pytest.raises(ConfigError, match=words):
        read_published(path)


def test_what_is_shipped_is_of_tasks_and_metrics_that_exist():
    registry = load_registry()
    shipped = shipped_published()
    assert {"gue-tf-0", "gue-prom-core-all", "enhancers", "ncrna-13"} <= set(shipped)
    for task, tables in shipped.items():
        ranking = registry.tasks[task].task.ranking
        for table in tables:
            assert any(figure.metric == ranking.metric for figure in table.figures)
            assert all(f.metric in registry.metrics and -1 <= f.value <= 1 for f in table.figures)


def test_the_shipped_figures_are_those_that_were_read():
    (gue,) = shipped_published()["gue-prom-core-all"]
    assert [(f.model, f.value) for f in gue.figures] == [
        ("DNABERT-2", 0.6937),
        ("DNABERT (3-mer)", 0.7092),
    ]
    folder = Path(load_registry().tasks["enhancers"].origin.file).parent / "published"
    for path in folder.glob("*.toml"):
        assert set(tomllib.loads(path.read_text())) == {"table", "figure"}


def test_a_note_is_said_once_where_a_table_has_all_its_figures(tmp_path):
    path = tmp_path / "one.toml"
    path.write_text(TABLE.replace("0.5", "0.7199"))
    own = read_published(path)["gue-tf-0"]
    assert own.says("Published: MCC 0.720 by Best")
    assert not own.says("Published figures are of five-fold cross-validation")
    assert not own.says("Published: MCC 0.71 by another")
    assert not own.says("Class 1 is a donor. Published: MCC 0.720 by Best")
