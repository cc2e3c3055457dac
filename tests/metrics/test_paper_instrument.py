"""The paper's instrument: its criteria, its replay and its counting of pairs."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codonbench import NOT_MEASURED, TaskSpec, Trajectory
from codonbench.contracts import EvaluationSet, Input, Target, TrajectoryFacts
from codonbench_metrics.deciphering import (
    PaperInstrument,
    first_settled_frame,
    printed_pairs,
)

EPOCH = 576_000
BATCHES = (3000, 6000, 9000)
# Two inputs among twenty classes: with all logits 0, every p is 0.05 and nothing is visible.
TASK = TaskSpec(
    name="toy",
    version="1",
    title="Toy code",
    input=Input.of_length(1, unit="word", symbol="letter", alphabet="ab", enumerable=True),
    target=Target(names=tuple("ABCDEFGHIJKLMNOPQRST")),
    protocol="decipher",
    evaluation=EvaluationSet(inputs=("a", "b"), targets=(0, 1)),
    train_size=EPOCH,
    test_size=0,
    facts={"instrument_batches": list(BATCHES)},
)


def frames(n):
    """Pairs presented at the first n frames: 192000, 384000, 576000, 768000, ..."""
    return np.array([64 * 3000 * (k + 1) for k in range(n)])


def table(p_true, *p_rivals):
    """Logits (2, 20) with these probabilities in both columns; what is left is shared."""
    p = np.full((2, 20), 0.0)
    for column, label in enumerate(TASK.evaluation.targets):
        rivals = [k for k in range(20) if k != label]
        p[column, rivals] = (1 - p_true - sum(p_rivals)) / (19 - len(p_rivals))
        p[column, label] = p_true
        p[column, rivals[: len(p_rivals)]] = p_rivals
    return np.log(p)


def run(logits, frame_inputs, *, task=TASK, drop=(), **facts):
    """A trajectory whose snapshot k + 1 is that of frame k; snapshot 0 is blank."""
    n = len(logits)
    pairs = np.concatenate([[0], frames(n)])
    blank = np.zeros((1, *np.shape(logits)[1:]))
    keep = [k for k in range(n + 1) if k - 1 not in drop]
    known = {"batch_size": 64, "epoch_pairs": EPOCH, "budget_pairs": 40 * EPOCH}
    return Trajectory(
        task=task,
        facts=TrajectoryFacts(**{**known, "pairs": int(pairs[-1]), "complete": True, **facts}),
        pairs=pairs[keep],
        outputs=np.concatenate([blank, logits]).astype(np.float32)[keep],
        targets=np.array(task.evaluation.targets),
        arrays={
            "first_seen": np.arange(1, len(task.evaluation.inputs) + 1),
            "test_counts": np.zeros(len(task.evaluation.inputs), int),
            "frame_pairs": frames(n),
            "frame_inputs": np.asarray(frame_inputs),
        },
    )


def batch(*inputs):
    """A batch of 64 that holds these inputs and no others."""
    return np.resize(inputs, 64)


def compute(trajectory):
    return PaperInstrument().compute(trajectory, trajectory.task)


# counting


@pytest.mark.parametrize(
    ("epoch", "after_batch", "printed"),
    [
        (2, 6000, 384_000),  # embedding d = 10, ReLU, with weights
        (8, 9000, 4_032_000),  # MLP 64 x 1024
        (17, 9000, 9_216_000),  # embedding d = 10, ReLU: 9.22 M
        (22, 9000, 12_096_000),  # RNN 2 x 64: 12.10 M
        (22, 6000, 11_904_000),  # RNN 2 x 256: 11.90 M
        (17, 3000, 8_832_000),  # RNN 2 x 256, with weights: 8.83 M
        (30, 9000, 16_704_000),  # RNN 2 x 64, with weights: 16.70 M
        (29, 9000, 16_128_000),  # GRU 2 x 64: 16.13 M
        (39, 9000, 21_888_000),  # MLP 64, 12-bit: 21.9 M
        (40, 9000, 22_464_000),  # LSTM 2 x 64: 22.46 M, and MLP 64, 64-bit: 22.5 M
        (1, 3000, 192_000),
        (1, 9000, 576_000),
        (2, 3000, 192_000),  # one epoch short: 768,000 were presented
    ],
)
def test_printed_pairs_are_those_of_the_published_table(epoch, after_batch, printed):
    presented = (epoch - 1) * EPOCH + 64 * after_batch
    assert printed_pairs(presented, EPOCH) == printed


@settings(deadline=None)
@given(i=st.integers(0, 39), after_batch=st.integers(1, 9000))
def test_printed_pairs_agree_with_the_authors_formula(i, after_batch):
    authors = max(0, (i - 1) * 576000) + 64 * after_batch
    assert printed_pairs(i * EPOCH + 64 * after_batch, EPOCH) == authors


# replay


def test_a_column_keeps_what_an_earlier_frame_drew():
    inputs = np.array([batch(0), batch(0), batch(1)])
    settled = np.array([[1, 0], [0, 0], [1, 1]], dtype=bool)
    assert first_settled_frame(settled, inputs) is None
    settled[1, 0] = True
    assert first_settled_frame(settled, inputs) == 2


def test_the_map_is_not_complete_before_each_column_is_drawn():
    settled = np.ones((3, 2), dtype=bool)
    assert first_settled_frame(settled, np.array([batch(0), batch(0), batch(0)])) is None
    assert first_settled_frame(settled, np.array([batch(0), batch(0, 1), batch(0)])) == 1
    assert first_settled_frame(settled, np.array([batch(0, 1), batch(0), batch(0)])) == 0


def test_no_frames_settle_nothing():
    assert first_settled_frame(np.ones((0, 2), bool), np.zeros((0, 64), int)) is None


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_replay_agrees_with_repainting_a_map(seed):
    rng = np.random.default_rng(seed)
    n_frames, n_columns = int(rng.integers(1, 12)), int(rng.integers(1, 6))
    settled = rng.random((n_frames, n_columns)) < 0.7
    inputs = rng.integers(0, n_columns, (n_frames, 3))
    shown = dict.fromkeys(range(n_columns), False)
    expected = None
    for k in range(n_frames):
        for column in inputs[k]:
            shown[int(column)] = settled[k, column]
        if all(shown.values()):
            expected = k
            break
    assert first_settled_frame(settled, inputs) == expected


# criteria


@pytest.mark.parametrize(
    ("logits", "passed"),
    [
        (table(0.95), {"argmax", "unique", "clean"}),  # rivals 0.0026 each
        (table(0.9, 0.05), {"argmax", "unique"}),  # one rival between 0.014 and 0.056
        (table(0.5, 0.3), {"argmax"}),  # a rival as bright as the true class
        (table(0.3, 0.5), set()),
        (table(0.055), {"argmax"}),  # the best, but not at full colour
        (table(1 / 20), set()),  # a tie
    ],
)
def test_each_criterion_by_hand(logits, passed):
    values = compute(run([logits], [batch(0, 1)]))
    for criterion in ("argmax", "unique", "clean"):
        reached = criterion in passed
        assert values[f"paper_epoch_{criterion}"] == (1 if reached else None)
        assert values[f"paper_pairs_{criterion}"] == (192_000 if reached else None)
    assert values["paper_epoch"] == values["paper_epoch_unique"]
    assert values["paper_pairs"] == values["paper_pairs_unique"]


def test_a_run_by_hand():
    # Column b is drawn in frames 1 (unsettled) and 4; frame 4 is batch 6000 of epoch 2.
    logits = [table(0.95), table(0.3, 0.5), table(0.95), table(0.95), table(0.9, 0.05)]
    inputs = [batch(0), batch(1), batch(0), batch(0), batch(1)]
    assert compute(run(logits, inputs)) == {
        "paper_epoch": 2,
        "paper_pairs": 384_000,
        "paper_epoch_unique": 2,
        "paper_pairs_unique": 384_000,
        "paper_epoch_argmax": 2,
        "paper_pairs_argmax": 384_000,
        "paper_epoch_clean": None,
        "paper_pairs_clean": None,
    }


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_a_whole_run_agrees_with_a_plain_loop(seed):
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 1, (9, 2, 20)).astype(np.float32)
    logits[:, [0, 1], [0, 1]] += np.linspace(0, 12, 9, dtype=np.float32)[:, None]
    inputs = rng.integers(0, 2, (9, 64)) * rng.integers(0, 2, (9, 1))
    values = compute(run(logits, inputs))
    for criterion in ("argmax", "unique", "clean"):
        epoch, pairs = plain_loop(criterion, logits.astype(np.float64), inputs)
        assert values[f"paper_epoch_{criterion}"] == epoch
        assert values[f"paper_pairs_{criterion}"] == pairs


def plain_loop(criterion, logits, inputs):
    """The instrument as the authors' script goes about it: a dictionary of columns."""
    shown = {}
    for k in range(len(logits)):
        for column in inputs[k]:
            shown[column] = np.exp(logits[k, column]) / np.exp(logits[k, column]).sum()
        if len(shown) == 2 and all(passes(criterion, shown[c], c) for c in (0, 1)):
            i, after_batch = k // 3, BATCHES[k % 3]
            return i + 1, max(0, (i - 1) * 576000) + 64 * after_batch
    return None, None


def passes(criterion, p, label):
    rivals = [p[k] for k in range(20) if k != label]
    if criterion == "argmax":
        return all(p[label] > rival for rival in rivals)
    limit = 0.056 if criterion == "unique" else 0.014
    return p[label] >= 0.056 and all(rival < limit for rival in rivals)


# where it does not apply


def test_a_stopped_run_is_not_measured_even_where_the_map_was_settled():
    values = compute(run([table(0.95)], [batch(0, 1)], complete=False))
    assert set(values.values()) == {NOT_MEASURED}


def test_a_missing_frame_is_not_measured():
    logits, inputs = [table(0.95)] * 3, [batch(0, 1)] * 3
    assert set(compute(run(logits, inputs, drop=[1])).values()) == {NOT_MEASURED}
    assert set(compute(run(logits, inputs, drop=[2])).values()) == {NOT_MEASURED}


def test_other_batch_sizes_have_no_instrument():
    values = compute(run([table(0.95)], [batch(0, 1)], batch_size=32, complete=False))
    assert set(values.values()) == {None}


def test_tasks_without_frames_have_no_instrument():
    task = TASK.model_copy(update={"facts": {}})
    assert set(compute(run([table(0.95)], [batch(0, 1)], task=task)).values()) == {None}


def test_a_budget_that_ends_before_the_first_frame_never_gets_there():
    values = compute(run(np.zeros((0, 2, 20)), np.zeros((0, 64), int)))
    assert set(values.values()) == {None}


def test_nothing_settles_after_divergence():
    logits = np.array([table(0.95), table(0.95), table(0.95)])
    logits[1, 1, 3] = np.nan
    # Column a is drawn while all is well, column b only after a NaN.
    values = compute(run(logits, [batch(0), batch(0), batch(1)]))
    assert set(values.values()) == {None}


# what the instrument itself costs

STOPS = {"UAG": 0.0004, "UAA": 0.0005, "UGA": 0.0009}


def oracle_readings(seeds, n_frames):
    """What the instrument makes of a model that is always right, for each seed's batches."""
    codons = tuple(map("".join, itertools.product("UCAG", repeat=3)))
    frequencies = np.array([STOPS.get(codon, 0.0) for codon in codons])
    frequencies[frequencies == 0] = (1 - frequencies.sum()) / 61
    labels = tuple(k % 20 for k in range(64))
    task = TASK.model_copy(update={"evaluation": EvaluationSet(inputs=codons, targets=labels)})
    logits = np.zeros((n_frames, 64, 20))
    logits[:, np.arange(64), labels] = 20
    for seed in seeds:
        inputs = np.random.default_rng(seed).choice(64, size=(n_frames, 64), p=frequencies)
        yield compute(run(logits, inputs, task=task))


def expected_frames():
    """Mean number of frames until each stop codon was in one: inclusion and exclusion."""
    mean = 0.0
    for size in (1, 2, 3):
        for group in itertools.combinations(STOPS.values(), size):
            mean -= (-1) ** size / (1 - (1 - sum(group)) ** 64)
    return mean


def test_an_oracle_waits_many_epochs_for_the_rare_stops():
    readings = list(oracle_readings(range(40), n_frames=600))
    epochs = [values["paper_epoch"] for values in readings]
    # The standard deviation is about 14 epochs, so that of the mean of 40 is about 2.
    assert np.mean(epochs) == pytest.approx(expected_frames() / 3, abs=6)
    assert 12 < np.mean(epochs) < 26
    assert np.median(epochs) > 8
    assert min(epochs) > 1
    for values in readings:
        assert values["paper_epoch_argmax"] == values["paper_epoch_clean"] == values["paper_epoch"]


def test_an_oracle_can_fail_the_papers_budget():
    # The chance that UAG is in none of the 120 batches alone is (1 - 0.0004)^(64 x 120) = 5 %.
    epochs = [values["paper_epoch"] for values in oracle_readings(range(40), n_frames=120)]
    assert 1 <= epochs.count(None) <= 8
