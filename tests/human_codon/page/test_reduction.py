"""A trajectory reduced: nothing that a picture shows is lost, by hand and against itself."""

from dataclasses import replace

import numpy as np
import pytest

from codonbench.contracts import EvaluationSet, Target, Trajectory, TrajectoryFacts
from codonbench.report.site.scripts import unpack
from codonbench_datasets.human_codon.page.pictures import (
    MOST_POINTS,
    NEVER,
    levels,
    reduce_axes,
    reduce_heat_map,
    reduce_seed,
)


def by_hand(spec):
    """Three inputs, two classes, four probes; the second input relapses, the third never comes."""
    task = spec.model_copy(
        update={
            "target": Target(names=("yes", "no")),
            "evaluation": EvaluationSet(
                inputs=("GG", "GA", "GV"), targets=(0, 1, 1), groups={"stop": (1,)}
            ),
        }
    )
    logits = np.zeros((4, 3, 2), dtype=np.float32)
    logits[1:, 0, 0] = 50.0
    logits[[1, 3], 1, 1] = 50.0
    logits[:, 2, 0] = 50.0
    return Trajectory(
        task=task,
        facts=TrajectoryFacts(
            batch_size=64, epoch_pairs=256, budget_pairs=192, pairs=192, complete=True
        ),
        pairs=np.array([0, 64, 128, 192]),
        outputs=logits,
        targets=np.array([0, 1, 1]),
        arrays={
            "first_seen": np.array([3, 70, 9]),
            "test_counts": np.zeros(3, dtype=np.int64),
            "frame_pairs": np.array([64, 192]),
            "frame_inputs": np.array([[0, 0, -1], [1, 0, 1]]),
        },
    )


@pytest.fixture
def small(toys, finished):
    record, _ = finished
    return record, by_hand(toys.spec)


def test_a_seed_by_hand(small) -> None:
    seed = reduce_seed(*small)
    assert unpack(seed.pairs).tolist() == [0, 64, 128, 192]
    assert unpack(seed.right).tolist() == [0, 2, 1, 2]
    assert unpack(seed.stops_right).tolist() == [0, 1, 0, 1]
    assert unpack(seed.p_stop).tolist() == [[180, 255, 180, 255]]  # 255 * sqrt(1/2) = 180.3
    assert unpack(seed.lowest).tolist() == [0, 0, 0, 0]
    assert unpack(seed.first_right).tolist() == [64, 64, NEVER]
    assert unpack(seed.right_since).tolist() == [64, 192, NEVER]
    assert (seed.stops, seed.all_seen, seed.complete, seed.probes) == ((1,), 70, True, 4)


def test_a_heat_map_by_hand(small) -> None:
    heat_map = reduce_heat_map(*small)
    p = unpack(heat_map.p)
    assert p.shape == (3, 2, 4)
    assert p[1].tolist() == [[180, 0, 180, 0], [180, 255, 180, 255]]
    assert unpack(heat_map.right).tolist() == [[0, 1, 1, 1], [0, 1, 0, 1], [0, 0, 0, 0]]
    assert heat_map.looks == (1, 3)
    assert unpack(heat_map.redrawn).tolist() == [[1, 1], [0, 1], [0, 0]]
    assert heat_map.labels == (0, 1, 1)


def test_axes_say_what_was_asked(small) -> None:
    axes = reduce_axes(small[1])
    assert axes.inputs == ("GG", "GA", "GV")
    assert axes.classes == ("yes", "no")
    assert (axes.unit, axes.needed, axes.first_look) == ("dipeptide", 3, 640)


def test_levels_keep_a_probability_to_half_a_step_of_its_root() -> None:
    p = np.linspace(0, 1, 2_001)
    np.testing.assert_allclose(np.sqrt(p), levels(p) / 255, atol=0.5 / 255 + 1e-12)


def test_a_real_run_says_what_its_record_says(finished) -> None:
    record, trajectory = finished
    seed = reduce_seed(record, trajectory)
    np.testing.assert_array_equal(unpack(seed.pairs), trajectory.pairs)
    there = np.flatnonzero(unpack(seed.right) == len(trajectory.targets))
    assert unpack(seed.pairs)[there[0]] == record.metrics["pairs_consumed"]


def test_when_an_input_was_known_is_what_a_loop_over_the_trace_finds(finished) -> None:
    record, trajectory = finished
    seed = reduce_seed(record, trajectory)
    for i, (first, since) in enumerate(
        zip(unpack(seed.first_right), unpack(seed.right_since), strict=True)
    ):
        right = trajectory.right[:, i].tolist()
        assert first == (trajectory.pairs[right.index(True)] if any(right) else NEVER)
        wrong = [t for t, is_right in enumerate(right) if not is_right]
        start = wrong[-1] + 1 if wrong else 0
        assert since == (trajectory.pairs[start] if start < len(right) else NEVER)


def test_from_the_first_infinity_on_nothing_is_known(small) -> None:
    record, trajectory = small
    logits = trajectory.outputs.copy()
    logits[2, 0, 0] = np.inf
    broken = replace(trajectory, outputs=logits)
    assert unpack(reduce_seed(record, broken).p_stop).tolist() == [[180, 255, 0, 0]]
    assert unpack(reduce_heat_map(record, broken).p)[:, :, 2:].max() == 0


def test_a_run_with_very_many_probes_keeps_those_that_say_when_it_deciphered(small) -> None:
    record, trajectory = small
    n = 5 * MOST_POINTS
    right_at = n - 77
    logits = np.zeros((n, 3, 2), dtype=np.float32)
    logits[right_at:, [0, 1, 2], [0, 1, 1]] = 50.0
    frames = np.array([right_at - 9, n - 5])
    long = replace(
        trajectory,
        pairs=np.arange(n) * 64,
        outputs=logits,
        arrays={
            **trajectory.arrays,
            "frame_pairs": frames * 64,
            "frame_inputs": np.zeros((2, 3), dtype=np.int64),
        },
    )
    seed, heat_map = reduce_seed(record, long), reduce_heat_map(record, long)
    for pairs in (unpack(seed.pairs), unpack(heat_map.pairs)):
        assert len(pairs) <= MOST_POINTS
        assert {0, 64 * (right_at - 1), 64 * right_at, 64 * (n - 1)} <= set(pairs.tolist())
    assert seed.probes == heat_map.probes == n
    assert (unpack(heat_map.pairs)[list(heat_map.looks)] == frames * 64).all()


def test_a_task_with_too_many_inputs_has_curves_and_no_heat_map(small) -> None:
    record, trajectory = small
    many = 2_100
    task = trajectory.task.model_copy(
        update={
            "evaluation": EvaluationSet(
                inputs=tuple(f"i{k}" for k in range(many)), targets=(0,) * many
            )
        }
    )
    wide = replace(
        trajectory,
        task=task,
        outputs=np.zeros((4, many, 2), np.float32),
        targets=np.zeros(many, int),
        arrays={**trajectory.arrays, "first_seen": np.ones(many, int)},
    )
    assert reduce_heat_map(record, wide) is None
    assert unpack(reduce_seed(record, wide).p_stop).shape == (0, 4)
