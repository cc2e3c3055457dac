"""From a request to specs: names looked up, fields validated, data loaded."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from codonbench.contracts import Dataset, ModelConfig, Task, TaskOptions
from codonbench.contracts.run_spec import RULES_VERSION, RunRequest, RunSpec, configure
from codonbench.errors import BenchError, ConfigError, PluginError
from codonbench.execution.machine import choose_device
from codonbench.plugins.entries import ModelEntry, TaskEntry
from codonbench.plugins.registry import Registry
from codonbench.protocols.base import Protocol


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
    config: ModelConfig
    overrides: dict[str, Any]
    task: Task
    dataset: Dataset
    protocol: Protocol
    run_specs: tuple[RunSpec, ...]


def prepare(request: RunRequest, registry: Registry, cache: Path) -> Job:
    """Return the job a request asks for: names looked up, fields validated, data loaded.

    Raises:
        UsageError: Something in the request is unknown, out of range or unusable.
    """
    entry = registry.model(request.model)
    chosen = registry.task(request.task)
    task = chosen.task
    owner = f"model {request.model!r}"
    config = configure(entry.cls.Config, dict(entry.preset), request.overrides, owner)
    named = configure(entry.cls.Config, dict(entry.preset), {}, owner).model_dump(mode="json")
    values = config.model_dump(mode="json")
    overrides = {field: value for field, value in values.items() if value != named[field]}
    options = configure(task.Options, {}, request.task_overrides, f"task {task.name!r}")
    device = choose_device(request.device)
    data = task.default_data if request.data is None else request.data
    dataset = _load(chosen, data, options, cache, request.offline)
    if config.class_weights != "none" and dataset.spec.target.class_weights is None:
        raise ConfigError(
            f"model {request.model!r} asks for class weights, but task {task.name!r} has none; "
            "use --set class_weights=none"
        )
    protocol = registry.protocol(dataset.spec.protocol)
    epochs = request.epochs or dataset.spec.default_epochs
    run_spec = RunSpec(
        rules=RULES_VERSION,
        task=task.name,
        task_version=task.version,
        task_options=options.model_dump(mode="json"),
        data=dataset.source,
        data_checksum=dataset.checksum,
        model=request.model,
        model_version=entry.cls.info.version,
        config=values,
        seed=0,
        budget_pairs=request.pairs or epochs * dataset.spec.train_size,
        stop="budget" if request.full else protocol.stop_rules[0],
        salt=request.salt,
        device=device,
        threads=request.threads,
        engine=request.engine,
    )
    run_specs = tuple(run_spec.model_copy(update={"seed": seed}) for seed in request.seeds)
    return Job(entry, config, overrides, task, dataset, protocol, run_specs)


def _load(entry: TaskEntry, data: str, options: TaskOptions, cache: Path, offline: bool) -> Dataset:
    """Load a task's data; what its plugin stumbles over travels on under its name."""
    try:
        return entry.task.load(data, options, cache=cache, offline=offline)
    except (BenchError, OSError):
        raise
    except Exception as error:
        owner = f"task {entry.name!r} of {entry.origin.distribution or 'nobody installed'}"
        raise PluginError(f"{owner} failed to load {data!r}: {error!r}") from error
