"""The traced engine: the reference's arithmetic, seeds that do not touch, honest steps down."""

import numpy as np
import pytest
import torch
from torch import nn

from codonbench import GradientConfig, Model, ModelInfo
from codonbench.engines.check import check_against_reference, same_alone
from codonbench.engines.errors import CannotCapture
from codonbench.jobs import run_all
from codonbench.records import hash_weights
from codonbench.runner import run
from codonbench.seeding import seeded_globals
from codonbench.setting import Setting, make_lesson
from codonbench.store import Store

PRESETS = [
    "mlp-64",
    "mlp-64-12bit",
    "mlp-64x1024",
    "embedding10-relu",
    "embedding2-tanh",
    "rnn-64",
    "gru-64",
    "lstm-64",
    "softmax-table",
    "lstm-64-weighted",
]


def settings_of(job):
    return [Setting(plan, job.dataset, job.config.batch_size) for plan in job.plans]


def lesson_of(job, setting, dtype=torch.float32):
    with seeded_globals(setting.plan.seed):
        return make_lesson(job.entry.cls(job.config), job.config, setting, dtype)


def first_batches(setting, n):
    batches = setting.stream.batches(setting.clock.batch_size, 10**9)
    return [batch.index for _, batch in zip(range(n), batches, strict=False)]


def quiet(plan):
    return lambda pairs, right, logits: None


@pytest.mark.parametrize("preset", PRESETS)
def test_twenty_steps_in_float64_are_the_references(toys, preset):
    job = toys.job(preset, task="human-codon")
    (setting,) = settings_of(job)
    check_against_reference(
        lesson_of(job, setting, torch.float64),
        lesson_of(job, setting, torch.float64),
        first_batches(setting, 20),
    )


@pytest.mark.parametrize(
    "overrides",
    [
        {"class_weights": "sum"},
        {"class_weights": "n"},
        {"optimizer": "sgd", "learning_rate": "0.5"},
        {"batch_size": "1"},
        {"batch_size": "1000"},
    ],
)
def test_weighting_optimiser_and_batch_size_are_the_references(toys, overrides):
    job = toys.job("mlp-64", overrides=overrides)
    (setting,) = settings_of(job)
    check_against_reference(
        lesson_of(job, setting, torch.float64),
        lesson_of(job, setting, torch.float64),
        first_batches(setting, 20),
    )


def test_the_check_sees_a_step_that_is_not_the_references(toys):
    job = toys.job("mlp-64")
    other = toys.job("mlp-64", overrides={"learning_rate": "0.0501"})
    (setting,) = settings_of(job)
    with pytest.raises(CannotCapture, match="away from the reference"):
        check_against_reference(
            lesson_of(other, setting, torch.float64),
            lesson_of(job, setting, torch.float64),
            first_batches(setting, 3),
        )


@pytest.mark.parametrize("preset", PRESETS)
def test_a_seeds_gradient_is_the_same_to_the_bit_beside_others(toys, preset):
    job = toys.job(preset, task="human-codon", seeds=(0, 1, 2))
    assert same_alone([lesson_of(job, setting) for setting in settings_of(job)])


@pytest.mark.parametrize("model", ["mlp-64", "gru-64"])
def test_a_seeds_record_does_not_depend_on_the_seeds_beside_it(toys, model):
    # Seeds end at different positions, so the ensemble shrinks on the way.
    request = {"overrides": {"learning_rate": "0.01"}, "epochs": 60}
    registry = toys.registry()
    job = toys.job(model, registry=registry, seeds=(0, 1, 2, 3, 4), **request)
    together = {r.seed: r for r, _ in run(job.plans, job, registry, quiet)}
    assert len({record.pairs for record in together.values()}) > 1
    assert all(record.engine.name == "traced" for record in together.values())
    assert together[3].engine.seeds_together == 5
    for seed in (0, 3):
        alone, _ = toys.run(model, seeds=(seed,), **request)
        assert alone.engine.seeds_together == 1
        assert alone.weights_sha256 == together[seed].weights_sha256
        assert alone.trace_sha256 == together[seed].trace_sha256
        assert alone.metrics == together[seed].metrics


def test_both_engines_probe_at_the_same_positions_and_see_nearly_the_same(toys):
    eager, eager_trace = toys.run("mlp-64", engine="eager", pairs=3_000, full=True)
    traced, traced_trace = toys.run("mlp-64", engine="traced", pairs=3_000, full=True)
    assert (eager.engine.name, traced.engine.name) == ("eager", "traced")
    assert np.array_equal(eager_trace.pairs, traced_trace.pairs)
    assert np.allclose(eager_trace.logits, traced_trace.logits, atol=1e-2)
    assert np.array_equal(eager_trace.frame_inputs, traced_trace.frame_inputs)
    assert eager.metrics["pairs_consumed"] == traced.metrics["pairs_consumed"]


def test_the_same_plan_twice_gives_the_same_weights(toys):
    first, _ = toys.run("lstm-64", pairs=2_000)
    again, _ = toys.run("lstm-64", pairs=2_000)
    assert first.engine.name == "traced"
    assert first.weights_sha256 == again.weights_sha256
    assert first.result() == again.result()


class Claims(Model):
    """Claims to be row-independent, whatever `layer` is."""

    info = ModelInfo(name="claims", version="1", summary="Claims", row_independent=True)
    Config = GradientConfig
    encoding = "input_onehot"
    layer = staticmethod(nn.Identity)

    def build(self, task):
        return nn.Sequential(
            nn.Linear(task.n_inputs, 8), self.layer(), nn.Linear(8, task.n_classes)
        )


class Scaled(nn.Module):
    """Divides by the mean over the batch: no buffer, but rows are not independent."""

    def forward(self, x):
        return x / (1 + x.abs().mean(0))


@pytest.mark.parametrize(
    ("layer", "reason"),
    [
        (lambda: nn.BatchNorm1d(8), "buffers"),
        (lambda: nn.Dropout(0.5), "."),
        (Scaled, "away from the reference"),
    ],
)
def test_a_false_claim_of_row_independence_steps_down_with_the_reason(toys, layer, reason):
    model = type("Lies", (Claims,), {"layer": staticmethod(layer)})
    record, _ = toys.run(model, pairs=500, full=True)
    assert (record.status, record.engine.name) == ("done", "eager")
    assert reason in record.engine.reason
    by_reference, _ = toys.run(model, pairs=500, full=True, engine="eager")
    assert record.weights_sha256 == by_reference.weights_sha256


class Decayed(Claims):
    def configure_optimizer(self, module):
        return torch.optim.AdamW(module.parameters(), lr=0.01)


class TwoGroups(Claims):
    def configure_optimizer(self, module):
        return torch.optim.SGD(
            [{"params": [p], "lr": 0.1} for p in module.parameters()], momentum=0.9
        )


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (Decayed, "AdamW"),
        (TwoGroups, "parameter groups"),
        ("count-table", "without gradients"),
        ("untrained", "without gradients"),
    ],
)
def test_what_cannot_be_captured_runs_on_the_reference(toys, model, reason):
    record, _ = toys.run(model, pairs=500, full=True)
    assert (record.status, record.engine.name) == ("done", "eager")
    assert reason in record.engine.reason


def test_an_orthogonal_initial_state_runs_on_the_reference(toys):
    record, _ = toys.run("rnn-64", overrides={"initial_state": "orthogonal"}, pairs=300, full=True)
    assert (record.status, record.engine.name) == ("done", "eager")


def test_inputs_that_cannot_be_enumerated_run_on_the_reference(toys):
    record, _ = toys.run("mlp-64-12bit", task="gc-rich", pairs=500, full=True)
    assert record.engine.name == "eager"
    assert "enumerated" in record.engine.reason


def test_the_reference_on_request_gives_no_reason(toys):
    record, _ = toys.run("mlp-64", pairs=300, engine="eager")
    assert (record.engine.name, record.engine.reason) == ("eager", "")


def test_ctrl_c_keeps_what_every_seed_of_the_group_learned(toys, tmp_path):
    def watch(plan):
        def interrupt(pairs, right, logits):
            if plan.seed == 1 and pairs > 640:
                raise KeyboardInterrupt

        return interrupt

    registry, store = toys.registry(), Store(tmp_path)
    job = toys.job("mlp-64", registry=registry, seeds=(0, 1, 2), pairs=3_000, full=True)
    made = list(run_all(job, registry, store, watch))
    assert [o.record.status for o in made] == ["interrupted"] * 3
    assert all(640 < o.record.pairs < 3_000 for o in made)
    untouched = hash_weights(lesson_of(job, settings_of(job)[0]).module.state_dict())
    assert made[0].record.weights_sha256 != untouched
    again = list(run_all(job, registry, store, quiet))
    assert [(o.reused, o.record.status) for o in again] == [(False, "done")] * 3


def test_a_diverging_seed_ends_alone(toys):
    registry = toys.registry()
    job = toys.job(
        "mlp-64",
        registry=registry,
        seeds=(0, 1),
        pairs=3_000,
        full=True,
        overrides={"optimizer": "sgd", "learning_rate": "100"},
    )
    records = [record for record, _ in run(job.plans, job, registry, quiet)]
    assert {record.engine.name for record in records} == {"traced"}
    assert all(record.status == "diverged" for record in records)
