"""Pairs at the first probe where something holds, and the two ways to have no such probe."""

from codonbench import NOT_MEASURED, Trajectory
from codonbench.contracts import NotMeasured
from codonbench.contracts.trajectory import BoolArray


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
