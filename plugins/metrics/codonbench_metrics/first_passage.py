"""How many training pairs it takes until something holds of the evaluation set."""

from collections.abc import Mapping
from typing import ClassVar, Literal, cast

import numpy as np

from codonbench import NOT_MEASURED, Metric, Output, TaskSpec, Trajectory
from codonbench.contracts import MetricValue, NotMeasured, required_right
from codonbench.contracts.trajectory import BoolArray, FloatArray, IntArray, TrajectoryFacts

_TAUS = {"confident_pairs": 0.9, "confident_pairs_50": 0.5}  # the first is the headline


def _pairs(summary: str, direction: Literal["lower", "none"] = "lower") -> Output:
    return Output(unit="pairs", direction=direction, summary=summary)


class OfDeciphering(Metric):
    """A metric of a run under the protocol ``decipher``; subclasses define `compute`.

    Class attributes:
        gives: Its values, where they do not depend on the task.
    """

    version: ClassVar[str] = "1"
    protocols: ClassVar[tuple[str, ...]] = ("decipher",)
    gives: ClassVar[Mapping[str, Output]] = {}

    def outputs(self, task: TaskSpec) -> Mapping[str, Output]:
        """Return the values it gives, by name."""
        return self.gives


class PairsConsumed(OfDeciphering):
    """Pairs at the first deciphered probe, and at the failing probe just before it.

    The true value lies above `last_failing_pairs` and at or below `pairs_consumed`.
    `last_failing_pairs` is None where the first probe is already right, or none ever is.
    """

    name = "pairs_consumed"
    summary = "Training pairs until the task is deciphered for the first time."
    gives: ClassVar = {
        "pairs_consumed": _pairs("Pairs at the first deciphered probe."),
        "last_failing_pairs": _pairs(
            "Pairs at the last failing probe before the first deciphered one.", "none"
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


class DecipherEpoch(OfDeciphering):
    """``ceil(pairs_consumed / epoch_pairs)``, counted from 1.

    Right on the last pair of epoch 1 is epoch 1; one pair later is epoch 2. A model that is
    right before its first pair is said to decipher in epoch 1, so that no epoch 0 exists.
    """

    name = "decipher_epoch"
    summary = "Epoch, from 1, in which the task is deciphered for the first time."
    gives: ClassVar = {"decipher_epoch": Output(unit="epochs", direction="lower", summary=summary)}

    def compute(self, trajectory: Trajectory, task: TaskSpec) -> Mapping[str, MetricValue]:
        """Return the epoch; None or NOT_MEASURED where no probe is deciphered."""
        pairs = first_passage(trajectory.solved, trajectory)
        if not isinstance(pairs, int):
            return {"decipher_epoch": pairs}
        return {"decipher_epoch": max(1, -(-pairs // trajectory.facts.epoch_pairs))}


class ExcessPairs(OfDeciphering):
    """`pairs_consumed` minus `all_seen` rounded up to the end of its batch.

    A learner that is right only about inputs it has been shown, and at once, has exactly 0,
    whatever the luck of its stream, so this is what the ranking uses. `all_seen` is a bound for
    such learners only: luck, guessing by class frequency, structured input and prior knowledge
    go below it. It is None where the inputs cannot be enumerated or the stream never shows one
    of them, and the excess is then None too.
    """

    name = "excess_pairs"
    summary = "Pairs consumed beyond the batch in which the stream has shown every input."
    gives: ClassVar = {
        "all_seen": _pairs(
            "Position in this seed's stream at which every input has appeared.", "none"
        ),
        "excess_pairs": _pairs(summary),
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


class SustainedPairs(OfDeciphering):
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
    summary = "Training pairs until the task is deciphered and stays so for a whole window."
    gives: ClassVar = {
        "sustained_pairs": _pairs(
            "Pairs at the first probe from which deciphering lasts a window."
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
        window = cast(int, trajectory.facts.protocol["window_pairs"])
        start = _sustained_from(trajectory.solved, trajectory.pairs, window)
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


class ConfidentPairs(OfDeciphering):
    """The first probe at which every true class has probability tau or more.

    For a task with a target accuracy below 1, as many probe inputs must be that sure as
    must be right for the task to be deciphered. Probabilities are float64 softmax of the
    logits; nothing counts from the first non-finite probe on.
    """

    name = "confident_pairs"
    summary = "Training pairs until every true class has at least a given probability."
    gives: ClassVar = {
        name: _pairs(f"Pairs at the first probe with p(true class) >= {tau} throughout.")
        for name, tau in _TAUS.items()
    }

    def compute(self, trajectory: Trajectory, task: TaskSpec) -> Mapping[str, MetricValue]:
        """Return pairs for each tau; None or NOT_MEASURED where no probe is that sure."""
        surest = _required_confidence(trajectory, required_right(task))
        return {name: first_passage(surest >= tau, trajectory) for name, tau in _TAUS.items()}


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


def first_passage(reached: BoolArray, trajectory: Trajectory) -> int | NotMeasured | None:
    """Return the pairs presented before the first probe at which `reached` holds.

    Args:
        reached: Whether it holds at each probe, shape (T,).
        trajectory: Where the probes come from.

    Returns:
        Pairs, or what `never` says where no probe reaches it.
    """
    if not reached.any():
        return never(trajectory)
    return int(trajectory.pairs[reached.argmax()])


def never(trajectory: Trajectory) -> NotMeasured | None:
    """Return what an event that no probe shows is worth.

    Returns:
        None (right-censored) where the run spent its budget or went non-finite;
        NOT_MEASURED where it was stopped first and the event might still have come.
    """
    return None if trajectory.facts.complete else NOT_MEASURED
