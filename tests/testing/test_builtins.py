"""Everything that codonbench ships passes the checks that a stranger's plugins must pass."""

import numpy as np
import pytest

from codonbench.plugins.discovery import load_registry
from codonbench.testing import check_metric, check_model, check_task

INSTALLED = load_registry()


@pytest.mark.parametrize("name", sorted(INSTALLED.models))
def test_a_built_in_model_keeps_the_contract(name):
    check_model(name)


@pytest.mark.parametrize("name", sorted(INSTALLED.metrics))
def test_a_built_in_metric_keeps_the_contract(name):
    check_metric(name)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Three splits of sequences of 101 letters, for tasks whose own data must be downloaded."""
    folder, rng = tmp_path_factory.mktemp("data"), np.random.default_rng(0)
    for split in ("train", "dev", "test"):
        rows = ["".join(rng.choice(list("ACGT"), 101)) for _ in range(130)]
        lines = [f"{row},{int(row[0] in 'AC')}" for row in rows]
        (folder / f"{split}.csv").write_text("\n".join(["sequence,label", *lines]) + "\n")
    return str(folder)


@pytest.mark.parametrize("name", sorted(INSTALLED.tasks))
def test_a_built_in_task_keeps_the_contract(name, folder):
    task = INSTALLED.tasks[name].task
    downloaded = task.default_data in {source.name for source in task.sources}
    check_task(name, data=folder if downloaded else None)


def test_a_task_whose_data_were_never_downloaded_says_what_to_give(monkeypatch, tmp_path):
    monkeypatch.setenv("CODONBENCH_CACHE", str(tmp_path))
    with pytest.raises(AssertionError, match=r"bench data fetch gue-tf-0.*data="):
        check_task("gue-tf-0")


@pytest.mark.parametrize("name", ["cnn", "lstm"])
def test_a_built_in_model_keeps_the_contract_on_a_supervised_task(name, folder):
    check_model(name, task="gue-tf-0", data=folder)
