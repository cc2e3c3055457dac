"""The epoch in which the whole code is right for the first time."""

from collections.abc import Callable, Mapping

from codonbench import Metric, Output, TaskSpec, Trajectory, hookimpl
from codonbench.contracts import MetricValue
from codonbench_metrics.first_passage import first_passage


class DecipherEpoch(Metric):
    """``ceil(pairs_consumed / epoch_pairs)``, counted from 1.

    Right on the last pair of epoch 1 is epoch 1; one pair later is epoch 2. A model that is
    right before its first pair is said to decipher in epoch 1, so that no epoch 0 exists.
    """

    name = "decipher_epoch"
    version = "1"
    summary = "Epoch, from 1, in which the task is deciphered for the first time."
    protocols = ("decipher",)

    def outputs(self, task: TaskSpec) -> Mapping[str, Output]:
        """Return the one output."""
        return {"decipher_epoch": Output(unit="epochs", direction="lower", summary=self.summary)}

    def compute(self, trajectory: Trajectory, task: TaskSpec) -> Mapping[str, MetricValue]:
        """Return the epoch; None or NOT_MEASURED where no probe is deciphered."""
        pairs = first_passage(trajectory.solved, trajectory)
        if not isinstance(pairs, int):
            return {"decipher_epoch": pairs}
        return {"decipher_epoch": max(1, -(-pairs // trajectory.facts.epoch_pairs))}


@hookimpl
def register_metrics(register: Callable[[Metric], None]) -> None:
    """Register the metric."""
    register(DecipherEpoch())
