"""Runs in this process: trained, referees and trainer side by side, or computed.

`pool` trains in other processes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from codonbench.contracts import Estimator, Model, Reference
from codonbench.execution.prepare import Job
from codonbench.execution.referees import RefereeGroup
from codonbench.protocols.referee import Referee, RunSetup, Watch, unwatched
from codonbench.records.unfinished import Checkpoints
from codonbench.training.request import TrainResult, last_words

TOGETHER = 10
"""Seeds trained together: what more would share of a step's overhead is little."""


def train(
    job: Job, watch: Watch, checkpoints: Checkpoints | None = None
) -> Iterator[tuple[Referee, TrainResult]]:
    """Train the model once for each spec, in this process; yield each as it ends.

    An exception of the plugin ends in status ``error``, Ctrl-C in ``interrupted``, after which
    no more follow; what was seen until then is kept.

    Raises:
        UsageError: The model cannot serve this task.
    """
    from codonbench.engines.train import train_runs
    from codonbench.training.determinism import pin_arithmetic, torch_facts

    pin_arithmetic(job.run_specs[0].threads)
    facts = torch_facts(job.run_specs[0].device == "cuda")
    model = job.entry.cls
    assert issubclass(model, Model | Estimator)
    every = None if checkpoints is None else checkpoints.every
    for i in range(0, len(job.run_specs), TOGETHER):
        part = replace(job, run_specs=job.run_specs[i : i + TOGETHER])
        group = RefereeGroup(part, watch, checkpoints, facts)
        interrupted = False
        for run, result in _by_turns(train_runs(model, job.config, group.requests(), group, every)):
            result.facts = facts
            yield group.end(run, result), result
            interrupted = result.status == "interrupted"
        if interrupted:
            return


def _by_turns(runs: Iterator[tuple[int, TrainResult]]) -> Iterator[tuple[int, TrainResult]]:
    """Let runs train by an arithmetic of their own, which whoever takes them in does not share."""
    from codonbench.training.determinism import subnormals_as_zero

    while True:
        with subnormals_as_zero():
            ended = next(runs, None)
        if ended is None:
            return
        yield ended


def compute(job: Job) -> Iterator[tuple[Referee, TrainResult]]:
    """Lay out a computed row's constant outputs as if it had been evaluated all through each run.

    An exception of the plugin ends in status ``error``.

    Raises:
        UsageError: The row cannot serve this task.
    """
    from codonbench.training.determinism import pin_arithmetic, seeded_globals

    row = job.entry.cls
    assert issubclass(row, Reference)
    pin_arithmetic(job.run_specs[0].threads)
    for run_spec in job.run_specs:
        setup = RunSetup(run_spec, job.dataset, job.protocol, job.batch_size)
        referee, result, outputs = Referee(setup, unwatched), TrainResult(known={}), None
        with seeded_globals(run_spec.seed), last_words(row, result):
            plugin = row(job.config)
            result.known = dict(plugin.values(setup.dataset.spec, setup.dataset.frequencies))
            outputs = plugin.logits(setup.dataset.spec)
        if outputs is not None:
            referee.take_constant(outputs)
        yield referee, result
