"""Splice sites by weights that were trained elsewhere: from the real files where they are."""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from codonbench.contracts import Input, TaskView
from codonbench.errors import ConfigError
from codonbench_models.openspliceai import OpenSpliceAI

ROOT = Path(__file__).resolve().parents[2]
DATA = Path(os.environ.get("CODONBENCH_TEST_DATA", ROOT.parent / "shared" / "data"))
WEIGHTS, SPLICE = DATA / "models" / "openspliceai", DATA / "tasks" / "gue_splice" / "reconstructed"


def view(n_outputs=3, **fields):
    asked = Input.of_length(400, **fields)
    known = asked.model_dump(exclude={"enumerable"})
    return TaskView(task="sites", target="classes", n_outputs=n_outputs, **known)


def built(**settings):
    torch.manual_seed(0)
    return OpenSpliceAI(OpenSpliceAI.Config(**settings)).build(view()).eval()


def letters(texts):
    index = torch.tensor([["ACGT".index(letter) for letter in text] for text in texts])
    return torch.nn.functional.one_hot(index, 4).float()


@torch.no_grad()
def test_the_answer_is_the_larger_site_near_the_middle_or_neither_below_the_threshold():
    module, rng = built(init="random", context=80), np.random.default_rng(0)
    inputs = letters(["".join(rng.choice(list("ACGT"), 400)) for _ in range(6)])
    sites = module.probabilities(inputs)[:, 1:, 190:211].amax(dim=2)
    assert torch.allclose(module(inputs)[:, :2], sites.log())
    for threshold in (1e-6, float(sites.max(dim=1).values.median()), 0.999):
        module.threshold = threshold
        neither = (sites < threshold).all(dim=1)
        expected = torch.where(neither, 2, sites.argmax(dim=1))
        assert module(inputs).argmax(dim=1).tolist() == expected.tolist()
    flipped = inputs.flip(1, 2)  # a variant scores the same on either strand
    scores = [module.score_variants(x[:3], x[3:]) for x in (inputs, flipped)]
    assert torch.allclose(*scores, atol=1e-6)
    assert (scores[0] < 0).all()
    assert module.embed(inputs).shape == (6, 32)


@pytest.mark.parametrize("task", [view(2), view(3, alphabet="ACGU")])
def test_a_task_that_it_cannot_answer_is_refused(task):
    with pytest.raises(ConfigError, match="acceptor, donor and neither"):
        OpenSpliceAI(OpenSpliceAI.Config()).build(task)


def test_weights_that_are_not_there_or_are_others_are_named(tmp_path, monkeypatch):
    monkeypatch.setenv("CODONBENCH_MODELS", str(tmp_path))
    with pytest.raises(
        ConfigError, match=r"no weights openspliceai/model_400nt_rs10\.pt.*a4838147"
    ):
        built()
    (tmp_path / "openspliceai").mkdir()
    (tmp_path / "openspliceai" / "model_400nt_rs10.pt").write_bytes(b"others")
    with pytest.raises(ConfigError, match=r"SHA-256 is [0-9a-f]{12}\.\.\., expected a4838147"):
        built()


@pytest.mark.skipif(not WEIGHTS.is_dir(), reason=f"no weights in {WEIGHTS}")
@torch.no_grad()
def test_the_published_weights_find_sites_in_gue(monkeypatch):
    """A sample; the whole test set, of which MCC is 0.846, is on the leaderboard."""
    monkeypatch.setenv("CODONBENCH_MODELS", str(WEIGHTS.parent))
    sample = pd.read_csv(SPLICE / "test.csv.gz").iloc[::60]
    answers = built(context=400)(letters(sample["sequence"])).argmax(dim=1)
    assert np.mean(answers.numpy() == sample["label"]) > 0.85
