"""Pairs consumed until the model is sure of the whole code."""

from collections.abc import Callable, Mapping

import numpy as np

from codonbench import Metric, Output, TaskSpec, Trajectory, hookimpl
from codonbench.contracts import MetricValue, required_right
from codonbench.contracts.trajectory import FloatArray
from codonbench_metrics.first_passage import first_passage


class ConfidentPairs(Metric):
    """The first probe at which every true class has probability tau or more.

    For a task with a target accuracy below 1, as many probe inputs must be that sure as
    must be right for the task to be deciphered. Probabilities are float64 softmax of the
    logits; nothing counts from the first non-finite probe on.
    """

    name = "confident_pairs"
    version = "1"
    summary = "Training pairs until every true class has at least a given probability."
    protocols = ("decipher",)

    def outputs(self, task: TaskSpec) -> Mapping[str, Output]:
        """Return one output for each tau; 0.9 is the headline."""
        return {
            name: Output(
                unit="pairs",
                direction="lower",
                summary=f"Pairs at the first probe with p(true class) >= {tau} throughout.",
            )
            for name, tau in _TAUS.items()
        }

    def compute(self, trajectory: Trajectory, task: TaskSpec) -> Mapping[str, MetricValue]:
        """Return pairs for each tau; None or NOT_MEASURED where no probe is that sure."""
        surest = _required_confidence(trajectory, required_right(task))
        return {name: first_passage(surest >= tau, trajectory) for name, tau in _TAUS.items()}


_TAUS = {"confident_pairs": 0.9, "confident_pairs_50": 0.5}


def _required_confidence(trajectory: Trajectory, needed: int) -> FloatArray:
    """Return, for each probe, the p(true) that at least `needed` inputs reach, shape (T,).

    Where all inputs are needed this is the minimum over inputs. Non-finite probes get -1.
    """
    n_finite = int(trajectory.finite.sum())
    p_true = trajectory.probabilities(slice(n_finite))[
        :, np.arange(len(trajectory.targets)), trajectory.targets
    ]
    confidence = np.full(len(trajectory.pairs), -1.0)
    confidence[:n_finite] = np.sort(p_true, axis=1)[:, -needed]
    return confidence


@hookimpl
def register_metrics(register: Callable[[Metric], None]) -> None:
    """Register the metric."""
    register(ConfidentPairs())
