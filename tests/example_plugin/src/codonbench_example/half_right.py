"""The metric ``half_right``: training pairs until half of the inputs are right."""

from collections.abc import Mapping

from codonbench import NOT_MEASURED, Metric, Output, TaskSpec, Trajectory
from codonbench.contracts import MetricValue


class HalfRight(Metric):
    """Pairs at the first snapshot with half of the inputs right, and the most ever right."""

    name = "half_right"
    version = "1"
    summary = "Training pairs until half of the inputs are right."
    protocols = ("decipher",)

    def outputs(self, task: TaskSpec) -> Mapping[str, Output]:
        """Return the two values' units and directions."""
        return {
            "half_right": Output(unit="pairs", direction="lower", summary=self.summary),
            "most_right": Output(
                unit="count", direction="higher", summary="Inputs right at the best snapshot."
            ),
        }

    def compute(self, trajectory: Trajectory, task: TaskSpec) -> Mapping[str, MetricValue]:
        """Return the pairs, None or NOT_MEASURED where half never are, and the count."""
        right = trajectory.right.sum(axis=1)
        enough = 2 * right >= len(task.evaluation.inputs)
        never = None if trajectory.facts.complete else NOT_MEASURED
        return {
            "half_right": int(trajectory.pairs[enough.argmax()]) if enough.any() else never,
            "most_right": int(right.max()),
        }
