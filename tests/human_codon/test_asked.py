"""When an input was right for good."""

from dataclasses import replace

import numpy as np

from codonbench_datasets.human_codon.asked import settled_pairs


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
