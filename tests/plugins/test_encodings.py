"""Encodings that a plugin brings: named by its models, for trained and fitted ones alike."""

import random
import re
from pathlib import Path

import pytest
import torch

import codonbench
from codonbench.contracts import ENCODINGS
from codonbench.data.encodings import available, canonical, make_encoder
from codonbench.errors import ConfigError, NameClashError
from codonbench.plugins.discovery import discover

pytestmark = pytest.mark.usefixtures("forked_workers")

PAGE = Path(__file__).parents[2] / "docs" / "first-model.md"
(SHOWN,) = re.findall(r"```python\n(import numpy as np\n\n\nclass .*?)```", PAGE.read_text(), re.S)

PLUGIN = f'''
import torch
from sklearn.linear_model import LogisticRegression

import codonbench

{SHOWN}


@codonbench.model(encoding="letter_counts", learning_rate=0.05)
def by_letters(task):
    """A line through counts of letters."""
    return torch.nn.Linear(4, task.n_outputs)


@codonbench.estimator(encoding="letter_counts", summary="A line through counts of letters")
def fitted_by_letters(task):
    return LogisticRegression()
'''


@pytest.fixture
def file(tmp_path, monkeypatch):
    monkeypatch.delitem(ENCODINGS, "letter_counts", raising=False)
    (tmp_path / "letters.py").write_text(PLUGIN)
    rng = random.Random(0)
    rows = [f"{''.join(rng.choices('AC', k=20))}{'GT'[i % 2] * 9},{i % 2}" for i in range(200)]
    rows = [f"{row},{'test' if i < 40 else 'train'}" for i, row in enumerate(rows)]
    (tmp_path / "mine.csv").write_text("\n".join(["sequence,label,split", *rows]))
    yield tmp_path / "letters.py"
    ENCODINGS.pop("letter_counts", None)


@pytest.mark.filterwarnings("ignore:data audit")
@pytest.mark.parametrize(("model", "workers"), [("by-letters", 1), ("fitted-by-letters", 0)])
def test_models_are_handed_what_an_encoding_of_their_file_gives(file, tmp_path, model, workers):
    asked = {"data": tmp_path / "mine.csv", "results": tmp_path / "runs", "workers": workers}
    (record,) = codonbench.run(model, plugin=file, **asked)
    assert (record.status, record.error) == ("done", None)
    assert record.metrics["accuracy"] == 1.0


def test_it_stands_beside_those_of_the_task_and_gives_a_row_an_item(file, toys):
    view, items = toys.spec.view(), toys.job().dataset.items
    with pytest.raises(ConfigError, match="encoding 'letter_counts' is not offered"):
        canonical("letter_counts", view)
    registry = discover(files=[file])
    assert list(registry.encodings) == ["letter_counts"]
    assert canonical("letter_counts", view) == "letter_counts"
    assert "letter_counts" not in available(view)  # what any model may name
    encode = make_encoder("letter_counts", view, items, torch.device("cpu"), torch.float64)
    found = encode(torch.tensor([0, 1]))
    assert (found.dtype, found.shape) == (torch.float64, (2, 5))
    assert found.sum() == 4  # two dipeptides
    ENCODINGS["letter_counts"].encode = lambda items, view: [[1.0]]
    with pytest.raises(ConfigError, match="'letter_counts' gave 1 rows for 2 items"):
        encode(torch.tensor([0, 1]))


def test_two_of_one_name_are_a_clash(file, tmp_path):
    hook = "@codonbench.hookimpl\ndef register_encodings(register):\n    register(LetterCounts())\n"
    (tmp_path / "again.py").write_text(f"{PLUGIN.replace('_letters', '_words')}\n\n{hook}")
    with pytest.raises(NameClashError, match="encoding 'letter_counts' is registered twice"):
        discover(files=[file, tmp_path / "again.py"]).check_files([])
