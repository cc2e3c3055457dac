"""When each input came to be right for good."""

from __future__ import annotations

import numpy as np

from codonbench.contracts import Trajectory
from codonbench_datasets.human_codon.plots.runs import FloatArray


def settled_pairs(trajectory: Trajectory) -> FloatArray:
    """Return for each input the pairs from which it is right at every later probe, shape (P,).

    An input that is wrong, right, wrong, right, right at 0, 64, 128, 192 and 256 pairs has
    settled at 192. Infinity where it is wrong at the last probe.
    """
    wrong = ~trajectory.right
    n_probes = len(trajectory.pairs)
    last_wrong = np.where(wrong.any(axis=0), n_probes - 1 - wrong[::-1].argmax(axis=0), -1)
    settled = np.append(trajectory.pairs.astype(np.float64), np.inf)
    return np.asarray(settled[last_wrong + 1])
