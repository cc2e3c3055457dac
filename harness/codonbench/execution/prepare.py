"""From a request to specs: names looked up, fields validated, data loaded."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from codonbench.contracts import (
    BaseConfig,
    Dataset,
    Estimator,
    ModelConfig,
    Task,
    TaskOptions,
    TaskSpec,
)
from codonbench.contracts.model import as_recorded
from codonbench.contracts.run_spec import RULES_VERSION, RunRequest, RunSpec, configure
from codonbench.data.own_table import TableDescription, is_table, open_table
from codonbench.errors import BenchError, ConfigError, PluginError
from codonbench.execution.machine import choose_device
from codonbench.plugins.entries import ModelEntry, TaskEntry
from codonbench.plugins.registry import Registry
from codonbench.protocols.referee import Protocol


@dataclass(frozen=True)
class Job:
    """What a request comes to.

    Attributes:
        entry: The plugin.
        config: Its validated configuration.
        overrides: Where that departs from the configuration of the name asked for.
        task: Says how its runs are ranked.
        dataset: The data.
        protocol: By which protocol the task is run.
        run_specs: One a seed.
    """

    entry: ModelEntry
    config: BaseConfig
    overrides: dict[str, Any]
    task: Task
    dataset: Dataset
    protocol: Protocol
    run_specs: tuple[RunSpec, ...]

    @property
    def batch_size(self) -> int | None:
        """Pairs in a batch; None where all are learned at once."""
        return self.config.batch_size if isinstance(self.config, ModelConfig) else None

    @property
    def weighted(self) -> bool:
        """Whether the model asks for the task's own class weights."""
        return isinstance(self.config, ModelConfig) and self.config.class_weights in ("sum", "n")


def prepare(request: RunRequest, registry: Registry, cache: Path) -> Job:
    """Return the job a request asks for: names looked up, fields validated, data loaded.

    Raises:
        UsageError: Something in the request is unknown, out of range or unusable.
    """
    entry = registry.model(request.model)
    owner = f"model {request.model!r}"
    config = configure(entry.cls.Config, dict(entry.preset), request.overrides, owner)
    named = configure(entry.cls.Config, dict(entry.preset), {}, owner).model_dump(mode="json")
    values = config.model_dump(mode="json")
    overrides = {field: value for field, value in values.items() if value != named[field]}
    device = choose_device(request.device)
    task, options, dataset = _task_and_data(request, registry, cache)
    protocol = registry.protocol(dataset.spec.protocol)
    _check_class_weights(request.model, config, dataset.spec, protocol)
    at_once = issubclass(entry.cls, Estimator)
    if at_once and not protocol.tells_targets:
        raise ConfigError(
            f"model {request.model!r} is fitted once on all training items, but task "
            f"{task.name!r} asks all along its training; choose a model that is trained batch by "
            "batch, or a task of the protocol 'supervised'"
        )
    if at_once and (request.epochs or 1) > 1:
        raise ConfigError(
            f"model {request.model!r} is fitted once, not for {request.epochs} epochs; "
            "leave out --epochs"
        )
    if request.seconds is not None and (at_once or not protocol.timed):
        why = "is fitted in one go" if at_once else f"counts pairs on task {task.name!r}"
        raise ConfigError(
            f"model {request.model!r} {why}, and no clock ends its runs; leave out --seconds"
        )
    default = 1 if at_once else dataset.spec.default_epochs
    run_spec = RunSpec(
        rules=RULES_VERSION,
        task=task.name,
        task_version=task.version,
        task_options=options.model_dump(mode="json"),
        data=dataset.source,
        data_checksum=dataset.checksum,
        model=request.model,
        model_version=entry.cls.info.version,
        config=as_recorded(values, overrides),
        seed=0,
        budget_pairs=request.budget_pairs(dataset.spec.train_size, default),
        budget_seconds=request.seconds,
        stop="budget" if request.full or at_once else protocol.stop_rules[0],
        salt=request.salt,
        device=device,
        threads=request.threads,
        engine=request.engine,
    )
    run_specs = tuple(run_spec.model_copy(update={"seed": seed}) for seed in request.seeds)
    return Job(entry, config, overrides, task, dataset, protocol, run_specs)


def _check_class_weights(
    model: str, config: BaseConfig, spec: TaskSpec, protocol: Protocol
) -> None:
    """Raise ConfigError where the task has no class weights of the kind that a model asks for."""
    weighting = config.class_weights if isinstance(config, ModelConfig) else "none"
    asked = f"model {model!r} asks for class_weights={weighting}, but task {spec.name!r} has none"
    otherwise = "use --set class_weights=none"
    if weighting == "balanced":
        if spec.target.kind != "classes" or not protocol.tells_targets:
            raise ConfigError(f"{asked} that are known before the first pair; {otherwise}")
    elif weighting != "none" and spec.target.class_weights is None:
        raise ConfigError(f"{asked}; {otherwise}")


def _task_and_data(
    request: RunRequest, registry: Registry, cache: Path
) -> tuple[Task, TaskOptions, Dataset]:
    """Return the task that is asked for, its options and its data."""
    if (described := _table(request, registry)) is not None:
        return open_table(
            request.data, described, request.task_overrides, registry.metrics_of, registry.tasks
        )
    chosen = registry.task(request.task)
    task = chosen.task
    options = configure(task.Options, {}, request.task_overrides, f"task {task.name!r}")
    data = task.default_data if request.data is None else request.data
    return task, options, _load(chosen, data, options, cache, request.offline)


def _table(request: RunRequest, registry: Registry) -> str | None:
    """Return the description of the table that a request means, empty for none; None for a task.

    A task that is named ``*.toml`` is a description. Where none is named, data are a table that
    are called like one and are not the default task's own, or of which columns are said.
    """
    if request.task is not None:
        return request.task if request.task.endswith(".toml") else None
    default = registry.default_task().task
    columns = request.task_overrides.keys() & TableDescription.model_fields.keys()
    if columns - default.Options.model_fields.keys():
        return ""
    data = request.data
    return "" if data is not None and data not in default.data_names and is_table(data) else None


def _load(entry: TaskEntry, data: str, options: TaskOptions, cache: Path, offline: bool) -> Dataset:
    """Load a task's data; what its plugin stumbles over travels on under its name."""
    try:
        return entry.task.load(data, options, cache=cache, offline=offline)
    except (BenchError, OSError):
        raise
    except Exception as error:
        owner = f"task {entry.name!r} of {entry.origin.distribution or 'nobody installed'}"
        raise PluginError(f"{owner} failed to load {data!r}: {error!r}") from error
