"""Pairs consumed until the whole code is right for the first time."""

from collections.abc import Callable, Mapping

from codonbench import Metric, Output, TaskSpec, Trajectory, hookimpl
from codonbench.contracts import MetricValue
from codonbench_metrics.first_passage import first_passage, never


class PairsConsumed(Metric):
    """Pairs at the first deciphered probe, and at the failing probe just before it.

    The true value lies above `last_failing_pairs` and at or below `pairs_consumed`.
    `last_failing_pairs` is None where the first probe is already right, or none ever is.
    """

    name = "pairs_consumed"
    version = "1"
    summary = "Training pairs until the task is deciphered for the first time."
    protocols = ("decipher",)

    def outputs(self, task: TaskSpec) -> Mapping[str, Output]:
        """Return the two ends of the bracket."""
        return {
            "pairs_consumed": Output(
                unit="pairs", direction="lower", summary="Pairs at the first deciphered probe."
            ),
            "last_failing_pairs": Output(
                unit="pairs",
                direction="none",
                summary="Pairs at the last failing probe before the first deciphered one.",
            ),
        }

    def compute(self, trajectory: Trajectory, task: TaskSpec) -> Mapping[str, MetricValue]:
        """Return the bracket; None or NOT_MEASURED where no probe is deciphered."""
        return {
            "pairs_consumed": first_passage(trajectory.solved, trajectory),
            "last_failing_pairs": _last_failing(trajectory),
        }


def _last_failing(trajectory: Trajectory) -> MetricValue:
    """Return the pairs at the probe just before the first deciphered one."""
    if not trajectory.solved.any():
        return never(trajectory)
    first = int(trajectory.solved.argmax())
    return int(trajectory.pairs[first - 1]) if first > 0 else None


@hookimpl
def register_metrics(register: Callable[[Metric], None]) -> None:
    """Register the metric."""
    register(PairsConsumed())
