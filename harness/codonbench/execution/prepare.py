"""From a request to a job: names looked up, fields validated, data loaded; preset files read.

A preset file holds a named configuration, as `bench tune` writes it: ``bench run --preset-file``.

    [preset]
    name = "cnn-mrfp"
    model = "cnn"

    [config]
    learning_rate = 0.002

    [tuning]
    trials = 20
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from contextlib import chdir
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import Field

from codonbench.contracts import (
    BaseConfig,
    Dataset,
    Estimator,
    Frozen,
    ModelConfig,
    Name,
    Reference,
    SplitMetric,
    Task,
    TaskOptions,
    TaskSpec,
)
from codonbench.contracts.base import DeviceKind
from codonbench.contracts.model import OFF, GradientConfig, as_recorded
from codonbench.contracts.run_record import DatasetFacts, Environment, Tuning
from codonbench.contracts.run_spec import RunRequest, RunSpec, configure, read_value, rules_of
from codonbench.data.own_table import TableDescription, fasta_title, is_table, open_table
from codonbench.errors import (
    BenchError,
    ConfigError,
    DataError,
    PluginError,
    UnknownNameError,
)
from codonbench.execution.machine import choose_device
from codonbench.plugins.entries import ModelEntry, TaskEntry
from codonbench.plugins.failures import place
from codonbench.plugins.registry import Registry
from codonbench.plugins.shipped_files import read_tables
from codonbench.protocols.controls import UNTRAINED, controlled
from codonbench.protocols.folds import Folds
from codonbench.protocols.referee import Primary, Protocol
from codonbench.records.files import check_storable, is_offline
from codonbench.scoring.score import OFFICIAL_SEEDS


@dataclass(frozen=True)
class Job:
    """The runs of a request, with all that they share.

    Attributes:
        entry: The plugin.
        config: Its validated configuration.
        overrides: Fields that differ from the named configuration.
        task: The task.
        dataset: The data.
        protocol: Protocol of the runs.
        run_specs: One a seed.
        primary: Primary metric, shown during training; None if it is no metric of a split.
        plain_because: Why the plain loop must train them; empty if any engine may.
        tuning: How the configuration was found, if its preset file says so.
        environment: The plugin's own environment; None if it uses codonbench's packages.
    """

    entry: ModelEntry
    config: BaseConfig
    overrides: dict[str, Any]
    task: Task
    dataset: Dataset
    protocol: Protocol
    run_specs: tuple[RunSpec, ...]
    primary: Primary | None = None
    plain_because: str = ""
    tuning: Tuning | None = None
    environment: Environment | None = None

    def anew(self, run: int, why: str) -> Job:
        """Return one of its runs alone, for the plain loop."""
        return replace(self, run_specs=(self.run_specs[run],), plain_because=why)

    @property
    def batch_size(self) -> int | None:
        """Pairs in a batch; None where all are learned at once."""
        return self.config.batch_size if isinstance(self.config, ModelConfig) else None

    @property
    def weighted(self) -> bool:
        """Whether the model uses the task's own class weights."""
        return isinstance(self.config, ModelConfig) and self.config.class_weights in ("sum", "n")


def prepare(
    request: RunRequest, registry: Registry, cache: Path, device: DeviceKind | None = None
) -> Job:
    """Return the job of a request: names looked up, fields validated, data loaded.

    Args:
        request: The request.
        registry: The plugins.
        cache: Where downloads are kept.
        device: Device of the runs; by default the requested one, if available.

    Raises:
        UsageError: Something in the request is unknown, out of range or unusable.
    """
    request, tuning = with_preset(request)
    entry, config, overrides = registry.configured(request.model, request.overrides)
    if is_offline(request.offline) and getattr(config, "download", False):
        raise ConfigError(
            f"model {request.model!r} is to ask the network (download=true), which --offline or "
            "CODONBENCH_OFFLINE forbids; without download=true it takes what was downloaded before"
        )
    device = device or choose_device(request.device)
    try:
        task, options, dataset = task_and_data(request, registry, cache)
    except ConfigError as error:
        fields = entry.fields or type(config).model_fields
        own = [f"--set {n}={v}" for n, v in request.options_of_task.items() if n in fields]
        if not own:
            raise
        message = f"model {request.model!r} has such a setting: {' '.join(own)}"
        raise ConfigError(f"{error}; {message}") from error
    dataset, protocol, options_of_it = _under_protocol(request, registry, task, dataset)
    if options.control is not None:
        dataset = controlled(dataset, task, options.control, protocol.controls, request.salt)
        _check_control(entry, options.control, task)
    _check_class_weights(request.model, config, dataset.spec, protocol)
    _check_estimator(request, entry, config, task, protocol)
    at_once = issubclass(entry.cls, Estimator)
    _check_budget(request, config, task, protocol, at_once=at_once)
    default = 1 if at_once else dataset.spec.default_epochs
    epoch_pairs = protocol.epoch_pairs(options_of_it, dataset)
    if at_once and protocol.name != task.protocol:  # all that a part may be given
        epoch_pairs = len(dataset.items)
    run_spec = RunSpec(
        rules=rules_of(request.salt),
        task=task.name,
        task_version=task.version,
        task_options=options.model_dump(mode="json"),
        data=dataset.source,
        data_checksum=dataset.checksum,
        model=entry.name,
        model_version=entry.cls.info.version,
        config=as_recorded(config.model_dump(mode="json"), overrides),
        seed=0,
        budget_pairs=request.budget_pairs(epoch_pairs, default)
        if protocol.passes is None
        else protocol.passes * epoch_pairs,
        budget_seconds=request.seconds,
        stop="budget" if request.full or at_once else protocol.stop_rules[0],
        protocol=None if protocol.name == task.protocol else protocol.name,
        track="pretrained" if entry.cls.info.pretrained_on else None,
        salt=request.salt,
        device=device,
        threads=request.threads,
        engine=request.engine,
        protocol_options=options_of_it.model_dump(mode="json"),
    )
    values = {
        "run_spec": run_spec.model_dump(mode="json"),
        "overrides": overrides,
        "info": entry.cls.info.model_dump(mode="json"),
        "dataset": facts_of(dataset).model_dump(mode="json"),
    }
    check_storable(f"model {request.model!r} on task {task.name!r}", values)
    seeds = (run_spec.model_copy(update={"seed": seed}) for seed in request.seeds)
    run_specs = tuple(part for spec in seeds for part in protocol.parts(spec, dataset))
    _check_ranking(task, dataset.spec, registry)
    primary = primary_of(task, dataset.spec, registry)
    plain = "nothing is trained" if protocol.passes == 0 else ""
    return Job(entry, config, overrides, task, dataset, protocol, run_specs, primary, plain, tuning)


def _check_control(entry: ModelEntry, control: str, task: Task) -> None:
    """Raise ConfigError where a model cannot be run under a control of the protocol's."""
    if control in task.controls:
        return
    if issubclass(entry.cls, Reference):
        raise ConfigError(
            f"model {entry.name!r} is computed, not trained; leave out --control {control}"
        )
    if control == UNTRAINED and issubclass(entry.cls, Estimator):
        raise ConfigError(
            f"model {entry.name!r} is fitted in one go and has no untrained state; leave out "
            f"--control {control}"
        )


def _check_estimator(
    request: RunRequest, entry: ModelEntry, config: BaseConfig, task: Task, protocol: Protocol
) -> None:
    """Raise ConfigError where the model is an estimator, and the protocol has no use for one."""
    cls = entry.cls
    if not issubclass(cls, Estimator):
        return
    if not protocol.tells_targets:
        raise ConfigError(
            f"model {request.model!r} is fitted once on all training items, but task "
            f"{task.name!r} evaluates during training; choose a model that is trained batch by "
            "batch, or a task of the protocol 'supervised'"
        )
    own_answer = cls.score_variants is not Estimator.score_variants
    if protocol.passes == 0 and not own_answer and entry.untrusted is None:
        cls(config).score_variants(None, None)  # says that it has to be fitted


def _check_budget(
    request: RunRequest, config: BaseConfig, task: Task, protocol: Protocol, *, at_once: bool
) -> None:
    """Raise ConfigError if the requested budget does not suit protocol or model."""
    if protocol.passes is not None and (request.epochs or request.pairs or request.examples):
        raise ConfigError(f"the protocol {protocol.name!r} fixes the budget; leave it out")
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
    if not (request.by_the_clock and isinstance(config, GradientConfig)):
        return
    for name in ("schedule", "warmup"):
        if (value := getattr(config, name)) != OFF[name]:
            raise ConfigError(
                f"{name}={value} goes by the steps of the budget, which --seconds alone leaves "
                "open; give --epochs or --examples beside it"
            )


def primary_of(task: Task, spec: TaskSpec, registry: Registry) -> Primary | None:
    """Return the primary metric of a task, if it is a metric of a split."""
    name, lower = task.ranking.metric, task.ranking.direction == "lower"
    scores = [metric for metric in registry.metrics_of(spec) if isinstance(metric, SplitMetric)]
    return next((Primary(m, name, lower) for m in scores if name in m.outputs(spec)), None)


def _check_ranking(task: Task, spec: TaskSpec, registry: Registry) -> None:
    """Raise UnknownNameError if no metric gives the primary value of a task."""
    wanted = task.ranking.metric
    given = [name for metric in registry.metrics_of(spec) for name in metric.outputs(spec)]
    if wanted in given:
        return
    close = difflib.get_close_matches(wanted, given, n=1)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    raise UnknownNameError(
        f"task {task.name!r} is ranked by {wanted!r}, which no metric gives of it{hint}"
        f"{registry.untrusted}"
    )


def _under_protocol(
    request: RunRequest, registry: Registry, task: Task, dataset: Dataset
) -> tuple[Dataset, Protocol, Frozen]:
    """Return the data as the requested protocol uses them, the protocol, and its options.

    Raises:
        UsageError: The task cannot be run by it, or the data cannot as its options say.
    """
    spec, name, overrides = dataset.spec, request.protocol, request.protocol_overrides
    folds = str(task.folds) if request.folds is None else request.folds
    if name is None and folds != "0":
        name, overrides = Folds.name, {"folds": folds}
    own = registry.protocol(spec.protocol)
    protocol = own if name is None else registry.protocol(name)
    if protocol is not own and not (own.tells_targets and protocol.tells_targets):
        raise ConfigError(
            f"task {spec.name!r} is run by its own protocol, {own.name!r}, alone; leave out "
            f"--protocol {protocol.name}"
        )
    if protocol.passes != 0 and own.tells_targets and not spec.train_size:
        raise ConfigError(
            f"task {spec.name!r} has no training items, and by the protocol {protocol.name!r} a "
            "model is trained; use --protocol zero_shot"
        )
    options = configure(protocol.Options, {}, overrides, f"protocol {protocol.name!r}")
    if protocol is own:
        return dataset, own, options
    options = protocol.resolved(options, dataset)
    spec = spec.model_copy(update={"protocol": protocol.name})
    return replace(dataset, spec=spec), protocol, options


def _check_class_weights(
    model: str, config: BaseConfig, spec: TaskSpec, protocol: Protocol
) -> None:
    """Raise ConfigError if the task lacks the class weights that a model requests."""
    weighting = config.class_weights if isinstance(config, ModelConfig) else "none"
    weights = f"model {model!r} asks for class_weights={weighting}, but task {spec.name!r} has none"
    otherwise = "use --set class_weights=none"
    if weighting == "balanced":
        if spec.target.kind != "classes" or not protocol.tells_targets:
            raise ConfigError(f"{weights} that are known before the first pair; {otherwise}")
    elif weighting != "none" and spec.target.class_weights is None:
        raise ConfigError(f"{weights}; {otherwise}")


def task_and_data(
    request: RunRequest, registry: Registry, cache: Path
) -> tuple[Task, TaskOptions, Dataset]:
    """Return the requested task, its options and its data."""
    if (described := _table(request, registry)) is not None:
        return open_table(
            request.data, described, request.options_of_task, registry.metrics_of, registry.tasks
        )
    chosen = registry.task(request.task)
    task = chosen.task
    options = configure(task.Options, {}, request.options_of_task, f"task {task.name!r}")
    data = task.default_data if request.data is None else request.data
    try:
        return task, options, _load(chosen, data, options, cache, request.offline)
    except DataError as error:
        if request.task is not None or not fasta_title(Path(data)):
            raise
        raise DataError(
            f"{error}; that is the default task, {task.name!r}: for labels of your own give "
            "--task-set target=label, or --data FASTA,LABELS.csv"
        ) from error


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
    """Load a task's data; name the plugin in an error of its own."""
    owner = f"task {entry.name!r} of {entry.origin.distribution or 'no installed package'}"
    try:
        with chdir("."):
            dataset = entry.task.load(data, options, cache=cache, offline=offline)
    except (BenchError, OSError):
        raise
    except Exception as error:
        where = place(error.__traceback__, "")
        raise PluginError(f"{owner} failed to load {data!r}: {error!r}{where}") from error
    if not isinstance(dataset, Dataset):
        raise PluginError(f"{owner}: load returned {type(dataset).__name__}, expected a Dataset")
    return dataset


def facts_of(dataset: Dataset) -> DatasetFacts:
    """Return the facts on the data for records."""
    return DatasetFacts(
        source=dataset.source,
        checksum=dataset.checksum,
        simulated=dataset.simulated,
        provenance=dict(dataset.provenance),
        notes=dataset.spec.notes,
    )


class Preset(Frozen):
    """A configuration by name.

    Attributes:
        name: Name of the preset.
        model: Name of its model.
        config: Values by field; others are the model's own.
        tuning: How the values were found; None if the file does not say.
    """

    name: Name
    model: str
    config: dict[str, Any] = Field(default_factory=dict)
    tuning: Tuning | None = None


def read_preset(path: Path) -> Preset:
    """Return the preset in a file.

    Raises:
        UsageError: It is missing, no TOML or no preset, which says which table and field is wrong;
            or it was tuned on the seeds of official rows.
    """
    tables = read_tables(path, "preset")
    head = tables.pop("preset", None)
    if not isinstance(head, dict):
        raise ConfigError(
            f"preset {path}: it has no table [preset]; 'bench tune' writes such files"
        )
    preset = configure(Preset, {**head, **tables}, {}, f"preset {path}")
    if preset.tuning is not None and min(preset.tuning.seeds, default=0) < OFFICIAL_SEEDS:
        raise ConfigError(
            f"preset {path} was tuned on seeds {list(preset.tuning.seeds)}, but those of official "
            f"rows, 0 to {OFFICIAL_SEEDS - 1}, choose nothing; tune anew with 'bench tune', which "
            "takes others"
        )
    return preset


def with_preset(request: RunRequest) -> tuple[RunRequest, Tuning | None]:
    """Return a request with the values of its preset file, unless it sets them itself.

    What a study cost is owed whatever is set by hand afterwards. Where neither a task nor data are
    named, the task is the one that the preset was tuned on.

    Raises:
        ConfigError: The file is another model's, or no preset.
    """
    if request.preset_file is None:
        return request, None
    preset = read_preset(request.preset_file)
    if request.model != preset.model:
        raise ConfigError(
            f"preset {request.preset_file} is of model {preset.model!r}, not of "
            f"{request.model!r}; leave out --model"
        )
    config = {name: json.dumps(value) for name, value in preset.config.items()}
    tuned = preset.tuning
    changed = {
        name
        for name, text in request.overrides.items()
        if name not in config or read_value(text) != preset.config[name]
    }
    if tuned is not None and changed:
        tuned = tuned.model_copy(update={"changed": tuple(sorted(changed))})
    update: dict[str, Any] = {"overrides": {**config, **request.overrides}}
    if tuned is not None and request.data is None and request.task is None:
        update["task"] = tuned.task
    return request.model_copy(update=update), tuned


def preset_text(name: str, model: str, config: Mapping[str, Any], tuning: Tuning) -> str:
    """Return a preset as the text of its file; what is null is left out."""
    parts: dict[str, Mapping[str, Any]] = {
        "preset": {"name": name, "model": model},
        "config": config,
        "tuning": tuning.model_dump(mode="json"),
    }
    lines = []
    for table, values in parts.items():
        lines.append(f"[{table}]")
        lines += [f"{k} = {json.dumps(v)}" for k, v in values.items() if v is not None]
        lines.append("")
    return "\n".join(lines)
