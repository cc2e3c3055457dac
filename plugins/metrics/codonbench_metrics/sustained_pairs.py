"""Pairs consumed until the code is right and stays right."""

from collections.abc import Callable, Mapping

import numpy as np

from codonbench import NOT_MEASURED, Metric, Output, TaskSpec, Trajectory, hookimpl
from codonbench.contracts import MetricValue
from codonbench.contracts.trajectory import BoolArray, IntArray
from codonbench_metrics.first_passage import never


class SustainedPairs(Metric):
    """The first probe from which all probes stay right for the next `window_pairs` pairs.

    That is the start of the first unbroken stretch of deciphered probes whose last probe
    lies at least `window_pairs` beyond its first. A run that ends inside the window is
    censored: it has not shown that it stays right.

    A relapse is a deciphered probe followed by one that is not, counted up to
    `sustained_pairs`, or over the whole run where deciphering is never sustained. Success
    of a run means sustained. All three are NOT_MEASURED in a run that was stopped before
    the question was settled.
    """

    name = "sustained_pairs"
    version = "1"
    summary = "Training pairs until the task is deciphered and stays so for a whole window."
    protocols = ("decipher",)

    def outputs(self, task: TaskSpec) -> Mapping[str, Output]:
        """Return when, after how many relapses, and whether."""
        return {
            "sustained_pairs": Output(
                unit="pairs",
                direction="lower",
                summary="Pairs at the first probe from which deciphering lasts a window.",
            ),
            "relapses": Output(
                unit="count",
                direction="lower",
                summary="Times the task was deciphered and lost again before it was sustained.",
            ),
            "success": Output(
                unit="bool", direction="higher", summary="Whether deciphering was sustained."
            ),
        }

    def compute(self, trajectory: Trajectory, task: TaskSpec) -> Mapping[str, MetricValue]:
        """Return the three values; see the class for None and NOT_MEASURED."""
        start = _sustained_from(
            trajectory.solved, trajectory.pairs, trajectory.facts.protocol["window_pairs"]
        )
        if start is None and never(trajectory) is NOT_MEASURED:
            return dict.fromkeys(("sustained_pairs", "relapses", "success"), NOT_MEASURED)
        return {
            "sustained_pairs": None if start is None else int(trajectory.pairs[start]),
            "relapses": _relapses(trajectory.solved[: None if start is None else start + 1]),
            "success": start is not None,
        }


def _sustained_from(right: BoolArray, pairs: IntArray, window: int) -> int | None:
    """Return the index of the first probe that begins a long enough stretch of right ones.

    Args:
        right: Whether each probe is deciphered, shape (T,).
        pairs: Pairs presented before each probe, shape (T,).
        window: Pairs that a stretch must span from its first probe to its last.
    """
    steps = np.diff(right.astype(np.int8), prepend=0, append=0)
    firsts, lasts = np.flatnonzero(steps == 1), np.flatnonzero(steps == -1) - 1
    long_enough = firsts[pairs[lasts] - pairs[firsts] >= window]
    return int(long_enough[0]) if len(long_enough) else None


def _relapses(right: BoolArray) -> int:
    """Return how often a right probe is followed by a wrong one."""
    return int(np.count_nonzero(right[:-1] & ~right[1:]))


@hookimpl
def register_metrics(register: Callable[[Metric], None]) -> None:
    """Register the metric."""
    register(SustainedPairs())
