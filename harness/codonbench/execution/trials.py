"""A trial of a study: trained and looked at on validation, by whoever trains, wherever that is."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

from codonbench.execution.run import Job, Train
from codonbench.protocols.referee import unwatched
from codonbench.protocols.trial import Look, Trial


class Tried(NamedTuple):
    """What comes of a trial.

    Attributes:
        score: As in `Trial`; None where there was no look.
        seconds: That it took to build, train and evaluate.
        status: As in a record.
        error: Why it has failed; empty where it has not.
        kind: The name of the exception, where it could not be begun.
    """

    score: float | None
    seconds: float
    status: str
    error: str = ""
    kind: str = ""


def tried(job: Job, train: Train, look: Look) -> Tried:
    """Make a trial of a job's only run.

    Args:
        job: The run, under its task's own protocol.
        train: Trains it.
        look: Told of each look at validation.
    """
    trial = Trial(look)
    ((referee, result),) = train(replace(job, protocol=trial), unwatched, None)
    assert referee.test_outputs is None
    seconds = result.build_seconds + result.train_seconds + result.evaluate_seconds
    return Tried(trial.score, seconds, result.status, result.error or "")
