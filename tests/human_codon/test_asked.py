"""When an input was right for good, and what is shown where very many are asked about."""

from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console

from codonbench import EvaluationSet
from codonbench.errors import UsageError
from codonbench_datasets.human_codon import show_run
from codonbench_datasets.human_codon.asked import settled_pairs, true_probabilities


def with_right(trajectory, right):
    """A trajectory whose inputs are right at these probes, (T, P)."""
    right = np.asarray(right)
    n_probes, n_inputs = right.shape
    outputs = np.zeros((n_probes, *trajectory.outputs.shape[1:]), dtype=np.float32)
    true = np.broadcast_to(right, (n_probes, n_inputs)).astype(np.float32)
    outputs[:, np.arange(n_inputs), trajectory.targets[:n_inputs]] = 2 * true - 1
    return replace(trajectory, pairs=64 * np.arange(n_probes), outputs=outputs)


def test_right_for_good_begins_after_the_last_wrong_probe(finished):
    trajectory = with_right(
        finished[1],
        [[0, 1, 0, 0], [1, 1, 0, 1], [0, 1, 0, 1], [1, 1, 0, 1], [1, 1, 1, 0]],
    )
    assert settled_pairs(trajectory)[:4].tolist() == [192, 0, 256, np.inf]
    assert (settled_pairs(trajectory)[4:] == np.inf).all()


def test_it_is_what_a_loop_over_probes_finds(finished):
    trajectory = finished[1]
    for i, pairs in enumerate(settled_pairs(trajectory)):
        settled = np.inf
        for probe in reversed(range(len(trajectory.pairs))):
            if not trajectory.right[probe, i]:
                break
            settled = trajectory.pairs[probe]
        assert pairs == settled


@pytest.fixture
def large(finished):
    """A run that is asked about 6,000 inputs."""
    trajectory, n = finished[1], 6_000
    targets = np.arange(n) % len(trajectory.task.target.names)
    evaluation = EvaluationSet(inputs=tuple(f"{i:b}" for i in range(n)), targets=targets.tolist())
    outputs = np.random.default_rng(0).normal(size=(3, n, len(trajectory.task.target.names)))
    return replace(
        trajectory,
        task=trajectory.task.model_copy(update={"evaluation": evaluation}),
        pairs=np.array([0, 64, 128]),
        outputs=outputs.astype(np.float32),
        targets=targets,
        arrays=trajectory.arrays | {"first_seen": np.zeros(n, dtype=np.int64)},
    )


def test_a_run_asked_about_thousands_is_shown_in_a_few_lines(large):
    console = Console(width=120)
    with console.capture() as shown:
        for part in show_run(large, 120):
            console.print(part)
    text = shown.get()
    assert len(text.splitlines()) < 10
    assert "No matrix: " in text
    assert "6,000 inputs" in text
    assert "right of 6000, log scale" in text


def test_no_picture_has_a_row_for_each_of_thousands(finished, large):
    from codonbench_datasets.human_codon.plots.matrices import animate, draw_heat_map
    from codonbench_datasets.human_codon.plots.style import Run

    for draw in (draw_heat_map, animate):
        with pytest.raises(UsageError, match="6,000 inputs, and at most 256 have room in one"):
            draw(Run(finished[0], large))


def test_true_probabilities_are_those_of_the_true_classes(large):
    p = large.probabilities()
    expected = [[p[t, i, large.targets[i]] for i in range(6_000)] for t in range(3)]
    assert true_probabilities(large).tolist() == expected
