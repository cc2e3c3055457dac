"""Repeat a recorded run from its record."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from codonbench.contracts import Estimator, Model, TaskView, Trajectory
from codonbench.contracts.model import from_record
from codonbench.contracts.run_record import RunRecord
from codonbench.contracts.run_spec import RULES, RunRequest, configure
from codonbench.errors import ConfigError, DataError, UnknownNameError, UsageError
from codonbench.execution.parts import repeat_whole
from codonbench.execution.prepare import Job, prepare, task_and_data
from codonbench.execution.run import Train, run, train_here
from codonbench.plugins.entries import ModelEntry
from codonbench.plugins.registry import Registry
from codonbench.protocols.referee import Referee, RunSetup, Watch, unwatched
from codonbench.records.unfinished import Checkpoints
from codonbench.scoring.score import task_of
from codonbench.training.determinism import seeded_globals
from codonbench.training.request import TrainResult

_RUN_CODE = ("trust_remote_code", "allow_pickle")
"""Fields of model ``hf`` that allow a checkpoint to run its own code."""

Follow = Callable[[Job], AbstractContextManager[Watch]]
"""Returns the context of a job's runs, in which a `Watch` follows them."""


def unfollowed(job: Job) -> AbstractContextManager[Watch]:
    """Return a context without a watch."""
    return nullcontext(unwatched)


@dataclass(frozen=True)
class Repetition:
    """A repeated run.

    Attributes:
        recorded: The original record.
        record: The record of the repetition.
        trajectory: The trajectory of the repetition.
        module: The trained module on the device of the spec, with permuted class ids
            (`RunSetup.labels`); None for computed rows, if building failed, or if it was trained in
            another process.
        estimator: The fitted estimator, if it is one; else None.
        job: Plugin, configuration and data.
    """

    recorded: RunRecord
    record: RunRecord
    trajectory: Trajectory
    module: torch.nn.Module | None
    estimator: Estimator | None
    job: Job

    @property
    def same_weights(self) -> bool:
        """Whether the final weights are bit for bit the recorded ones, or neither run has any."""
        return self.record.weights_sha256 == self.recorded.weights_sha256

    @property
    def setup(self) -> RunSetup:
        """The setup of the run: its targets, and the permutation of class ids."""
        job = self.job
        return RunSetup(self.recorded.run_spec, job.dataset, job.protocol, job.batch_size)


def repeat(
    record: RunRecord,
    registry: Registry,
    cache: Path,
    data: str | None = None,
    trainer: Train = train_here,
    follow: Follow = unfollowed,
) -> Repetition:
    """Repeat a recorded run without storing anything.

    Args:
        record: The record.
        registry: The plugins.
        cache: As for `execution.prepare.prepare`.
        data: Path of the data, if the name in the record does not suffice.
        trainer: Trains the run, by default in this process; other processes return no module.
        follow: Returns the context in which the run is followed.

    Raises:
        UsageError: The model or the data are not available, or the rules have changed.
        KeyboardInterrupt: Ctrl-C ended the run.
    """
    if record.run_spec.rules not in RULES:
        raise ConfigError(
            f"record {record.name} was made under rules {record.run_spec.rules}; "
            f"this codonbench has rules {' and '.join(RULES)}"
        )
    seconds = record.run_spec.budget_seconds
    if seconds is not None:
        raise ConfigError(
            f"record {record.name} has a budget of {seconds:g} seconds, which two runs do not "
            "spend alike; only runs with a budget of training items alone can be repeated"
        )
    job = _same_job(record, registry, cache, data)
    results: list[TrainResult] = []

    def train_and_keep(
        job: Job, watch: Watch, checkpoints: Checkpoints | None
    ) -> Iterator[tuple[Referee, TrainResult]]:
        for referee, result in trainer(job, watch, checkpoints):
            results.append(result)
            yield referee, result

    with follow(job) as watch:
        if job.protocol.joins and record.run_spec.fold is None:
            again, trajectory = repeat_whole(job, registry, train_and_keep, watch)
            results.clear()  # one module for each fold, none for the whole run
        else:
            ((again, trajectory),) = run(job, registry, watch, train_and_keep)
    if again.status == "interrupted":  # by Ctrl-C, so there is nothing to compare
        raise KeyboardInterrupt
    found = results[0] if results else TrainResult()
    return Repetition(record, again, trajectory, found.module, found.estimator, job)


@contextmanager
def naming_its_file(record: RunRecord) -> Iterator[None]:
    """Add to errors on an unknown model the plugin file that the record names.

    Raises:
        UnknownNameError: The error raised within, with the missing option.
    """
    try:
        yield
    except UnknownNameError as error:
        file = record.plugin.file
        hint = f"; its record came from {file}: add --plugin {file}" if file else ""
        raise UnknownNameError(f"{error}{hint}") from error


def model_of(record: RunRecord, registry: Registry) -> ModelEntry:
    """Return the model of a record.

    Raises:
        UnknownNameError: The model is not installed; the message names the file it came from.
        ConfigError: The model would run code of a checkpoint that the user does not trust.
    """
    config, trusted = record.run_spec.config, registry.selection.trusted
    checkpoint = str(config.get("checkpoint"))
    if config.get("revision"):  # on the hub anyone can propose a revision: refs/pr/7
        checkpoint += f"@{config['revision']}"
    for field in _RUN_CODE:
        if config.get(field) and trusted is not None and checkpoint not in trusted:
            raise ConfigError(
                f"record {record.name} says {field}: code that comes with checkpoint "
                f"{checkpoint!r} would run; read it, and allow it by --trust "
                f"{shlex.quote(checkpoint)}"
            )
    with naming_its_file(record):
        return registry.model(record.model)


def build(record: RunRecord, view: TaskView, registry: Registry) -> torch.nn.Module:
    """Return a record's module before training, with random weights.

    Raises:
        UsageError: The model is not installed, or is computed, not trained.
    """
    entry = model_of(record, registry)
    if not issubclass(entry.cls, Model):
        raise UsageError(f"model {record.model!r} is computed, not trained: it has no module")
    config = from_record(entry.cls.Config, record.run_spec.config)
    plugin = entry.cls(entry.cls.Config.model_validate(config))
    with seeded_globals(record.seed):
        return plugin.build(view)


def made_on(record: RunRecord, registry: Registry, cache: Path, data: str) -> bool:
    """Return whether a record was made on the data at a path.

    Raises:
        UsageError: The data cannot be loaded.
    """
    *_, dataset = task_and_data(_request_of(record, registry, data), registry, cache)
    return dataset.checksum == record.run_spec.data_checksum


def _request_of(record: RunRecord, registry: Registry, data: str | None) -> RunRequest:
    """Return a run request with a record's data and its model's default configuration."""
    options = dict(record.run_spec.task_options)
    table = record.task not in registry.tasks and task_of(record, {}) is not None
    return RunRequest(
        model=record.model,
        task=None if table else record.task,
        protocol=record.run_spec.protocol,
        data=data or record.run_spec.data,
        seeds=(record.seed,),
        device=record.run_spec.device,
        protocol_overrides=record.run_spec.protocol_options,
        folds=None if record.run_spec.protocol else 0,
        task_overrides={
            name: value if isinstance(value, str) else json.dumps(value)
            for name, value in (options | ({"name": record.task} if table else {})).items()
            if value is not None
        },
    )


def _same_job(record: RunRecord, registry: Registry, cache: Path, data: str | None) -> Job:
    """Return the job of the record's spec; its data must have the record's checksum."""
    model_of(record, registry)  # its errors name the file of the record's model
    request = _request_of(record, registry, data)
    job = prepare(request, registry, cache)
    if job.dataset.checksum != record.run_spec.data_checksum:
        raise DataError(
            f"record {record.name} was made on data {record.run_spec.data_checksum[:12]}, but "
            f"{request.data!r} holds {job.dataset.checksum[:12]}"
        )
    owner = f"record {record.name}, as its model is now"
    recorded = from_record(type(job.config), record.run_spec.config)
    config = configure(type(job.config), recorded, {}, owner)
    values, usual = (each.model_dump(mode="json") for each in (config, job.config))
    changes = {field: value for field, value in values.items() if value != usual.get(field)}
    # A plugin that is not imported here has got the record's values in its worker.
    changes = job.overrides or changes
    return replace(job, config=config, overrides=changes, run_specs=(record.run_spec,))
