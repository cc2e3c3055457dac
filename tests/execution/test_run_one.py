"""Whole runs: registry, spec, training, scoring, record.

Two toy tasks (see conftest.py) show that the core is no codon program: dipeptides have another
alphabet, other classes and epochs that no batch divides; gc-rich has inputs that cannot be
enumerated and a target accuracy of 0.9.
"""

import random
import re
from math import inf
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch
from torch import nn

from codonbench import GradientConfig, Model, ModelConfig, ModelInfo, Reference
from codonbench.data.stream import Relabelling, relabelling
from codonbench.errors import ConfigError
from codonbench.records.store import Store, read_record
from codonbench_models.bound import expected_pairs

# Toy models


class Toy(Model):
    """Softmax regression on the one-hot input; the toys below change one thing each."""

    info = ModelInfo(name="toy", version="1", summary="Toy")
    Config = GradientConfig
    encoding = "input_onehot"

    def build(self, task):
        return nn.Linear(task.n_inputs, task.n_classes)


class Normalised(Toy):
    """Batch norm and dropout: not row-independent, random in training."""

    def build(self, task):
        return nn.Sequential(
            nn.Linear(task.n_inputs, 32),
            nn.BatchNorm1d(32),
            nn.ReLU(),
            nn.Dropout(0.2),
            nn.Linear(32, task.n_classes),
        )


class Gambler(Toy):
    """Draws from every global generator there is, in its constructor and while it learns."""

    def __init__(self, config):
        super().__init__(config)
        self.luck = random.random() + np.random.random() + torch.rand(()).item()

    def build(self, task):
        layer = super().build(task)
        layer.register_buffer("luck", torch.tensor([self.luck, random.random()]))
        layer.register_forward_pre_hook(lambda m, x: (x[0] * torch.rand(1) * np.random.random(),))
        return layer


class Exploding(Toy):
    """The logits double at every step until they overflow."""

    def configure_optimizer(self, module):
        return Doubling(module.parameters())


class Doubling(torch.optim.Optimizer):
    def __init__(self, parameters):
        super().__init__(parameters, {})

    def step(self):
        with torch.no_grad():
            for parameter in self.param_groups[0]["params"]:
                parameter.mul_(2.0)


class Broken(Toy):
    """Fails in its 300th forward pass."""

    def build(self, task):
        layer, passes = super().build(task), [0]

        def count(module, inputs):
            passes[0] += 1
            if passes[0] == 300:
                raise ZeroDivisionError("no way on")

        layer.register_forward_pre_hook(count)
        return layer


class StillBorn(Toy):
    def build(self, task):
        raise RuntimeError("no module today")


class Precise(Toy):
    def build(self, task):
        return super().build(task).double()


class LongWinded(Toy):
    def build(self, task):
        raise RuntimeError("\ud800" + "blah " * 100_000)


class MuteError(Exception):
    def __str__(self):
        raise ValueError("no words")


class Mute(Toy):
    def build(self, task):
        raise MuteError


class Unborn(Toy):
    def __init__(self, config):
        raise RuntimeError("no plugin today")


class Boaster(Toy):
    """Says of itself what no record can hold, once it is trained."""

    says: ClassVar[object] = {"weight": float("nan")}

    def build(self, task):
        layer = super().build(task)
        layer.about = lambda: self.says
        return layer


class Speechless(Boaster):
    says = None


class Quitter(Toy):
    def build(self, task):
        raise SystemExit(3)


class Verbose(Toy):
    """A class too many."""

    def build(self, task):
        return nn.Linear(task.n_inputs, task.n_classes + 1)


class Frozen(Toy):
    def build(self, task):
        layer = super().build(task)
        layer.bias.requires_grad_(False)
        return layer


class BrokenRow(Reference):
    info = ModelInfo(name="broken-row", version="1", summary="Broken", role="reference")
    Config = ModelConfig

    def values(self, task, frequencies):
        raise ArithmeticError("no closed form")


class Crib(nn.Module):
    """Knows the textbook's genetic code and learns nothing."""

    def __init__(self, table):
        super().__init__()
        self.register_buffer("table", table)

    def update(self, inputs, labels):
        pass

    def forward(self, inputs):
        return self.table[inputs]


def crib_model(spec):
    """A model with the true classes of `spec` written into it."""

    class CribModel(Model):
        info = ModelInfo(name="crib", version="1", summary="Knows the answers")
        Config = ModelConfig
        encoding = "input_index"

        def build(self, task):
            return Crib(torch.eye(task.n_classes)[list(spec.evaluation.targets)] * 9)

    return CribModel


# A finished run


def test_a_run_of_another_alphabet_is_deciphered_and_stops_when_sure(toys):
    record, trajectory = toys.run("mlp-64")
    assert record.status == "done"
    assert record.task == "dipeptide"
    assert record.metrics["success"] is True
    assert record.metrics["all_seen"] == 252
    first = record.metrics["pairs_consumed"]
    assert record.pairs == max(first, record.metrics["sustained_pairs"]) + 64_000 + 24
    assert trajectory.outputs.shape == (len(trajectory.pairs), 25, 4)
    assert not trajectory.facts.complete
    assert record.parameters == 25 * 64 + 64 * 4
    assert record.error is None


def test_pairs_consumed_is_where_a_loop_over_the_trajectory_finds_every_input_right(toys, finished):
    record, trajectory = finished
    right_at = [
        pairs
        for pairs, table in zip(trajectory.pairs.tolist(), trajectory.outputs.tolist(), strict=True)
        if all(
            row[c] > max(row[:c] + row[c + 1 :])
            for row, c in zip(table, toys.spec.evaluation.targets, strict=True)
        )
    ]
    assert record.metrics["pairs_consumed"] == right_at[0]


def test_a_task_that_cannot_be_enumerated_is_scored_by_its_target_accuracy(toys):
    record, trajectory = toys.run("mlp-64-12bit", task="gc-rich", full=True, pairs=5_000)
    assert record.status == "done"
    assert trajectory.outputs.shape[1:] == (200, 2)
    rights = [(table.argmax(axis=1) == trajectory.targets).sum() for table in trajectory.outputs]
    reached = next(i for i, right in enumerate(rights) if right >= 180)
    assert rights[reached] < 200  # the target, not perfection
    assert record.metrics["pairs_consumed"] == trajectory.pairs[reached]
    assert record.metrics["last_failing_pairs"] == trajectory.pairs[reached - 1]
    assert record.metrics["all_seen"] is None
    assert record.metrics["excess_pairs"] is None
    assert record.metrics["test_accuracy"] == rights[-1] / 200
    assert record.not_measured == ()


def test_a_model_that_needs_a_list_of_inputs_is_refused_where_there_is_none(toys):
    with pytest.raises(ConfigError, match=r"'count-table' needs .* can be enumerated"):
        toys.run("count-table", task="gc-rich")


def test_class_weights_are_refused_where_the_task_has_none(toys):
    with pytest.raises(ConfigError, match="task 'gc-rich' has none"):
        toys.job("mlp-64-12bit-weighted", task="gc-rich")


def test_class_weights_are_knowledge_and_change_what_is_learned(toys):
    plain, _ = toys.run("mlp-64", pairs=500, full=True)
    weighted, _ = toys.run("mlp-64-weighted", pairs=500, full=True)
    assert plain.knowledge == ()
    assert weighted.knowledge == ("class frequencies",)
    assert weighted.weights_sha256 != plain.weights_sha256


def test_the_trajectory_holds_what_metrics_need(toys, finished):
    _, trajectory = finished
    job = toys.job(pairs=3_000)
    assert trajectory.pairs[0] == 0
    assert trajectory.pairs[-1] == 3_000
    assert trajectory.facts.complete
    assert trajectory.arrays["frame_pairs"].tolist() == [640, 1_280, 2_140, 2_780]
    assert trajectory.arrays["frame_inputs"].shape == (4, 64)
    assert set(trajectory.arrays["frame_pairs"]) <= set(trajectory.pairs)
    assert trajectory.arrays["test_counts"].sum() == 100
    assert trajectory.task == job.dataset.spec


def test_parameters_that_are_not_trained_are_not_counted(toys):
    record, _ = toys.run(Frozen, pairs=64)
    assert record.parameters == 100


def test_a_model_with_batch_norm_and_dropout_runs_and_repeats(toys):
    record, _ = toys.run(Normalised, pairs=6_000, full=True)
    again, _ = toys.run(Normalised, pairs=6_000, full=True)
    assert record.status == "done"
    assert record.metrics["pairs_consumed"] is not None
    assert record.result() == again.result()


# Chance


def state_of_chance():
    return random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()


another = pytest.mark.nightly("a built-in model, and one that draws, stand for it")


@pytest.mark.parametrize(
    "model",
    [
        *("mlp-64", Gambler),
        *(pytest.param(m, marks=another) for m in ("rnn-64", "embedding10-relu", Normalised)),
    ],
)
def test_one_spec_has_one_result_whatever_ran_before(toys, model):
    first, first_trajectory = toys.run(model, pairs=1_000)
    random.seed(7)
    np.random.seed(7)
    torch.manual_seed(7)
    toys.run("mlp-128", pairs=200, seeds=(5,))
    again, again_trajectory = toys.run(model, pairs=1_000)
    assert first.weights_sha256 == again.weights_sha256
    assert first.result() == again.result()
    assert np.array_equal(first_trajectory.outputs, again_trajectory.outputs)
    other, _ = toys.run(model, pairs=1_000, seeds=(1,))
    assert other.weights_sha256 != first.weights_sha256


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("model", ["mlp-64", "lstm-64", "embedding10-relu", "count-table"])
def test_one_spec_has_one_result_on_a_gpu_too(toys, model):
    first, _ = toys.run(model, pairs=1_000, device="cuda")
    again, _ = toys.run(model, pairs=1_000, device="cuda")
    on_cpu, _ = toys.run(model, pairs=1_000, device="cpu")
    assert first.machine.device == "cuda"
    assert first.result() == again.result()
    assert first.status == "done"
    assert first.metrics["all_seen"] == on_cpu.metrics["all_seen"]
    assert first.metrics["test_accuracy"] == pytest.approx(on_cpu.metrics["test_accuracy"], abs=0.1)


@pytest.mark.parametrize("model", [Gambler, Broken, "oracle"])
def test_a_run_leaves_the_global_generators_as_they_were(toys, model):
    before = state_of_chance()
    toys.run(model, pairs=3_000)
    assert state_of_chance() == before


# A run that ends otherwise


def has_last_words(record, words):
    """Whether an error is told in these words, and with the line of this file it arose in."""
    return re.fullmatch(rf"{re.escape(words)} \(test_run_one\.py:\d+\)", record.error)


def test_a_model_that_fails_leaves_its_last_words_and_what_was_seen(toys):
    record, trajectory = toys.run(Broken, pairs=30_000)
    assert record.status == "error"
    assert has_last_words(record, "ZeroDivisionError: no way on")
    assert 0 < record.pairs < 30_000
    assert trajectory.pairs[-1] == record.pairs
    assert record.metrics["all_seen"] == 252
    assert record.metrics["success"] is None
    assert "success" in record.not_measured
    assert record.weights_sha256 is not None


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (StillBorn, "RuntimeError: no module today"),
        (Mute, "MuteError: its message failed: ValueError"),
        (Unborn, "RuntimeError: no plugin today"),
        (Quitter, "SystemExit: 3"),
        (BrokenRow, "ArithmeticError: no closed form"),
    ],
)
def test_a_model_that_never_begins_leaves_its_last_words(toys, model, words):
    record, trajectory = toys.run(model, pairs=1_000)
    assert record.status == "error"
    assert has_last_words(record, words)
    assert record.pairs == 0
    assert record.weights_sha256 is None
    assert record.trajectory_sha256 is None
    assert len(trajectory.pairs) == 0
    assert set(record.metrics.values()) == {None}


def test_last_words_beyond_what_a_record_holds_are_cut_and_the_record_is_sound(toys, tmp_path):
    """Half a surrogate pair is no JSON that others read, and a record has at most 256 KiB."""
    record, _ = toys.run(LongWinded, pairs=1_000)
    assert record.error.startswith("RuntimeError: ?blah blah")
    assert record.error.endswith("...")
    assert read_record(Store(tmp_path).save(record, None)) == record


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (Boaster, "PluginError: model 'toy': about() says of 'weight' what no record can hold"),
        (Speechless, "TypeError: 'NoneType' object is not iterable"),
    ],
)
def test_a_model_that_cannot_be_asked_at_its_end_leaves_its_last_words(toys, model, words):
    record, trajectory = toys.run(model, pairs=1_000)
    assert (record.status, record.pairs, record.about) == ("error", 1_000, {})
    assert record.error.startswith(words)
    assert len(trajectory.pairs) > 1


def test_a_model_with_a_class_too_many_is_an_error(toys):
    record, _ = toys.run(Verbose, pairs=1_000)
    assert record.status == "error"
    line = Verbose.build.__code__.co_firstlineno + 1  # raised in no line of its own
    made = f"(made in {Path(__file__).name}:{line})"
    assert record.error.endswith(f"outputs (25, 5), expected (25, 4) {made}")


def test_a_run_of_a_module_of_float64_says_what_it_is_handed(toys):
    record, _ = toys.run(Precise, pairs=1_000)
    assert record.status == "error"
    assert record.error.endswith("let its parameters be float32, without double()")


def test_logits_that_overflow_end_the_run_as_diverged(toys):
    record, trajectory = toys.run(Exploding)
    assert record.status == "diverged"
    assert record.error is None
    assert not np.isfinite(trajectory.outputs[-1]).all()
    assert np.isfinite(trajectory.outputs[:-1]).all()
    assert trajectory.facts.complete
    assert record.pairs < 64 * 256  # float32 overflows after some 130 doublings
    assert record.metrics["success"] is False
    assert record.metrics["test_accuracy"] == 0
    assert record.not_measured == ()


def test_an_interrupted_run_keeps_what_was_seen(toys):
    def interrupt(pairs, progress):
        if pairs >= 192:
            raise KeyboardInterrupt

    record, trajectory = toys.run("mlp-64", on_snapshot=interrupt)
    assert record.status == "interrupted"
    assert record.error is None
    assert record.pairs == 192
    assert trajectory.pairs.tolist() == [0, 64, 128, 192]
    assert trajectory.outputs.shape == (4, 25, 4)
    assert not trajectory.facts.complete
    whole, whole_trajectory = toys.run("mlp-64", pairs=1_000)
    assert record.run_id != whole.run_id
    assert np.array_equal(trajectory.outputs, whole_trajectory.outputs[:4])
    assert "sustained_pairs" in record.not_measured


# Who is told


def test_whoever_watches_is_told_of_every_evaluation(toys):
    told = []
    _, trajectory = toys.run(
        "mlp-64", lambda pairs, progress: told.append((pairs, progress())), pairs=500
    )
    assert [pairs for pairs, _ in told] == trajectory.pairs.tolist()
    stops = toys.spec.groups["stop"]
    for (_, progress), right in zip(told, trajectory.right, strict=True):
        assert progress == f"{right.sum():>2}/25 dipeptides {right[list(stops)].sum()}/2 stops"


# The reference rows


@pytest.mark.parametrize("seed", [0, 1])
def test_an_honest_guesser_is_below_the_bound(toys, seed):
    record, _ = toys.run("frequency-guess", task="human-codon", pairs=70_000, seeds=(seed,))
    assert record.metrics["excess_pairs"] < 0
    assert record.metrics["sustained_pairs"] is not None


@pytest.mark.parametrize("seed", [0, 1, 2, 3])
def test_the_count_table_attains_the_bound_exactly(toys, seed):
    record, _ = toys.run("count-table", task="human-codon", pairs=70_000, seeds=(seed,))
    assert record.metrics["excess_pairs"] == 0
    all_seen = record.metrics["all_seen"]
    assert record.metrics["pairs_consumed"] == -(-all_seen // 64) * 64
    assert record.metrics["confident_pairs"] == record.metrics["pairs_consumed"]
    assert record.flags == ()


def test_the_oracle_needs_no_pair(toys):
    record, trajectory = toys.run("oracle", task="human-codon", seeds=(3,))
    assert record.status == "done"
    assert record.metrics["pairs_consumed"] == 0
    assert record.metrics["sustained_pairs"] == 0
    assert record.metrics["confident_pairs"] == 0
    assert record.metrics["decipher_epoch"] == 1
    assert record.metrics["test_accuracy"] == 1
    assert record.metrics["paper_epoch"] >= 2  # what the instrument alone costs
    assert record.weights_sha256 is None
    assert trajectory.arrays["frame_inputs"].shape == (120, 64)


def test_the_frames_of_a_computed_row_are_those_of_a_trained_one(toys):
    _, computed = toys.run("oracle", pairs=4_000, full=True)
    _, learned = toys.run("untrained", pairs=4_000, full=True)
    assert np.array_equal(computed.arrays["frame_pairs"], learned.arrays["frame_pairs"])
    assert np.array_equal(computed.arrays["frame_inputs"], learned.arrays["frame_inputs"])


def test_the_bound_is_computed_and_nothing_else_is(toys):
    job = toys.job("bound", task="human-codon")
    record, trajectory = toys.run("bound", task="human-codon")
    assert record.status == "done"
    assert record.metrics["bound_mean"] == expected_pairs(job.dataset.frequencies)
    assert record.metrics["pairs_consumed"] == record.metrics["bound_q50"]
    known = {"pairs_consumed", "bound_mean", "bound_q05", "bound_q50", "bound_q95"}
    assert {name for name, value in record.metrics.items() if value is not None} == known
    assert record.not_measured == ()
    assert record.trajectory_sha256 is None
    assert len(trajectory.pairs) == 0


@pytest.mark.parametrize("model", ["untrained", "majority"])
def test_what_does_not_learn_does_not_decipher(toys, model):
    record, trajectory = toys.run(model, task="human-codon", pairs=30_000)
    assert record.status == "done"
    assert record.metrics["pairs_consumed"] is None
    assert record.metrics["success"] is False
    assert "pairs_consumed" not in record.not_measured  # never, which is an answer
    assert trajectory.right.sum(axis=1).max() <= 12


# Relabelling


def test_an_honest_model_cannot_tell_one_relabelling_from_another(toys):
    results = set()
    for salt in ("codonbench-public-1", "private", ""):
        record, _ = toys.run("count-table", pairs=3_000, full=True, salt=salt)
        results.add((record.metrics["excess_pairs"], record.metrics["test_accuracy"]))
    assert results == {(0, 1.0)}


def test_a_relabelling_permutes_what_a_softmax_table_learns_and_changes_nothing_else(toys):
    """Zero-initialised, each class alike: logits in true order are equal whatever the salt."""
    _, one = toys.run("softmax-table", pairs=2_000, full=True, salt="one")
    _, two = toys.run("softmax-table", pairs=2_000, full=True, salt="two")
    np.testing.assert_allclose(one.outputs, two.outputs, rtol=1e-3, atol=1e-4)
    forwards = [relabelling(4, salt, 0).forward.tolist() for salt in ("one", "two")]
    assert forwards[0] != forwards[1]


def test_a_weighted_loss_follows_the_labels_through_the_relabelling(toys):
    """With SGD: Adam's steps do not depend on the size of a gradient."""
    plain = {"optimizer": "sgd", "learning_rate": "0.5"}
    trajectories = [
        toys.run("softmax-table", pairs=2_000, full=True, salt=salt, overrides=overrides)[1]
        for salt, overrides in [
            ("one", plain | {"class_weights": "n"}),
            ("two", plain | {"class_weights": "n"}),
            ("one", plain),
        ]
    ]
    one, two, unweighted = (trajectory.outputs for trajectory in trajectories)
    np.testing.assert_allclose(one, two, rtol=1e-3, atol=1e-4)
    assert np.abs(one - unweighted).max() > 0.01


@pytest.mark.parametrize("seed", [0, 1])
def test_a_hard_coded_genetic_code_never_deciphers(toys, seed):
    crib = crib_model(toys.job("mlp-64", task="human-codon").dataset.spec)
    record, trajectory = toys.run(crib, task="human-codon", pairs=2_000, seeds=(seed,))
    assert record.status == "done"
    assert record.metrics["pairs_consumed"] is None
    assert trajectory.right.sum(axis=1).max() < 20


def test_it_is_the_relabelling_that_stops_a_hard_coded_genetic_code(toys, monkeypatch):
    monkeypatch.setattr(
        "codonbench.protocols.referee.relabelling", lambda n, salt, seed: Relabelling(np.arange(n))
    )
    crib = crib_model(toys.job("mlp-64", task="human-codon").dataset.spec)
    record, _ = toys.run(crib, task="human-codon", pairs=2_000)
    assert record.metrics["pairs_consumed"] == 0


def test_a_lucky_start_is_flagged_and_not_hidden(toys):
    record, _ = toys.run("mlp-64", pairs=1_000)
    assert record.metrics["excess_pairs"] == -64
    assert record.flags[0].startswith("below the bound")


def test_no_time_is_negative_and_the_total_holds_its_parts(finished):
    timings = finished[0].timings
    parts = (timings.build, timings.train, timings.probe, timings.score)
    assert all(0 <= part < inf for part in parts)
    assert sum(parts) <= timings.total
