"""A run through the instrument of Joiret et al. (2023): what their heat map would show.

Three times an epoch they redraw the columns of those codons that happen to be in one batch of 64;
the others keep what an earlier frame drew. Colours saturate at p = 0.056. See docs/scores.md and
doi 10.3389/frai.2023.1128153.
"""

from __future__ import annotations

import numpy as np

from codonbench.contracts import Trajectory
from codonbench_datasets.human_codon.plots.runs import FloatArray, probabilities

SATURATES = 0.056
"""The p at which the paper's scale of colour is at its end."""


def instrument_maps(trajectory: Trajectory, probes: list[int]) -> FloatArray | None:
    """Return what the paper's heat map shows at some probes.

    With two codons, frames that redraw {0}, {0} and {1}: after the second the map shows codon 0
    as the second frame saw it and nothing of codon 1; after the third, both, codon 0 as before.

    Args:
        trajectory: The run's.
        probes: Indices of probes, K of them.

    Returns:
        p as drawn, shape (K, P, C), NaN where no frame has drawn yet; None where the run has no
        frame, or the trajectory lacks the probe of one.
    """
    at = np.searchsorted(trajectory.pairs, trajectory.arrays["frame_pairs"])
    if (
        not len(at)
        or at[-1] >= len(trajectory.pairs)
        or (trajectory.pairs[at] != trajectory.arrays["frame_pairs"]).any()
    ):
        return None
    p = probabilities(trajectory)
    shown = np.full(p.shape[1:], np.nan)
    maps, frame = np.empty((len(probes), *shown.shape)), 0
    for k in np.argsort(probes, kind="stable"):
        while frame < len(at) and at[frame] <= probes[k]:
            drawn = np.unique(trajectory.arrays["frame_inputs"][frame])
            drawn = drawn[drawn >= 0]
            shown[drawn] = p[at[frame], drawn]
            frame += 1
        maps[k] = shown
    return maps
