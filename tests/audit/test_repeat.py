"""A recorded run made again from its record, and the module that comes of it."""

from pathlib import Path

import numpy as np
import pytest
import torch

from codonbench.audit.repeat import repeat
from codonbench.contracts.run_record import hash_trajectory
from codonbench.data.encodings import make_encoder
from codonbench.errors import ConfigError, DataError
from codonbench.execution.run import train_here
from codonbench.training.determinism import hash_weights

CACHE = Path("no-cache")


@pytest.fixture(scope="module", params=["mlp-64", "rnn-64"])
def record(toys, request):
    return toys.run(request.param, pairs=1_000, full=True)[0]


def test_a_repetition_has_the_recorded_weights_and_the_module_that_holds_them(toys, record):
    again = repeat(record, toys.registry(), CACHE)
    assert again.same_weights
    assert hash_weights(again.module.state_dict()) == record.weights_sha256
    assert hash_trajectory(again.trajectory) == record.trajectory_sha256


def test_its_module_gives_the_last_probe_once_its_class_ids_are_revealed(toys, record):
    again = repeat(record, toys.registry(), CACHE)
    setup, job = again.setup, again.job
    encoding = job.entry.cls(job.config).encoding
    spec = setup.dataset.spec
    encode = make_encoder(encoding, spec.view(), setup.dataset.items, torch.device("cpu"))
    with torch.no_grad():
        logits = again.module.eval()(encode(torch.as_tensor(setup.dataset.evaluation))).numpy()
    assert np.allclose(setup.labels.reveal_columns(logits), again.trajectory.outputs[-1], atol=1e-5)


def test_a_repetition_under_a_control_has_its_labels(toys):
    asked = {"task": "human-codon", "pairs": 640, "task_overrides": {"control": "shuffled"}}
    record, trajectory = toys.run("mlp-64", **asked)
    again = repeat(record, toys.registry(), CACHE)
    assert again.same_weights
    assert tuple(again.setup.dataset.spec.evaluation.targets) == trajectory.task.evaluation.targets


def test_other_weights_are_told(toys, record):
    other = record.model_copy(update={"weights_sha256": "0" * 64})
    assert not repeat(other, toys.registry(), CACHE).same_weights


def test_one_that_ctrl_c_ends_says_nothing_of_its_record(toys, record):
    def interrupted(*given):
        for referee, result in train_here(*given):
            result.status = "interrupted"
            yield referee, result

    with pytest.raises(KeyboardInterrupt):
        repeat(record, toys.registry(), CACHE, trainer=interrupted)


def test_a_computed_row_has_no_module(toys):
    record, _ = toys.run("oracle", pairs=1_000)
    again = repeat(record, toys.registry(), CACHE)
    assert again.module is None
    assert again.same_weights


def test_other_rules_and_other_data_are_refused(toys, record):
    rules = record.run_spec.model_copy(update={"rules": "0"})
    with pytest.raises(ConfigError, match="made under rules 0"):
        repeat(record.model_copy(update={"run_spec": rules}), toys.registry(), CACHE)
    data = record.run_spec.model_copy(update={"data_checksum": "0" * 64})
    with pytest.raises(DataError, match="was made on data 000000000000"):
        repeat(record.model_copy(update={"run_spec": data}), toys.registry(), CACHE)
