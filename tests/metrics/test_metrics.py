"""Every metric but the paper's instrument, on trajectories small enough to work by hand.

The toy task has four inputs and three classes: aa -> X, ab -> Y, ba and bb -> stop.
"""

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import log_softmax
from scipy.stats import entropy

from codonbench import NOT_MEASURED, Metric, Output, TaskSpec, Trajectory
from codonbench.contracts import EvaluationSet, Input, Target, TrajectoryFacts
from codonbench.plugins.discovery import load_registry
from codonbench_metrics.deciphering import (
    ConfidentPairs,
    DecipherEpoch,
    ExcessPairs,
    HeldOutAccuracy,
    PairsConsumed,
    RareStopAmbiguity,
    SustainedPairs,
    batch_end,
)
from samples import WORDS_TASK

TASK = WORDS_TASK

SAMPLED = TaskSpec(
    name="sampled",
    version="1",
    title="Ten of the words that cannot be enumerated, four classes, nine of ten to get right",
    input=Input.of_length(40, unit="word", symbol="letter", alphabet="ACGT"),
    target=Target(names=("p", "q", "r", "s")),
    protocol="decipher",
    evaluation=EvaluationSet(
        inputs=tuple("ACGT"[i % 4] * (30 + i) for i in range(10)),
        targets=tuple(i % 4 for i in range(10)),
        target_accuracy=0.9,
    ),
    train_size=100,
    test_size=0,
)


def logits(margins, task=TASK):
    """Logits whose true class leads every rival by the given margins, (T, P) -> (T, P, C)."""
    margins = np.asarray(margins, dtype=np.float32)
    table = np.zeros((*margins.shape, len(task.target.names)), dtype=np.float32)
    table[:, np.arange(margins.shape[1]), task.evaluation.targets] = margins
    return table


def trajectory(table, pairs=None, *, task=TASK, first_seen=None, test_counts=None, **facts):
    """A trajectory of these logits (T, P, C), by default at 0, 10, 20, ... pairs in one epoch."""
    table = np.asarray(table, dtype=np.float32)
    pairs = np.arange(len(table)) * 10 if pairs is None else np.asarray(pairs)
    n_items = len(task.evaluation.inputs)
    end = int(pairs[-1])
    known = {"batch_size": 4, "epoch_pairs": 100, "budget_pairs": end, "pairs": end}
    protocol = {"window_pairs": facts.pop("window_pairs", 20)}
    return Trajectory(
        task=task,
        facts=TrajectoryFacts(**{**known, "complete": True, "protocol": protocol, **facts}),
        pairs=pairs,
        outputs=table,
        targets=np.array(task.evaluation.targets),
        arrays={
            "first_seen": np.arange(1, n_items + 1) if first_seen is None else np.array(first_seen),
            "test_counts": np.zeros(n_items, int) if test_counts is None else np.array(test_counts),
            "frame_pairs": np.zeros(0, int),
            "frame_inputs": np.zeros((0, 64), int),
        },
    )


def pattern(rights, **options):
    """A trajectory deciphered where `rights` has 1; elsewhere its last input is wrong."""
    margins = np.ones((len(rights), 4))
    margins[[right == "0" for right in rights], 3] = -1
    return trajectory(logits(margins), **options)


# pairs_consumed, last_failing_pairs


@pytest.mark.parametrize(
    ("rights", "consumed", "failing"),
    [("0011", 20, 10), ("1111", 0, None), ("0101", 10, 0), ("0000", None, None)],
)
def test_pairs_consumed_is_the_first_snapshot_that_is_right_throughout(rights, consumed, failing):
    values = PairsConsumed().compute(pattern(rights), TASK)
    assert values == {"pairs_consumed": consumed, "last_failing_pairs": failing}


def test_never_deciphered_in_a_stopped_run_is_not_measured():
    values = PairsConsumed().compute(pattern("000", complete=False), TASK)
    assert values == {"pairs_consumed": NOT_MEASURED, "last_failing_pairs": NOT_MEASURED}


def test_deciphered_in_a_stopped_run_is_a_number():
    assert PairsConsumed().compute(pattern("001", complete=False), TASK)["pairs_consumed"] == 20


def test_a_tie_is_not_deciphered():
    table = logits(np.ones((2, 4)))
    table[0, 1] = [3, 3, 0]
    assert PairsConsumed().compute(trajectory(table), TASK)["pairs_consumed"] == 10


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_nothing_is_right_after_a_non_finite_probe(value):
    table = logits(np.ones((4, 4)))
    table[1, 0, 1] = value
    table[0, 3] = [1, 0, 0]
    run = trajectory(table, test_counts=[1, 1, 1, 1])
    assert PairsConsumed().compute(run, TASK)["pairs_consumed"] is None
    assert ConfidentPairs().compute(run, TASK)["confident_pairs_50"] is None
    assert SustainedPairs().compute(run, TASK)["success"] is False
    assert HeldOutAccuracy().compute(run, TASK)["test_accuracy"] == 0.0


@settings(deadline=None)
@given(st.lists(st.lists(st.sampled_from([-1.0, 0.0, 1.0]), min_size=4, max_size=4), min_size=1))
def test_pairs_consumed_agrees_with_a_plain_loop(margins):
    values = PairsConsumed().compute(trajectory(logits(margins)), TASK)
    consumed = failing = None
    for probe, row in enumerate(margins):
        if all(margin > 0 for margin in row):
            consumed = 10 * probe
            break
        failing = 10 * probe
    assert values["pairs_consumed"] == consumed
    assert values["last_failing_pairs"] == (None if consumed is None else failing)


def test_target_accuracy_counts_inputs_of_a_sampled_evaluation_set():
    margins = np.ones((3, 10))
    margins[0, :2] = -1  # 8 of 10 right
    margins[1, :1] = -1  # 9 of 10 right
    run = trajectory(logits(margins, SAMPLED), task=SAMPLED)
    assert PairsConsumed().compute(run, SAMPLED)["pairs_consumed"] == 10


# decipher_epoch


@pytest.mark.parametrize(
    ("pairs", "epoch"), [(0, 1), (1, 1), (100, 1), (101, 2), (200, 2), (201, 3)]
)
def test_decipher_epoch_counts_from_one(pairs, epoch):
    run = trajectory(logits(np.ones((1, 4))), pairs=[pairs])
    assert DecipherEpoch().compute(run, TASK) == {"decipher_epoch": epoch}


@settings(deadline=None)
@given(pairs=st.integers(1, 10**9), epoch_pairs=st.integers(1, 10**6))
def test_decipher_epoch_is_the_epoch_that_holds_the_last_pair(pairs, epoch_pairs):
    run = trajectory(logits(np.ones((1, 4))), pairs=[pairs], epoch_pairs=epoch_pairs)
    epoch = DecipherEpoch().compute(run, TASK)["decipher_epoch"]
    assert (epoch - 1) * epoch_pairs < pairs <= epoch * epoch_pairs


@pytest.mark.parametrize(("complete", "value"), [(True, None), (False, NOT_MEASURED)])
def test_no_epoch_where_nothing_is_deciphered(complete, value):
    values = DecipherEpoch().compute(pattern("00", complete=complete), TASK)
    assert values == {"decipher_epoch": value}


# all_seen, excess_pairs


def test_a_model_that_needs_each_input_once_has_no_excess():
    # The last input appears at position 7, in the batch of 4 that ends at 8.
    table = logits([[1, 1, 1, -1], [1, 1, 1, -1], [1, 1, 1, 1]])
    run = trajectory(table, pairs=[0, 4, 8], first_seen=[1, 2, 5, 7])
    assert ExcessPairs().compute(run, TASK) == {"all_seen": 7, "excess_pairs": 0}


def test_excess_counts_from_the_end_of_the_batch():
    run = trajectory(logits([[-1] * 4, [1] * 4]), pairs=[0, 50], first_seen=[1, 2, 5, 8])
    assert ExcessPairs().compute(run, TASK) == {"all_seen": 8, "excess_pairs": 42}


def test_right_before_all_are_seen_is_below_zero():
    run = trajectory(logits([[1] * 4] * 2), pairs=[0, 40], first_seen=[1, 2, 5, 9])
    assert ExcessPairs().compute(run, TASK)["excess_pairs"] == -12


@pytest.mark.parametrize(
    ("position", "end"), [(1, 4), (4, 4), (5, 8), (8, 8), (9, 10), (10, 10), (11, 14), (19, 20)]
)
def test_batches_restart_at_each_epoch(position, end):
    facts = trajectory(logits([[1] * 4]), pairs=[40], epoch_pairs=10).facts
    assert batch_end(position, facts) == end


def test_the_last_batch_may_be_cut_by_the_budget():
    facts = trajectory(logits([[1] * 4]), pairs=[13], epoch_pairs=10).facts
    assert batch_end(12, facts) == 13
    assert batch_end(15, facts) == 18  # never presented: its whole batch would have been


@settings(deadline=None)
@given(
    batch=st.integers(1, 20),
    epoch=st.integers(1, 50),
    total=st.integers(1, 200),
    data=st.data(),
)
def test_batch_end_agrees_with_walking_the_stream(batch, epoch, total, data):
    position = data.draw(st.integers(1, total))
    done = 0
    while done < position:
        done += min(batch, epoch - done % epoch, total - done)
    facts = trajectory(logits([[1] * 4]), pairs=[total], batch_size=batch, epoch_pairs=epoch).facts
    assert batch_end(position, facts) == done


@pytest.mark.parametrize("rights", ["0011", "0000"])
def test_no_excess_where_the_stream_never_shows_an_input(rights):
    for complete in (True, False):
        run = pattern(rights, first_seen=[1, 0, 2, 3], complete=complete)
        assert ExcessPairs().compute(run, TASK) == {"all_seen": None, "excess_pairs": None}


@pytest.mark.parametrize(("complete", "value"), [(True, None), (False, NOT_MEASURED)])
def test_no_excess_where_nothing_is_deciphered(complete, value):
    values = ExcessPairs().compute(pattern("00", complete=complete), TASK)
    assert values == {"all_seen": 4, "excess_pairs": value}


# sustained_pairs, relapses, success: probes every 10 pairs, a window of 20


@pytest.mark.parametrize(
    ("rights", "sustained", "relapses"),
    [
        ("00111", 20, 0),  # right at 20, 30 and 40: 20 + 20 is reached
        ("0011", None, 0),  # the run ends inside the window
        ("0110111", 40, 1),
        ("1010111", 40, 2),
        ("111000", 0, 0),  # what comes after is no relapse before it
        ("101010", None, 3),
        ("110110", None, 2),
        ("0000", None, 0),
        ("1", None, 0),
    ],
)
def test_sustained_pairs_needs_a_whole_window(rights, sustained, relapses):
    assert SustainedPairs().compute(pattern(rights), TASK) == {
        "sustained_pairs": sustained,
        "relapses": relapses,
        "success": sustained is not None,
    }


def test_a_window_must_be_spanned_by_right_probes():
    # Right from 10 to 25; the first probe at or past 10 + 20 is wrong.
    run = trajectory(logits([[-1] * 4, [1] * 4, [1] * 4, [-1] * 4]), pairs=[0, 10, 25, 31])
    assert SustainedPairs().compute(run, TASK)["sustained_pairs"] is None


def test_a_stopped_run_is_judged_only_where_it_was_sustained():
    unsettled = SustainedPairs().compute(pattern("0101", complete=False), TASK)
    assert set(unsettled.values()) == {NOT_MEASURED}
    settled = SustainedPairs().compute(pattern("010111", complete=False), TASK)
    assert settled == {"sustained_pairs": 30, "relapses": 1, "success": True}


@settings(deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(1, 15)), min_size=1, max_size=40))
def test_sustained_pairs_agrees_with_the_definition_read_aloud(probes):
    rights = ["01"[right] for right, _ in probes]
    pairs = np.cumsum([step for _, step in probes]) - probes[0][1]
    values = SustainedPairs().compute(pattern(rights, pairs=pairs), TASK)
    expected = None
    for s, start in enumerate(pairs):
        until = next((k for k in range(s, len(pairs)) if pairs[k] >= start + 20), None)
        if until is not None and "0" not in rights[s : until + 1]:
            expected = int(start)
            break
    assert values["sustained_pairs"] == expected
    before = rights if expected is None else rights[: s + 1]
    assert values["relapses"] == "".join(before).count("10")


# confident_pairs: with three classes p(true) = e^m / (e^m + 2)


def test_confident_pairs_waits_for_the_least_sure_input():
    # p >= 0.5 from m = ln 2 = 0.693, p >= 0.9 from m = ln 18 = 2.890.
    margins = [[0.5] * 4, [9, 9, 9, 0.69], [9, 9, 9, 0.70], [9, 2.88, 9, 9], [2.90, 9, 9, 9]]
    values = ConfidentPairs().compute(trajectory(logits(margins)), TASK)
    assert values == {"confident_pairs_50": 20, "confident_pairs": 40}


@pytest.mark.parametrize(("complete", "value"), [(True, None), (False, NOT_MEASURED)])
def test_never_confident(complete, value):
    values = ConfidentPairs().compute(trajectory(logits([[0.1] * 4]), complete=complete), TASK)
    assert values == {"confident_pairs": value, "confident_pairs_50": value}


def test_confidence_survives_huge_logits():
    values = ConfidentPairs().compute(trajectory(logits([[-1e30] * 4, [1e30] * 4])), TASK)
    assert values == {"confident_pairs": 10, "confident_pairs_50": 10}


def test_confidence_of_exactly_tau_counts():
    table = logits([[-9] * 4, [9] * 4])
    table[1, 0] = [0, 0, -1e30]  # p(true) is 1/2 to the last bit: sure enough, though a tie
    run = trajectory(table)
    assert ConfidentPairs().compute(run, TASK)["confident_pairs_50"] == 10
    assert PairsConsumed().compute(run, TASK)["pairs_consumed"] is None


def test_a_target_accuracy_excuses_the_least_sure_inputs():
    # With four classes p(true) = e^m / (e^m + 3): 0.5 from 1.099, 0.9 from ln 27 = 3.296.
    margins = [[5] * 8 + [0] * 2, [5] * 9 + [0], [5] * 10]
    run = trajectory(logits(margins, SAMPLED), task=SAMPLED)
    values = ConfidentPairs().compute(run, SAMPLED)
    assert values == {"confident_pairs": 10, "confident_pairs_50": 10}


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([None, 0, 2, 4]))
def test_confident_pairs_agrees_with_scipy_and_a_loop(seed, bad):
    rng = np.random.default_rng(seed)
    margins = rng.uniform(-1, 1, (6, 4)) + np.arange(6)[:, None]
    table = logits(margins) + rng.normal(size=(6, 4, 3)).astype(np.float32)
    if bad is not None:
        table[bad, 2, 1] = np.nan
    values = ConfidentPairs().compute(trajectory(table), TASK)
    for name, tau in {"confident_pairs": 0.9, "confident_pairs_50": 0.5}.items():
        expected = None
        for probe in range(6 if bad is None else bad):
            p = np.exp(log_softmax(table[probe].astype(np.float64), axis=1))
            if min(p[i, TASK.evaluation.targets[i]] for i in range(4)) >= tau:
                expected = 10 * probe
                break
        assert values[name] == expected


# rare_stop_ambiguity and its details


def test_stop_details_by_hand():
    # ba: p = (1/6, 1/3, 1/2); bb: p = (0.02, 0.02, 0.96).
    table = logits([[1, 1, -1, -1], [1, 1, 1, -1], [-1, 1, 1, 1], [1, 1, 0, 0]])
    table[-1, 2] = np.log([1, 2, 3])
    table[-1, 3] = np.log([1, 1, 48])
    values = RareStopAmbiguity().compute(trajectory(table), TASK)
    assert values["rare_stop_ambiguity"] == 1
    assert values["stops_right_pairs"] == 20  # though input aa is wrong there
    assert values["stop_ba_p"] == pytest.approx(1 / 2)
    assert values["stop_ba_margin"] == pytest.approx(math.log(3 / 2))
    # ln 6 / 6 + ln 3 / 3 + ln 2 / 2
    assert values["stop_ba_entropy"] == pytest.approx(1.0114, abs=1e-4)
    assert values["stop_ba_rivals"] == 2
    assert values["stop_bb_p"] == pytest.approx(0.96)
    assert values["stop_bb_margin"] == pytest.approx(math.log(48))
    assert values["stop_bb_entropy"] == pytest.approx(entropy([0.02, 0.02, 0.96]))
    assert values["stop_bb_rivals"] == 0


def test_a_lost_stop_has_a_negative_margin_and_a_visible_rival():
    table = logits([[1, 1, -2, 1]])
    values = RareStopAmbiguity().compute(trajectory(table), TASK)
    assert values["stop_ba_margin"] == pytest.approx(-2)
    assert values["stop_ba_rivals"] == 2
    assert values["rare_stop_ambiguity"] == 2  # bb too: p = e / (e + 2) = 0.58


def test_a_certain_stop_has_no_entropy():
    values = RareStopAmbiguity().compute(trajectory(logits([[5000] * 4])), TASK)
    assert values["stop_ba_entropy"] == 0.0
    assert math.copysign(1, values["stop_ba_entropy"]) == 1
    assert values["stop_ba_p"] == 1.0
    assert values["rare_stop_ambiguity"] == 0


@settings(deadline=None)
@given(st.lists(st.floats(-8, 8, width=32), min_size=6, max_size=6))
def test_stop_details_agree_with_scipy(flat):
    table = logits([[1] * 4])
    table[0, 2:] = np.reshape(flat, (2, 3))
    values = RareStopAmbiguity().compute(trajectory(table), TASK)
    unsure = 0
    for word, row in zip(("ba", "bb"), table[0, 2:].astype(np.float64), strict=True):
        p = np.exp(log_softmax(row))
        unsure += p[2] < 0.9
        assert values[f"stop_{word}_p"] == pytest.approx(p[2])
        assert values[f"stop_{word}_margin"] == pytest.approx(row[2] - max(row[:2]))
        assert values[f"stop_{word}_entropy"] == pytest.approx(entropy(p))
        assert values[f"stop_{word}_rivals"] == sum(p[:2] >= 0.056)
    assert values["rare_stop_ambiguity"] == unsure


def test_every_stop_is_ambiguous_after_divergence():
    table = logits(np.full((3, 4), 9.0))
    table[2] = np.nan
    assert RareStopAmbiguity().compute(trajectory(table), TASK) == {
        "rare_stop_ambiguity": 2,
        "stops_right_pairs": 0,
        **{f"stop_{word}_{what}": None for word in ("ba", "bb") for what in _DETAILS},
    }


_DETAILS = ("p", "margin", "entropy", "rivals")


@pytest.mark.parametrize(("complete", "value"), [(True, None), (False, NOT_MEASURED)])
def test_stops_never_right(complete, value):
    values = RareStopAmbiguity().compute(pattern("00", complete=complete), TASK)
    assert values["stops_right_pairs"] is value


@pytest.mark.parametrize("groups", [{}, {"stop": ()}])
def test_stop_metrics_do_not_apply_without_stops(groups):
    evaluation = TASK.evaluation.model_copy(update={"groups": groups})
    task = TASK.model_copy(update={"evaluation": evaluation})
    values = RareStopAmbiguity().compute(pattern("01", task=task, complete=False), task)
    assert values == {"rare_stop_ambiguity": None, "stops_right_pairs": None}


# test_accuracy


def test_accuracy_weighs_inputs_by_how_often_they_are_held_out():
    table = logits([[1, 1, 1, 1], [1, -1, 0, 1]])  # at the end ab is wrong, ba ties
    run = trajectory(table, test_counts=[5, 2, 1, 2])
    assert HeldOutAccuracy().compute(run, TASK) == {"test_accuracy": 0.7}


def test_no_accuracy_where_nothing_is_held_out():
    assert HeldOutAccuracy().compute(pattern("1"), TASK) == {"test_accuracy": None}


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_accuracy_agrees_with_asking_every_held_out_pair(seed):
    rng = np.random.default_rng(seed)
    table = rng.normal(size=(2, 4, 3)).astype(np.float32)
    held_out = rng.integers(0, 4, size=50)
    run = trajectory(table, test_counts=np.bincount(held_out, minlength=4))
    hits = sum(int(np.argmax(table[-1, i])) == TASK.evaluation.targets[i] for i in held_out)
    assert HeldOutAccuracy().compute(run, TASK)["test_accuracy"] == pytest.approx(hits / 50)


# what holds for all of them


def registered():
    """Every metric of the package that reads trajectories of this protocol."""
    metrics = [entry.metric for entry in load_registry().metrics.values()]
    return [metric for metric in metrics if metric.serves(TASK)]


def awkward_traces():
    """A stopped, a diverged, a never right and a sampled run, each with the others' facts."""
    diverged = logits(np.full((4, 4), 2.0))
    diverged[2:] = np.nan
    for complete in (True, False):
        yield pattern("0111", complete=complete)
        yield pattern("0000", complete=complete)
        yield trajectory(diverged, complete=complete)
        yield trajectory(logits(np.ones((1, 4))), complete=complete, batch_size=64)
        yield trajectory(logits(np.ones((3, 10)), SAMPLED), task=SAMPLED, complete=complete)


def test_the_package_registers_each_metric_once():
    names = [metric.name for metric in registered()]
    assert sorted(names) == [
        "confident_pairs",
        "decipher_epoch",
        "excess_pairs",
        "pairs_consumed",
        "paper_instrument",
        "rare_stop_ambiguity",
        "sustained_pairs",
        "test_accuracy",
    ]


@pytest.mark.parametrize("metric", registered(), ids=lambda metric: metric.name)
def test_values_are_plain_and_exactly_those_announced(metric: Metric):
    for run in awkward_traces():
        outputs, values = metric.outputs(run.task), metric.compute(run, run.task)
        assert values.keys() == outputs.keys()
        assert all(isinstance(output, Output) and output.summary for output in outputs.values())
        assert all(
            value is NOT_MEASURED or type(value) in (int, float, bool, type(None))
            for value in values.values()
        )
        measured = {name: value for name, value in values.items() if value is not NOT_MEASURED}
        json.dumps(measured, allow_nan=False)


def test_no_two_metrics_give_one_name():
    names = [name for metric in registered() for name in metric.outputs(TASK)]
    assert len(names) == len(set(names))
