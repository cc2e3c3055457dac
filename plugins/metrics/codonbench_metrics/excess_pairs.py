"""Pairs consumed beyond what the seed's own stream makes unavoidable."""

from collections.abc import Callable, Mapping

from codonbench import Metric, Output, TaskSpec, Trajectory, hookimpl
from codonbench.contracts import MetricValue
from codonbench.contracts.trajectory import TrajectoryFacts
from codonbench_metrics.first_passage import first_passage


class ExcessPairs(Metric):
    """`pairs_consumed` minus `all_seen` rounded up to the end of its batch.

    A learner that needs to see each input once has exactly 0, whatever the luck of its
    stream, so this is what the ranking uses. Below 0 needs lucky initialisation, structured
    input or prior knowledge. `all_seen` is a bound for any learner without prior knowledge;
    it is None where the inputs cannot be enumerated or the stream never shows one of them,
    and the excess is then None too.
    """

    name = "excess_pairs"
    version = "1"
    summary = "Pairs consumed beyond the batch in which the stream has shown every input."
    protocols = ("decipher",)

    def outputs(self, task: TaskSpec) -> Mapping[str, Output]:
        """Return the bound and the excess over it."""
        return {
            "all_seen": Output(
                unit="pairs",
                direction="none",
                summary="Position in this seed's stream at which every input has appeared.",
            ),
            "excess_pairs": Output(unit="pairs", direction="lower", summary=self.summary),
        }

    def compute(self, trajectory: Trajectory, task: TaskSpec) -> Mapping[str, MetricValue]:
        """Return both; the excess is None where either of its terms is."""
        all_seen = _all_seen(trajectory)
        return {"all_seen": all_seen, "excess_pairs": _excess(trajectory, all_seen)}


def _all_seen(trajectory: Trajectory) -> int | None:
    """Return the pairs after which the stream has shown every input; None if it never does."""
    first_seen = trajectory.arrays["first_seen"]
    if not trajectory.task.input.enumerable or not first_seen.all():
        return None
    return int(first_seen.max())


def _excess(trajectory: Trajectory, all_seen: int | None) -> MetricValue:
    """Return the excess over a bound known or not."""
    if all_seen is None:
        return None
    pairs = first_passage(trajectory.solved, trajectory)
    return pairs - batch_end(all_seen, trajectory.facts) if isinstance(pairs, int) else pairs


def batch_end(position: int, facts: TrajectoryFacts) -> int:
    """Return the pairs presented once the batch that holds a stream position is done.

    Batches restart at each epoch, so an epoch's last batch may be short; so may the very
    last batch of a run. With batches of 4 and epochs of 10: position 3 gives 4, position 9
    gives 10 and position 11 gives 14, or 12 where the run ended at 12.

    Args:
        position: Position in the stream, from 1.
        facts: Batch and epoch size, and where the run ended.
    """
    epoch_start = (position - 1) // facts.epoch_pairs * facts.epoch_pairs
    batches = -(-(position - epoch_start) // facts.batch_size)
    end = epoch_start + min(batches * facts.batch_size, facts.epoch_pairs)
    return min(end, facts.pairs) if position <= facts.pairs else end


@hookimpl
def register_metrics(register: Callable[[Metric], None]) -> None:
    """Register the metric."""
    register(ExcessPairs())
