"""The command that a model's page and a submission show makes the very runs again."""

import random
import shlex

import pytest

from codonbench.plugins.discovery import load_registry
from codonbench.records.again import command, seeds_text
from codonbench.records.store import Store
from codonbench.scoring.score import task_of


def table(path):
    rng = random.Random(1)
    rows = ["sequence,label"]
    rows += [f"{''.join(rng.choices('ACGT', k=30))},{i % 2}" for i in rng.sample(range(120), 120)]
    path.write_text("\n".join(rows) + "\n")


@pytest.mark.parametrize(
    "asked",
    [
        "--model mlp-64 --seeds 0-1,4 --pairs 2000",
        "--model mlp-64 --pairs 2000 --full --set learning_rate=0.01 --task-set mean_length=300",
        "--model mlp-64 --pairs 2000 --control shuffled --salt another --engine eager",
        "--model kmer-linear --data mine.csv --seeds 0-1",
        "--model cnn --data mine.csv --epochs 1 --set channels=8",
        "--model nearest --data mine.csv --folds 3",
        "--model kmer-linear --data mine.csv --control labels",
        "--model kmer-linear --data mine.csv --protocol sample_efficiency "
        "--protocol-set sizes=[20,40]",
    ],
)
def test_the_command_of_a_row_makes_no_new_run(bench, tmp_path, asked):
    table(tmp_path / "mine.csv")
    answer = bench("run", *shlex.split(asked), "--results", "runs")
    assert answer.code == 0, answer.err
    assert "mine on mine.csv" not in answer.out
    store, tasks = Store(tmp_path / "runs"), load_registry().known_tasks
    before = list(store.scan())
    whole = [r for r in before if r.run_spec.fold is None]
    line = command(whole, task_of(whole[0], tasks))
    program, *words = shlex.split(line)
    assert program == "bench"
    again = bench(*words, "--results", "runs")
    assert again.code == 0, f"{line}\n{again.err}"
    assert {record.run_id for record in store.scan()} == {record.run_id for record in before}, line


@pytest.mark.parametrize(
    ("seeds", "text"), [([3], "3"), ([0, 1, 2], "0-2"), ([9, 0, 1, 5], "0-1,5,9")]
)
def test_seeds_are_written_as_they_are_read(seeds, text):
    assert seeds_text(seeds) == text


def test_a_hostile_setting_stays_one_word(toys):
    record, _ = toys.run("mlp-64", pairs=2_000)
    record = record.model_copy(update={"overrides": {"x": "$(rm -rf /); `id`"}})
    assert "'x=$(rm -rf /); `id`'" in command([record])
