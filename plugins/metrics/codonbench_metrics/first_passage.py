"""Pairs at the first probe where something holds, and the two ways to have no such probe."""

from codonbench import NOT_MEASURED, Trace
from codonbench.contracts import NotMeasured
from codonbench.contracts.trace import BoolArray


def first_passage(reached: BoolArray, trace: Trace) -> int | NotMeasured | None:
    """Return the pairs presented before the first probe at which `reached` holds.

    Args:
        reached: Whether it holds at each probe, shape (T,).
        trace: Where the probes come from.

    Returns:
        Pairs, or what `never` says where no probe reaches it.
    """
    if not reached.any():
        return never(trace)
    return int(trace.pairs[reached.argmax()])


def never(trace: Trace) -> NotMeasured | None:
    """Return what an event that no probe shows is worth.

    Returns:
        None (right-censored) where the run spent its budget or went non-finite;
        NOT_MEASURED where it was stopped first and the event might still have come.
    """
    return None if trace.facts.complete else NOT_MEASURED
