"""The traced engine: the reference's arithmetic, seeds that do not touch, honest steps down."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

import codonbench
from codonbench import GradientConfig, Model, ModelInfo
from codonbench.data.stream import Batch
from codonbench.engines.blocks import Blocks
from codonbench.engines.capture import COMPILED, GRAPH, LADDER, TRACED, captured, recorded
from codonbench.engines.comparison import Comparison, same_alone
from codonbench.engines.ensemble import Traced, rows_of, step_inputs
from codonbench.errors import CannotCapture
from codonbench.execution.run import run, run_all
from codonbench.protocols.referee import RunSetup
from codonbench.records.store import Store
from codonbench.training.determinism import hash_weights, seeded_globals
from codonbench.training.request import train_request
from codonbench.training.state import make_state


def by_night(*values):
    """More of what the values beside them hold, in minutes."""
    mark = pytest.mark.nightly("another model stands for it")
    return [pytest.param(value, marks=mark) for value in values]


PRESETS = [
    *("mlp-64", "embedding10-relu", "gru-64"),
    *by_night("mlp-64-12bit", "mlp-64x1024", "embedding2-tanh", "rnn-64", "lstm-64"),
    *by_night("softmax-table", "lstm-64-weighted"),
]


def setups_of(job):
    protocol, batch_size = job.protocol, job.config.batch_size
    return [RunSetup(spec, job.dataset, protocol, batch_size) for spec in job.run_specs]


def state_of(job, setup, dtype=torch.float32):
    """A state that knows all targets."""
    with seeded_globals(setup.run_spec.seed):
        plugin, request = job.entry.cls(job.config), train_request(0, setup)
        return make_state(plugin, job.config, request, dtype, setup.hidden)


def compared(plain, captured, setup, rung=TRACED):
    """The plain loop of one job's model, and the captured step of another's."""
    states = (state_of(job, setup, torch.float64) for job in (plain, captured))
    return Comparison(*states, rung)


def first_batches(setup, n):
    batches = setup.stream.batches(setup.clock.batch_size, 10**9)
    return [batch.index for _, batch in zip(range(n), batches, strict=False)]


def quiet(run_spec):
    return lambda pairs, progress: None


@pytest.mark.parametrize("preset", PRESETS)
def test_twenty_steps_in_float64_are_the_references(toys, preset):
    job = toys.job(preset, task="human-codon")
    (setup,) = setups_of(job)
    compared(job, job, setup).hold_on(first_batches(setup, 20))


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
    (setup,) = setups_of(job)
    compared(job, job, setup).hold_on(first_batches(setup, 20))


def test_the_check_sees_a_step_that_is_not_the_references(toys):
    job = toys.job("mlp-64")
    other = toys.job("mlp-64", overrides={"learning_rate": "0.0501"})
    (setup,) = setups_of(job)
    with pytest.raises(CannotCapture, match="away from the reference"):
        compared(other, job, setup).hold_on(first_batches(setup, 3))


@pytest.mark.parametrize("preset", PRESETS)
def test_a_seeds_gradient_is_the_same_to_the_bit_beside_others(toys, preset):
    job = toys.job(preset, task="human-codon", seeds=(0, 1, 2))
    states = [state_of(job, setup) for setup in setups_of(job)]
    assert same_alone(states, Traced(states))


@pytest.mark.parametrize("model", ["mlp-64", *by_night("gru-64")])
def test_a_seeds_record_does_not_depend_on_the_seeds_beside_it(toys, model):
    # Seeds end at different positions, so the ensemble shrinks on the way.
    request = {"overrides": {"learning_rate": "0.01"}, "epochs": 60}
    registry = toys.registry()
    job = toys.job(model, registry=registry, seeds=(0, 1, 2, 3, 4), **request)
    together = {r.seed: r for r, _ in run(job, registry, quiet)}
    assert {record.status for record in together.values()} == {"done"}
    assert len({record.pairs for record in together.values()}) > 1
    assert all(record.engine.name == "traced" for record in together.values())
    assert together[3].engine.seeds_together == 5
    for seed in (0, 3):
        alone, _ = toys.run(model, seeds=(seed,), **request)
        assert alone.engine.seeds_together == 1
        assert alone.weights_sha256 == together[seed].weights_sha256
        assert alone.trajectory_sha256 == together[seed].trajectory_sha256
        assert alone.metrics == together[seed].metrics


def test_both_engines_evaluate_at_the_same_positions_and_see_nearly_the_same(toys):
    eager, eager_trajectory = toys.run("mlp-64", engine="eager", pairs=3_000, full=True)
    traced, traced_trajectory = toys.run("mlp-64", engine="traced", pairs=3_000, full=True)
    assert (eager.engine.name, traced.engine.name) == ("eager", "traced")
    assert np.array_equal(eager_trajectory.pairs, traced_trajectory.pairs)
    assert np.allclose(eager_trajectory.outputs, traced_trajectory.outputs, atol=1e-2)
    assert np.array_equal(
        eager_trajectory.arrays["frame_inputs"], traced_trajectory.arrays["frame_inputs"]
    )
    assert eager.metrics["pairs_consumed"] == traced.metrics["pairs_consumed"]


def test_the_same_spec_twice_gives_the_same_weights(toys):
    first, _ = toys.run("rnn-64", pairs=2_000)
    again, _ = toys.run("rnn-64", pairs=2_000)
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
    def watch(run_spec):
        def interrupt(pairs, progress):
            if run_spec.seed == 1 and pairs > 640:
                raise KeyboardInterrupt

        return interrupt

    registry, store = toys.registry(), Store(tmp_path)
    job = toys.job("mlp-64", registry=registry, seeds=(0, 1, 2), pairs=3_000, full=True)
    made = list(run_all(job, registry, store, watch))
    assert [o.record.status for o in made] == ["interrupted"] * 3
    assert all(640 < o.record.pairs < 3_000 for o in made)
    untouched = hash_weights(state_of(job, setups_of(job)[0]).module.state_dict())
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
    records = [record for record, _ in run(job, registry, quiet)]
    assert {record.engine.name for record in records} == {"traced"}
    assert all(record.status == "diverged" for record in records)


# The batch's distinct inputs, where arithmetic dominates

WIDE = ["mlp-1024", "mlp-64x1024", "embedding10-relu", "embedding2-tanh-weighted"]


def test_wide_networks_compute_the_distinct_rows_and_others_all_of_them(toys):
    def rows(preset, **overrides):
        job = toys.job(preset, task="human-codon", overrides=overrides)
        (setup,) = setups_of(job)
        return rows_of(state_of(job, setup))

    assert [rows(preset) for preset in WIDE] == [48] * 4
    assert rows("mlp-1024", batch_size="32") == 24
    assert rows("mlp-1024", batch_size="128") is None  # more pairs than there are inputs
    assert [rows(preset) for preset in ("mlp-64", "mlp-128", "rnn-256", "lstm-64")] == [None] * 4


@pytest.mark.parametrize("preset", WIDE)
def test_batches_with_more_distinct_inputs_than_rows_are_the_references(toys, preset):
    job = toys.job(preset, task="human-codon")
    (setup,) = setups_of(job)
    crowded = [np.arange(64), np.arange(64)[::-1].copy(), np.arange(60).repeat(2)[:64]]
    compared(job, job, setup).hold_on([*crowded, *first_batches(setup, 3)])


def test_a_second_pass_for_one_seed_leaves_the_others_bits_as_they_are(toys):
    job = toys.job("mlp-1024", task="human-codon", seeds=(0, 1))
    setups = setups_of(job)
    crowded, plain = Batch(np.arange(64), 64), Batch(first_batches(setups[0], 1)[0], 64)
    states = [state_of(job, setup) for setup in setups]
    (both,) = step_inputs(states, [[plain], [crowded]], torch.float32)
    (alone,) = step_inputs(states[:1], [[plain]], torch.float32)
    assert (len(both), len(alone)) == (2, 1)
    beside, _ = Traced(states).gradients(both)
    by_itself, _ = Traced(states[:1]).gradients(alone)
    assert torch.equal(beside[:1], by_itself)


def test_a_wide_networks_record_says_its_rows_and_repeats_to_the_bit(toys):
    request = {"task": "human-codon", "pairs": 6_400}
    first, _ = toys.run("mlp-1024", seeds=(1,), **request)
    registry = toys.registry()
    job = toys.job("mlp-1024", registry=registry, seeds=(0, 1, 2), **request)
    beside = {r.seed: r for r, _ in run(job, registry, quiet)}[1]
    assert (first.engine.rows, beside.engine.rows) == (48, 48)
    assert first.result() == beside.result()


# Products with the identity


def test_products_with_the_identity_are_left_out_and_change_no_bit(toys):
    identity = torch.eye(6).expand(2, 6, 6)

    def function(weight):
        return torch.bmm(identity, weight), torch.bmm(weight.transpose(1, 2), identity)

    graph = recorded(function, (torch.zeros(2, 6, 5),))
    assert not any("bmm" in str(node.target) for node in graph.graph.nodes)
    weight = torch.randn(2, 6, 5)
    for found, expected in zip(graph(weight), function(weight), strict=True):
        assert torch.equal(found, expected)


def test_products_with_any_other_constant_stay(toys):
    almost = torch.eye(6)
    almost[2, 3] = 1e-30
    graph = recorded(lambda weight: almost @ weight, (torch.zeros(6, 5),))
    assert any("mm" in str(node.target) for node in graph.graph.nodes)


# The compiled rung


@pytest.fixture(scope="module")
def compiler():
    if shutil.which("c++") is None and shutil.which("g++") is None:
        pytest.skip("no C++ compiler here")


IN_CPP = pytest.mark.nightly("what is compiled, the traced step, is held to the reference above")


@IN_CPP
@pytest.mark.parametrize("preset", ["mlp-64", "mlp-1024", "rnn-64"])
def test_compiled_steps_in_float64_are_the_references(toys, compiler, preset):
    job = toys.job(preset, task="human-codon")
    (setup,) = setups_of(job)
    compared(job, job, setup, COMPILED).hold_on(first_batches(setup, 20))


@IN_CPP
def test_a_compiled_run_repeats_to_the_bit_alone_or_beside_others(toys, compiler):
    request = {"task": "human-codon", "pairs": 12_800, "engine": "compiled"}
    registry = toys.registry()
    job = toys.job("mlp-64", registry=registry, seeds=(0, 1, 2), **request)
    together = {record.seed: record for record, _ in run(job, registry, quiet)}
    assert together[1].engine.name == "compiled"
    assert together[1].engine.reason == ""
    alone, _ = toys.run("mlp-64", seeds=(1,), **request)
    assert alone.result() == together[1].result()


def test_without_a_compiler_the_compiled_rung_steps_down_and_says_why(toys, monkeypatch):
    def broken(*args, **kwargs):
        raise RuntimeError("no C++ compiler\nand a long story")

    monkeypatch.setattr("torch._inductor.compile", broken)
    record, _ = toys.run("mlp-64", engine="compiled", pairs=640)
    assert record.status == "done"
    assert record.engine.name == "traced"
    assert record.engine.reason == "cannot be compiled: RuntimeError: no C++ compiler"


# Many steps at a time

ON_CPU = replace(GRAPH, capture=captured, device="cpu")


@pytest.fixture
def graph_on_cpu(monkeypatch):
    """Let the graph rung run here: all of it but the recording of a block is the same."""
    monkeypatch.setitem(LADDER, "graph", (ON_CPU,))


@pytest.mark.parametrize("model", ["mlp-64", *by_night("gru-64")])
def test_blocks_give_every_seed_what_single_steps_give_it(toys, graph_on_cpu, model):
    # Seeds end inside blocks at different steps, and the others go on from the block's end.
    request = {"overrides": {"learning_rate": "0.01"}, "epochs": 60, "seeds": (0, 1, 2, 3)}
    results = {}
    for engine in ("traced", "graph"):
        registry = toys.registry()
        job = toys.job(model, registry=registry, engine=engine, **request)
        results[engine] = {r.seed: r for r, _ in run(job, registry, quiet)}
    assert len({record.pairs for record in results["graph"].values()}) > 1
    for seed, record in results["graph"].items():
        expected = results["traced"][seed]
        assert (record.engine.name, record.engine.seeds_together) == ("graph", 4)
        assert record.weights_sha256 == expected.weights_sha256
        assert record.trajectory_sha256 == expected.trajectory_sha256
        assert record.pairs == expected.pairs


@pytest.mark.parametrize("pairs", [64, 64 * 64, 64 * 64 + 64, *by_night(640, 10_000)])
def test_blocks_end_with_the_budget(toys, graph_on_cpu, pairs):
    request = {"pairs": pairs, "full": True}
    expected, its_trajectory = toys.run("mlp-64", engine="traced", **request)
    record, trajectory = toys.run("mlp-64", engine="graph", **request)
    assert record.engine.name == "graph"
    assert trajectory.pairs.tolist() == its_trajectory.pairs.tolist()
    assert record.weights_sha256 == expected.weights_sha256
    assert record.trajectory_sha256 == expected.trajectory_sha256


def test_a_block_that_is_not_its_steps_is_seen_and_stepped_down_from(
    toys, graph_on_cpu, monkeypatch
):
    honest = Blocks._ready

    def careless(self, steps):
        run = honest(self, steps)
        return run if steps == 1 else lambda: self._first(steps - 1)

    monkeypatch.setattr(Blocks, "_ready", careless)
    record, _ = toys.run("mlp-64", engine="graph", pairs=640)
    assert (record.status, record.engine.name) == ("done", "eager")
    assert "are not the steps themselves" in record.engine.reason


def test_without_a_gpu_the_graph_rung_steps_down_and_says_why(toys):
    record, _ = toys.run("mlp-64", engine="graph", pairs=640)
    assert (record.status, record.engine.name) == ("done", "eager")
    assert record.engine.reason == "the graph engine runs on the GPU"


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("preset", ["mlp-64", "mlp-64x1024", "embedding10-relu", "lstm-64"])
def test_a_cuda_graph_learns_what_the_reference_learns_and_repeats_to_the_bit(toys, preset):
    request = {"task": "human-codon", "pairs": 20_000, "device": "cuda"}
    reference, _ = toys.run(preset, engine="eager", **request)
    first, _ = toys.run(preset, engine="graph", **request)
    again, _ = toys.run(preset, engine="graph", **request)
    assert first.engine.name == "graph", first.engine.reason
    assert first.result() == again.result()
    assert first.pairs == reference.pairs
    assert first.metrics["test_accuracy"] == pytest.approx(
        reference.metrics["test_accuracy"], abs=0.1
    )


def test_the_last_of_many_seeds_goes_on_alone_to_its_end(tmp_path):
    records = codonbench.run("mlp-64", seeds="5-9", results=tmp_path, workers=0)
    assert [(record.status, record.error) for record in records] == [("done", None)] * 5
