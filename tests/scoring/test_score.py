from dataclasses import replace

import numpy as np
import pytest

from codonbench import NOT_MEASURED, Metric, Output
from codonbench.contracts.run_spec import RunSpec
from codonbench.errors import PluginError
from codonbench.scoring.score import comparability_key, score
from codonbench_datasets.decipher import RANKING

ANY = Output(unit="pairs", direction="none", summary="Anything.")


def metric(values, name="toy", declared=None):
    """A metric that gives these values."""

    class Toy(Metric):
        version = "3"
        summary = "Toy"

        def outputs(self, task):
            return dict.fromkeys(values if declared is None else declared, ANY)

        def compute(self, trajectory, task):
            return values

    Toy.name = name
    return Toy()


@pytest.fixture
def trajectory(finished):
    return finished[1]


def test_values_keep_their_kind_and_not_measured_is_a_null_with_a_name(trajectory):
    values = {"a": 1, "b": 1.5, "c": True, "d": None, "f": NOT_MEASURED, "e": NOT_MEASURED}
    scores = score(trajectory, [metric(values)])
    assert scores.values == {"a": 1, "b": 1.5, "c": True, "d": None, "e": None, "f": None}
    assert scores.values["c"] is True
    assert scores.not_measured == ("e", "f")
    assert scores.versions == {"toy": "3"}


def test_the_order_of_plugins_does_not_matter(trajectory):
    first, second = metric({"a": 1}, "first"), metric({"b": NOT_MEASURED}, "second")
    one, other = score(trajectory, [first, second]), score(trajectory, [second, first])
    assert one == other
    assert list(one.values) == list(other.values)


def test_a_trajectory_without_a_snapshot_measures_nothing(trajectory):
    empty = replace(trajectory, pairs=trajectory.pairs[:0], outputs=trajectory.outputs[:0])
    scores = score(empty, [metric({"a": 1, "b": 2})])
    assert scores.values == {"a": None, "b": None}
    assert scores.not_measured == ("a", "b")
    assert scores.versions == {"toy": "3"}


@pytest.mark.parametrize(
    "value", [float("nan"), float("inf"), -float("inf"), "64", np.int64(64), [1], np.float32(1)]
)
def test_a_value_that_is_no_finite_number_is_refused(trajectory, value):
    with pytest.raises(PluginError, match=r"metric 'toy': a is .*; expected a finite number"):
        score(trajectory, [metric({"a": value})])


def test_names_other_than_declared_are_refused(trajectory):
    with pytest.raises(PluginError) as caught:
        score(trajectory, [metric({"a": 1, "b": 2}, declared=["a", "c"])])
    assert str(caught.value) == "metric 'toy' gave ['a', 'b'], but declares ['a', 'c']"


def test_two_metrics_that_give_one_name_are_refused(trajectory):
    with pytest.raises(PluginError) as caught:
        score(trajectory, [metric({"a": 1}, "first"), metric({"a": 2}, "second")])
    assert str(caught.value) == "metric 'second' gives 'a', as does another metric"


@pytest.mark.parametrize("values", [None, 3])
def test_an_answer_that_is_no_mapping_is_refused(trajectory, values):
    with pytest.raises(PluginError, match="metric 'toy' failed: TypeError"):
        score(trajectory, [metric(values, declared=["a"])])


def test_a_metric_that_raises_is_named_and_its_exception_kept(trajectory):
    class Broken(type(metric({}))):
        def compute(self, trajectory, task):
            raise ZeroDivisionError("division by zero")

    with pytest.raises(PluginError) as caught:
        score(trajectory, [Broken()])
    says = "metric 'toy' failed: ZeroDivisionError('division by zero') (test_score.py:"
    assert str(caught.value).startswith(says)
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


# Who is comparable with whom


def key(toys, task=None, versions=None, **changes):
    task = task or toys.spec
    facts = {
        "task": task.name,
        "task_version": task.version,
        "task_options": {"genetic_code": 1},
        "data_checksum": "d" * 64,
        "rules": "1",
        "stop": "confident",
        "budget_pairs": 1_000,
    }
    run_spec = RunSpec.model_construct(**{**facts, **changes})
    return comparability_key(run_spec, versions or dict.fromkeys(RANKING.key_metrics, "1"), RANKING)


def test_a_comparability_key_is_twelve_hexadecimal_digits_and_never_changes(toys):
    assert key(toys) == "ff78c25971f2"


def test_another_task_data_rule_budget_or_ranking_metric_is_another_table(toys):
    others = [
        key(toys),
        key(toys, task=toys.spec.model_copy(update={"name": "other"})),
        key(toys, task=toys.spec.model_copy(update={"version": "2"})),
        key(toys, task_options={"genetic_code": 2}),
        key(toys, data_checksum="e" * 64),
        key(toys, stop="budget"),
        key(toys, budget_pairs=1_001),
        key(toys, track="pretrained"),
        *(
            key(toys, versions={**dict.fromkeys(RANKING.key_metrics, "1"), name: "2"})
            for name in RANKING.key_metrics
        ),
    ]
    assert len(set(others)) == len(others)


def test_a_metric_that_ranks_nothing_divides_no_table(toys):
    versions = {**dict.fromkeys(RANKING.key_metrics, "1"), "paper_instrument": "9"}
    assert key(toys, versions=versions) == key(toys)


def test_every_ranking_metric_is_installed(toys):
    assert set(RANKING.key_metrics) <= set(toys.installed.metrics)
