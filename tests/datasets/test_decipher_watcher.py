import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codonbench import NOT_MEASURED, Trajectory
from codonbench.contracts import TrajectoryFacts
from codonbench_datasets._deciphering import WINDOW_PAIRS
from codonbench_datasets.decipher import Watcher
from codonbench_metrics.deciphering import ConfidentPairs, SustainedPairs

TARGETS = np.array([0, 1, 1])

SURE = np.array([[9, 0], [0, 9], [0, 9]], dtype=np.float32)
RIGHT = np.array([[1, 0], [0, 1], [0, 1]], dtype=np.float32)
TIED = np.array([[1, 0], [0, 1], [1, 1]], dtype=np.float32)
WRONG = np.array([[1, 0], [0, 1], [1, 0]], dtype=np.float32)


def watcher(needed=3, rule="confident"):
    return Watcher(TARGETS, needed, rule)


def followed(*seen, **options):
    """A watcher that has seen these (pairs, logits)."""
    w = watcher(**options)
    for pairs, logits in seen:
        w.see(pairs, logits)
    return w


def test_right_is_strictly_greater_than_every_rival():
    assert followed((0, TIED)).right.tolist() == [True, True, False]
    assert followed((0, WRONG)).right.tolist() == [True, True, False]
    assert followed((0, RIGHT)).right.tolist() == [True, True, True]


def test_nothing_is_right_where_a_logit_is_not_finite():
    broken = RIGHT.copy()
    broken[0, 1] = -np.inf
    assert followed((0, RIGHT), (64, broken)).right.tolist() == [False, False, False]


def test_a_window_opens_at_the_first_right_evaluation_and_closes_at_the_first_wrong_one():
    w = followed((0, WRONG), (64, RIGHT), (128, RIGHT))
    assert w.window_start == 64
    w.see(192, TIED)
    assert w.window_start is None
    w.see(256, RIGHT)
    assert w.window_start == 256


def test_a_window_lasts_64000_pairs_to_the_pair():
    w = followed((64, RIGHT), (64_063, RIGHT))
    assert (w.sustained, w.window_start) == (False, 64)
    w.see(64_064, RIGHT)
    assert (w.sustained, w.window_start) == (True, None)
    w.see(64_128, RIGHT)
    assert w.window_start is None


def test_a_relapse_after_sustained_does_not_take_it_back():
    w = followed((0, RIGHT), (64_000, RIGHT), (64_064, WRONG), (64_128, RIGHT))
    assert w.sustained
    assert w.window_start is None


def test_confident_is_ninety_percent_for_every_true_class():
    nine_to_one = np.float32(np.log(9.0001))
    almost = np.array([[nine_to_one, 0], [0, 9], [0, 2.19]], dtype=np.float32)  # log 9 = 2.1972
    enough = np.array([[nine_to_one, 0], [0, 9], [0, 2.2]], dtype=np.float32)
    assert not followed((0, almost)).confident
    assert followed((0, enough)).confident
    assert followed((0, almost), needed=2).confident


def test_a_run_ends_once_both_sustained_and_confident():
    assert not followed((0, RIGHT), (64_000, RIGHT)).finished
    assert not followed((0, SURE), (1_024, SURE)).finished
    assert followed((0, RIGHT), (64_000, SURE)).finished
    assert followed((0, SURE), (64_000, RIGHT)).finished


def test_under_the_budget_rule_only_divergence_ends_a_run():
    w = followed((0, SURE), (64_000, SURE), rule="budget")
    assert w.sustained
    assert w.confident
    assert not w.finished
    w.see(64_064, np.full((3, 2), np.nan, dtype=np.float32))
    assert w.finished


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_one_non_finite_logit_ends_it_all(bad):
    broken = RIGHT.copy()
    broken[1, 0] = bad
    w = followed((0, RIGHT), (64, broken), (128, RIGHT))
    assert not w.finite
    assert w.finished
    assert not w.right.any()
    assert w.window_start is None


def test_huge_logits_are_neither_an_overflow_nor_a_divergence():
    huge = RIGHT * np.float32(3e38)
    assert followed((0, huge)).confident


STEPS = st.lists(st.sampled_from([64, 1_024, 20_000, 63_999, 64_000]), min_size=1, max_size=9)


@settings(max_examples=300)
@given(
    STEPS,
    st.integers(0, 2**32 - 1),
    st.sampled_from([0.6, 1.0]),
    st.sampled_from([0.0, 0.05]),
    st.sampled_from([1, 6]),
)
def test_the_watcher_agrees_with_the_metrics(toys, steps, chance, target, breaks, size):
    """On random trajectories full of ties, with a NaN here and there."""
    rng = np.random.default_rng(chance)
    evaluation = toys.spec.evaluation.model_copy(update={"target_accuracy": target})
    spec = toys.spec.model_copy(update={"evaluation": evaluation})
    targets = np.array(spec.evaluation.targets)
    pairs = np.cumsum([0, *steps])
    logits = size * rng.integers(0, 2, size=(len(pairs), 25, 4)).astype(np.float32)
    # Right more often than not, so that windows open and last.
    for probe in np.flatnonzero(rng.random(len(pairs)) < 0.8):
        logits[probe, np.arange(25), targets] = size * rng.integers(1, 3)
        logits[probe][rng.random((25, 4)) < 0.02] += 1
    logits[rng.random(logits.shape) < breaks / 100] = np.nan
    w = Watcher(targets, int(np.ceil(target * 25)), "confident")
    for n in range(1, len(pairs) + 1):
        w.see(int(pairs[n - 1]), logits[n - 1])
        trajectory = Trajectory(
            task=spec,
            facts=TrajectoryFacts(
                batch_size=64,
                epoch_pairs=1_500,
                budget_pairs=10**6,
                pairs=int(pairs[n - 1]),
                complete=False,
                protocol={"window_pairs": WINDOW_PAIRS},
            ),
            pairs=pairs[:n],
            outputs=logits[:n],
            targets=targets,
        )
        assert w.right.tolist() == trajectory.right[-1].tolist()
        sustained = SustainedPairs().compute(trajectory, spec)["sustained_pairs"]
        assert w.sustained == (sustained is not NOT_MEASURED)
        confident = ConfidentPairs().compute(trajectory, spec)["confident_pairs"]
        assert w.confident == (confident is not NOT_MEASURED)
        assert w.finite == bool(trajectory.finite[-1])
        if w.window_start is not None:
            since = pairs[:n] >= w.window_start
            assert trajectory.solved[since].all()
