"""A recorded run made again from its record, with the module that it trains."""

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
"""Fields of model ``hf`` that let a checkpoint run code of its own."""

Follow = Callable[[Job], AbstractContextManager[Watch]]
"""Opens what watches the runs of a job."""


def unfollowed(job: Job) -> AbstractContextManager[Watch]:
    """Watch none."""
    return nullcontext(unwatched)


@dataclass(frozen=True)
class Repetition:
    """A recorded run, made again.

    Attributes:
        recorded: The record it was made from.
        record: The record of the repetition.
        trajectory: The trajectory of the repetition.
        module: What was trained, on the device of the spec; None for computed rows, where
            building it failed, and where another process trained it. Its class ids are
            permuted: `RunSetup.labels` reveals them.
        estimator: What was fitted in place of a module; None likewise.
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
        """Whether the final weights are the recorded ones, to the bit; so are two runs without."""
        return self.record.weights_sha256 == self.recorded.weights_sha256

    @property
    def setup(self) -> RunSetup:
        """What spec and data fix: the run's own labels, and how class ids are permuted."""
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
    """Make a recorded run again; nothing is stored.

    Args:
        record: What to repeat.
        registry: The plugins.
        cache: As in `planning.prepare`.
        data: Where the data are, if the record's own name for them is not enough.
        trainer: What trains; in this process by default. From another no module comes back.
        follow: Opens what watches the run, for a person who waits.

    Raises:
        UsageError: The model or the data are not to be had here, or the rules have changed.
        KeyboardInterrupt: Ctrl-C ended it before its end.
    """
    if record.run_spec.rules not in RULES:
        raise ConfigError(
            f"record {record.name} was made under rules {record.run_spec.rules}; "
            f"this codonbench has rules {' and '.join(RULES)}"
        )
    seconds = record.run_spec.budget_seconds
    if seconds is not None:
        raise ConfigError(
            f"record {record.name} was made with a budget of {seconds:g} seconds, and no clock "
            "stops twice at the same pair; only a run whose budget is in pairs can be repeated"
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
            results.clear()  # several modules, none of which is the run's
        else:
            ((again, trajectory),) = run(job, registry, watch, train_and_keep)
    if again.status == "interrupted":  # by Ctrl-C: it says nothing of the record
        raise KeyboardInterrupt
    found = results[0] if results else TrainResult()
    return Repetition(record, again, trajectory, found.module, found.estimator, job)


@contextmanager
def naming_its_file(record: RunRecord) -> Iterator[None]:
    """Add to what is said of an unknown model which file the record's own came from.

    Raises:
        UnknownNameError: What was raised within, and which option is missing.
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
        UnknownNameError: It is not to be had here; names the file that it came from.
        ConfigError: It would run code that the record names and that nobody trusts.
    """
    config, trusted = record.run_spec.config, registry.selection.trusted
    checkpoint = str(config.get("checkpoint"))
    if config.get("revision"):  # anybody may propose one of a repository on the hub: refs/pr/7
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
    """Return a record's module as it is before its first pair, with some random weights.

    Raises:
        UsageError: The model is not to be had here, or is computed and not trained.
    """
    entry = model_of(record, registry)
    if not issubclass(entry.cls, Model):
        raise UsageError(f"model {record.model!r} is computed, not trained: it has no module")
    config = from_record(entry.cls.Config, record.run_spec.config)
    plugin = entry.cls(entry.cls.Config.model_validate(config))
    with seeded_globals(record.seed):
        return plugin.build(view)


def made_on(record: RunRecord, registry: Registry, cache: Path, data: str) -> bool:
    """Return whether a record was made on the data that are in a place.

    Raises:
        UsageError: The data are not to be had.
    """
    *_, dataset = task_and_data(_request_of(record, registry, data), registry, cache)
    return dataset.checksum == record.run_spec.data_checksum


def _request_of(record: RunRecord, registry: Registry, data: str | None) -> RunRequest:
    """Return the request that leads to a record's data, and to its model as that is by default."""
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
    model_of(record, registry)  # `prepare` does not know where a record's model came from
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
    # Of what is not imported here the worker was told the record's own values, and said so.
    changes = job.overrides or changes
    return replace(job, config=config, overrides=changes, run_specs=(record.run_spec,))
