"""When an input was right for good."""

from dataclasses import replace

import numpy as np

from codonbench.pictures.passage import settled_pairs


def with_right(trace, right):
    """A trace whose inputs are right at these probes, (T, P)."""
    right = np.asarray(right)
    n_probes, n_inputs = right.shape
    logits = np.zeros((n_probes, len(trace.labels), trace.logits.shape[2]), dtype=np.float32)
    true = np.broadcast_to(right, (n_probes, n_inputs)).astype(np.float32)
    logits[:, np.arange(n_inputs), trace.labels[:n_inputs]] = 2 * true - 1
    return replace(trace, pairs=64 * np.arange(n_probes), logits=logits)


def test_right_for_good_begins_after_the_last_wrong_probe(finished):
    trace = with_right(
        finished[1],
        [[0, 1, 0, 0], [1, 1, 0, 1], [0, 1, 0, 1], [1, 1, 0, 1], [1, 1, 1, 0]],
    )
    assert settled_pairs(trace)[:4].tolist() == [192, 0, 256, np.inf]
    assert (settled_pairs(trace)[4:] == np.inf).all()


def test_it_is_what_a_loop_over_probes_finds(finished):
    trace = finished[1]
    for i, pairs in enumerate(settled_pairs(trace)):
        settled = np.inf
        for probe in reversed(range(len(trace.pairs))):
            if not trace.right[probe, i]:
                break
            settled = trace.pairs[probe]
        assert pairs == settled
