"""Accuracy on the held-out pairs when the run ends."""

from collections.abc import Callable, Mapping

from codonbench import Metric, Output, TaskSpec, Trajectory, hookimpl
from codonbench.contracts import MetricValue


class HeldOutAccuracy(Metric):
    """Share of the held-out pairs that the last probe has right.

    A held-out pair is a probe input, so the accuracy follows from the probe and from how
    often each input is held out; no second pass over data is needed. None where no pair is
    held out. A tie is wrong, and a non-finite last probe has 0.
    """

    name = "test_accuracy"
    version = "1"
    summary = "Share of the held-out pairs that are right at the last probe."
    protocols = ("decipher",)

    def outputs(self, task: TaskSpec) -> Mapping[str, Output]:
        """Return the one output."""
        return {"test_accuracy": Output(unit="share", direction="higher", summary=self.summary)}

    def compute(self, trajectory: Trajectory, task: TaskSpec) -> Mapping[str, MetricValue]:
        """Return the share, 0 to 1."""
        held_out = int(trajectory.arrays["test_counts"].sum())
        if held_out == 0:
            return {"test_accuracy": None}
        return {
            "test_accuracy": int(trajectory.arrays["test_counts"][trajectory.right[-1]].sum())
            / held_out
        }


@hookimpl
def register_metrics(register: Callable[[Metric], None]) -> None:
    """Register the metric."""
    register(HeldOutAccuracy())
