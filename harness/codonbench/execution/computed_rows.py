"""Rows that are computed, not trained: bounds and oracles."""

from __future__ import annotations

from collections.abc import Iterator

from codonbench.contracts import Reference
from codonbench.execution.prepare import Job
from codonbench.protocols.referee import Referee, unwatched
from codonbench.protocols.setup import RunSetup
from codonbench.training.result import TrainResult, last_words


def compute(job: Job) -> Iterator[tuple[Referee, TrainResult]]:
    """Lay out a computed row's constant outputs as if it had been evaluated all through each run.

    An exception of the plugin ends in status ``error``.

    Raises:
        UsageError: The row cannot serve this task.
    """
    row = job.entry.cls
    assert issubclass(row, Reference)
    for run_spec in job.run_specs:
        setup = RunSetup(run_spec, job.dataset, job.protocol, job.config.batch_size)
        yield _compute(row, job, setup)


def _compute(row: type[Reference], job: Job, setup: RunSetup) -> tuple[Referee, TrainResult]:
    from codonbench.training.seeding import seeded_globals  # PyTorch

    result, outputs = TrainResult(known={}), None
    referee = Referee(setup, unwatched)
    with seeded_globals(setup.run_spec.seed), last_words(row, result):
        plugin = row(job.config)
        result.known = dict(plugin.values(setup.dataset.spec, setup.dataset.frequencies))
        outputs = plugin.logits(setup.dataset.spec)
    if outputs is not None:
        referee.take_constant(outputs)
    return referee, result
