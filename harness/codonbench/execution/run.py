"""The straight line: a request in; each run trained, scored, recorded, stored before the next.

`prepare` makes a job of a request, `run_all` and `run` make records of a job. Who trains is told to
them: `train_here`, or worker processes, see `pool`.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import chdir, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from codonbench.contracts import (
    BaseConfig,
    Dataset,
    Estimator,
    Features,
    Frozen,
    Model,
    ModelConfig,
    Reference,
    SplitMetric,
    Task,
    TaskOptions,
    TaskSpec,
    Trajectory,
)
from codonbench.contracts.base import DeviceKind
from codonbench.contracts.model import OFF, GradientConfig, as_recorded
from codonbench.contracts.run_record import (
    FINISHED,
    Circumstances,
    Confinement,
    DatasetFacts,
    Environment,
    RunRecord,
    Timings,
    TorchFacts,
    Tuning,
    describe_harness,
    hash_trajectory,
)
from codonbench.contracts.run_spec import (
    RunRequest,
    RunSpec,
    configure,
    content_hash,
    rules_of,
)
from codonbench.data.own_table import TableDescription, fasta_title, is_table, open_table
from codonbench.errors import BenchError, ConfigError, DataError, PluginError, UsageError
from codonbench.execution.machine import (
    Say,
    Terms,
    choose_device,
    clock_mhz,
    describe_machine,
    names,
    occupied,
    wait_until,
)
from codonbench.execution.presets import with_preset
from codonbench.plugins.beside import READERS
from codonbench.plugins.entries import ModelEntry, TaskEntry
from codonbench.plugins.failures import place
from codonbench.plugins.registry import Registry
from codonbench.protocols.controls import UNTRAINED, controlled
from codonbench.protocols.folds import Folds
from codonbench.protocols.referee import (
    Primary,
    Protocol,
    Referee,
    RefereeGroup,
    RunSetup,
    Watch,
    unwatched,
)
from codonbench.records.files import insist_on_storable, is_offline, visible
from codonbench.records.store import Store
from codonbench.records.unfinished import Checkpoints, Holder, Ledger
from codonbench.scoring.score import Scores, comparability_key, score, score_validation
from codonbench.training.request import TrainRequest, TrainResult, last_words, train_request

TOGETHER = 10
"""Seeds trained together: what more would share of a step's overhead is little."""


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
        primary: What its table ranks by, to be told on the way; None where no split metric does.
        plain_because: Why the plain loop is to train them; empty where the engine is free.
        tuning: How the configuration was found, where it is a preset's of a file that says so.
        environment: What the plugin has to itself; None where it has codonbench's packages.
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
        """Whether the model asks for the task's own class weights."""
        return isinstance(self.config, ModelConfig) and self.config.class_weights in ("sum", "n")


Train = Callable[[Job, Watch, Checkpoints | None], Iterator[tuple[Referee, TrainResult]]]
"""Trains a model: `train_here` in this process, `pool.WorkerPool.train` in others."""

SHARED = Terms()


def prepare(
    request: RunRequest, registry: Registry, cache: Path, device: DeviceKind | None = None
) -> Job:
    """Return the job a request asks for: names looked up, fields validated, data loaded.

    Args:
        request: What is asked.
        registry: The plugins.
        cache: Where downloads are kept.
        device: Where it is run; by default what was asked for, of what there is here.

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
        words = f"model {request.model!r} has such a setting: {' '.join(own)}"
        raise ConfigError(f"{error}; {words}") from error
    dataset, protocol, options_of_it = _under_protocol(request, registry, task, dataset)
    if options.control is not None:
        dataset = controlled(dataset, task, options.control, protocol.controls, request.salt)
        _check_control(entry, options.control, task)
    _check_class_weights(request.model, config, dataset.spec, protocol)
    at_once, stranger = issubclass(entry.cls, Estimator), entry.stranger is not None
    if at_once and not protocol.tells_targets:
        raise ConfigError(
            f"model {request.model!r} is fitted once on all training items, but task "
            f"{task.name!r} asks all along its training; choose a model that is trained batch by "
            "batch, or a task of the protocol 'supervised'"
        )
    own_answer = getattr(entry.cls, "score_variants", None) is not Estimator.score_variants
    if issubclass(entry.cls, Estimator) and protocol.passes == 0 and not (own_answer or stranger):
        entry.cls(config).score_variants(None, None)  # says that it has to be fitted
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
    if request.by_the_clock and isinstance(config, GradientConfig):
        _check_schedule(config)
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
    said = {
        "run_spec": run_spec.model_dump(mode="json"),
        "overrides": overrides,
        "info": entry.cls.info.model_dump(mode="json"),
        "dataset": _facts(dataset).model_dump(mode="json"),
    }
    insist_on_storable(f"model {request.model!r} on task {task.name!r}", said)
    seeds = (run_spec.model_copy(update={"seed": seed}) for seed in request.seeds)
    run_specs = tuple(part for spec in seeds for part in protocol.parts(spec, dataset))
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


def primary_of(task: Task, spec: TaskSpec, registry: Registry) -> Primary | None:
    """Return what a task's rows are ranked by, where that can be told of any split."""
    name, lower = task.ranking.metric, task.ranking.direction == "lower"
    scores = [metric for metric in registry.metrics_of(spec) if isinstance(metric, SplitMetric)]
    return next((Primary(m, name, lower) for m in scores if name in m.outputs(spec)), None)


def _under_protocol(
    request: RunRequest, registry: Registry, task: Task, dataset: Dataset
) -> tuple[Dataset, Protocol, Frozen]:
    """Return the data as they are run by the protocol that is asked for, it, and its options.

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


def _check_schedule(config: GradientConfig) -> None:
    """Raise ConfigError where a schedule has no number of steps to go by."""
    for name in ("schedule", "warmup"):
        if (value := getattr(config, name)) != OFF[name]:
            raise ConfigError(
                f"{name}={value} goes by the steps of the budget, which --seconds alone leaves "
                "open; give --epochs or --examples beside it"
            )


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


def task_and_data(
    request: RunRequest, registry: Registry, cache: Path
) -> tuple[Task, TaskOptions, Dataset]:
    """Return the task that is asked for, its options and its data."""
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
    """Load a task's data; what its plugin stumbles over travels on under its name."""
    try:
        with chdir("."):
            return entry.task.load(data, options, cache=cache, offline=offline)
    except (BenchError, OSError):
        raise
    except Exception as error:
        owner = f"task {entry.name!r} of {entry.origin.distribution or 'nobody installed'}"
        where = place(error.__traceback__, "")
        raise PluginError(f"{owner} failed to load {data!r}: {error!r}{where}") from error


@dataclass(frozen=True)
class Outcome:
    """One run's record, and whether it was made now or found in the results folder."""

    record: RunRecord
    reused: bool


def run_all(
    job: Job,
    registry: Registry,
    store: Store,
    watch: Watch,
    train: Train | None = None,
    *,
    force: bool = False,
    terms: Terms = SHARED,
    every: float | None = None,
    confinement: Confinement = "none",
    say: Say = lambda sentence: None,
) -> Iterator[Outcome]:
    """Run every spec of a job and store each record before going on; stop after Ctrl-C.

    A run that was cut short goes on from its last checkpoint, with the results it would have had.
    A run that another process is making in the same folder is left to it, and its record waited
    for. What lies in a record's place and is no sound record is set aside, and so is the result of
    the same spec with other code.

    Args:
        job: What to run.
        registry: The plugins.
        store: Where records go and where finished ones are looked for.
        watch: Called as each run begins; what it returns follows its evaluations.
        train: What trains; this process where it is None.
        force: Run again what is already recorded.
        terms: Whether to share the processors, and whether to wait for other processes.
        every: Seconds between two checkpoints of a run; None for none.
        confinement: How far `train` keeps runs apart, for the record.
        say: Told in a sentence what is set aside and what is waited for.

    Yields:
        One outcome a seed; those that are recorded already come first.

    Raises:
        BusyError: Another process has the device or makes one of the runs, and `terms` say not
            to wait.
        StoreError: A record cannot be written.
        PluginError: A metric or a hook failed.
    """
    runs = JobRecords(job, registry, store, force=force, confinement=confinement, say=say)
    store.prepare()
    known = runs.recorded(job.run_specs)
    yield from (Outcome(record, reused=True) for record in known)
    waiting = _without(job.run_specs, known)
    checkpoints = Checkpoints(store.folder, origin_of(job), every, say)
    checkpoints.sweep()
    for record in known:  # its process may have been killed before it could
        checkpoints.drop(record.run_spec)
    if not waiting:
        return
    with store.claims() as claims:
        while waiting:
            mine, waiting = _claimed(waiting, claims, terms, say)
            known = runs.recorded(mine)  # another process may have made them since
            for record in known:
                claims.give_back(record.run_id)
                yield Outcome(record, reused=True)
            due = _without(mine, known)
            if not due:
                continue
            runs.make_room(due, checkpoints)
            # Left before others' runs are waited for, so that two processes never wait in a ring.
            with occupied(job.run_specs[0].device, terms, say) as circumstances:
                part = replace(job, run_specs=tuple(due))
                made = run(part, registry, watch, train, circumstances, checkpoints, confinement)
                for record, trajectory in made:
                    yield runs.keep(record, trajectory, checkpoints, claims)
                    if record.status == "interrupted":
                        waiting = []


@dataclass(frozen=True)
class JobRecords:
    """The records of a job's runs in a results folder: those that are there, and those to come.

    Attributes:
        job, registry, store, force, confinement, say: As for `run_all`.
    """

    job: Job
    registry: Registry
    store: Store
    force: bool
    confinement: Confinement
    say: Say

    def recorded(self, run_specs: Sequence[RunSpec]) -> list[RunRecord]:
        """Return the finished records of some specs, those that today's code would make too."""
        if self.force:
            return []
        found = (
            reusable(s, self.job, self.registry, self.store, self.confinement) for s in run_specs
        )
        return [record for record in found if record is not None]

    def make_room(self, run_specs: Sequence[RunSpec], checkpoints: Checkpoints) -> None:
        """Set aside what lies in the place of the records of some specs, which are claimed."""

        def outdated(record: RunRecord) -> str:
            return (
                "" if self.force else _outdated(record, self.job, self.registry, self.confinement)
            )

        for run_spec in run_specs:
            if self.force:
                checkpoints.drop(run_spec)
            for aside in self.store.make_room(run_spec, outdated):
                self.say(f"set aside: {aside.reason}")

    def keep(
        self, record: RunRecord, trajectory: Trajectory, checkpoints: Checkpoints, claims: Ledger
    ) -> Outcome:
        """Store a record that was made, and tell the plugins of it."""
        self.store.save(record, trajectory if len(trajectory.pairs) else None)
        self.store.tidy(record)
        if record.status in FINISHED:
            checkpoints.drop(record.run_spec)
        claims.give_back(record.run_id)
        _tell(self.registry, record, trajectory)
        return Outcome(record, reused=False)


def origin_of(job: Job) -> str:
    """Return the hash of the code that makes a job's runs, for their checkpoints."""
    harness = describe_harness()
    return content_hash([harness.version, harness.commit, job.entry.origin.source_sha256])


def run(
    job: Job,
    registry: Registry,
    watch: Watch,
    train: Train | None = None,
    circumstances: Circumstances | None = None,
    checkpoints: Checkpoints | None = None,
    confinement: Confinement = "none",
) -> Iterator[tuple[RunRecord, Trajectory]]:
    """Run a job's specs, seeds of one model, and score each.

    An exception of the plugin ends in a record with status ``error``, Ctrl-C in one with
    status ``interrupted``, after which no more follow; both keep what was measured until then.

    Args:
        job: What is run, on what.
        registry: The metrics to score with, and the hooks to call.
        watch: Called as each run begins; what it returns follows its evaluations.
        train: What trains; this process where it is None.
        circumstances: As the runs begin, where their times are to be told.
        checkpoints: Where runs that were cut short go on from; None for nowhere.
        confinement: How far `train` keeps them apart, for the record.

    Yields:
        For each spec, as it ends, the sealed record and the trajectory its metrics come from.

    Raises:
        PluginError: A metric or a hook failed.
    """
    for run_spec in job.run_specs:
        registry.ask("run_started", run_spec=run_spec)
    if issubclass(job.entry.cls, Reference):
        runs = compute(job)
    else:
        runs = (train or train_here)(job, watch, checkpoints)
    with placing(job.dataset):
        for referee, result in runs:
            trajectory = referee.trajectory()
            run_spec = referee.setup.run_spec
            ended = circumstances
            if ended is not None and (clock := clock_mhz(run_spec.device)) is not None:
                ended = ended.model_copy(update={"clocks_mhz": (*ended.clocks_mhz, clock)})
            record = _record(run_spec, job, result, trajectory, registry, ended, confinement)
            yield record.sealed(), trajectory


@contextmanager
def placing(dataset: Dataset) -> Iterator[None]:
    """Raise a refusal of the items' lengths as `placed` gives it, and any other as it is."""
    try:
        yield
    except UsageError as error:
        if (at_fault := placed(error, dataset)) is None:
            raise
        raise at_fault from error


def placed(error: UsageError, dataset: Dataset) -> UsageError | None:
    """Return a refusal of the items' lengths with the place of the first item at fault.

    It comes of a model or of another process, which know lengths and no files. None for any other
    refusal, and where nobody knows the place.
    """
    if dataset.place is None or isinstance(dataset.items, Features):
        return None
    at_fault = np.flatnonzero(dataset.items.lengths == error.letters)
    if not len(at_fault):
        return None
    where = f"{dataset.place(int(at_fault[0]))}, {error.letters:,} letters"
    return type(error)(f"{where}: {error}")


def _record(
    run_spec: RunSpec,
    job: Job,
    result: TrainResult,
    trajectory: Trajectory,
    registry: Registry,
    circumstances: Circumstances | None,
    confinement: Confinement,
) -> RunRecord:
    """Score a trajectory; return the record of its run."""
    dataset, entry, metrics = job.dataset, job.entry, registry.metrics_of(trajectory.task)
    started = time.perf_counter()
    scores = score(trajectory, metrics)
    if result.known is not None:  # a computed row's closed-form values take the place of measured
        unanswered = scores.not_measured if len(trajectory.pairs) else ()
        scores = Scores({**scores.values, **result.known}, unanswered, scores.versions)
    scoring = time.perf_counter() - started
    facts = result.facts
    if facts is not None:  # pinned to the spec
        facts = facts.model_copy(update={"threads": run_spec.threads})
    return RunRecord(
        run_id=run_spec.run_id,
        comparability_key=comparability_key(run_spec, scores.versions, job.task.ranking),
        model=run_spec.model,
        task=run_spec.task,
        seed=run_spec.seed,
        status=result.status,
        run_spec=run_spec,
        overrides=job.overrides,
        dataset=_facts(dataset),
        plugin=entry.origin,
        info=entry.cls.info,
        harness=describe_harness(),
        machine=describe_machine(run_spec.device, circumstances, facts),
        engine=result.engine,
        confinement=confinement,
        resumed=result.resumed,
        parameters=result.parameters,
        about=result.about,
        pairs=trajectory.facts.pairs,
        selected_pairs=trajectory.facts.selected_pairs,
        metrics=scores.values,
        not_measured=scores.not_measured,
        metric_versions=scores.versions,
        validation_metrics=score_validation(trajectory, metrics),
        knowledge=("class frequencies",) if job.weighted else (),
        flags=job.task.flags(scores.values) if entry.cls.info.role == "contestant" else (),
        weights_sha256=result.weights_sha256,
        trajectory_sha256=hash_trajectory(trajectory) if len(trajectory.pairs) else None,
        error=result.error,
        tuning=job.tuning,
        environment=job.environment,
        timings=Timings(
            build=result.build_seconds,
            train=result.train_seconds,
            probe=result.evaluate_seconds,
            score=scoring,
            total=result.build_seconds + result.train_seconds + result.evaluate_seconds + scoring,
        ),
        day=datetime.now(UTC).date().isoformat(),
    )


def _facts(dataset: Dataset) -> DatasetFacts:
    return DatasetFacts(
        source=dataset.source,
        checksum=dataset.checksum,
        simulated=dataset.simulated,
        provenance=dict(dataset.provenance),
        notes=dataset.spec.notes,
    )


def reusable(
    run_spec: RunSpec,
    job: Job,
    registry: Registry,
    store: Store,
    confinement: Confinement = "none",
) -> RunRecord | None:
    """Return the finished record of this very spec, if its code and metrics are still today's.

    What is to be run in a sandbox is not taken from a run outside one.
    """
    record = store.find(run_spec.run_id, run_spec.name)
    if record is None or record.status not in FINISHED:
        return None
    return None if _outdated(record, job, registry, confinement) else record


def _outdated(record: RunRecord, job: Job, registry: Registry, confinement: Confinement) -> str:
    """Return why a recorded result is not what its spec would give today; empty where it is.

    Empty, too, where the record holds no result.
    """
    if record.status not in FINISHED:
        return ""
    source = record.plugin.source_sha256
    if source != job.entry.origin.source_sha256:
        return f"was made with other code of the model (sha256 {(source or 'unknown')[:8]})"
    versions = {metric.name: metric.version for metric in registry.metrics_of(job.dataset.spec)}
    if record.metric_versions != versions:
        return "was scored by other metrics"
    if record.environment != job.environment:
        return "was made with other packages beside it"
    if job.tuning not in (None, record.tuning):
        return "does not say how its configuration was found"
    outside = confinement == "sandbox" != record.confinement
    return "was not made in a sandbox" if outside else ""


def _without(run_specs: Sequence[RunSpec], records: Sequence[RunRecord]) -> list[RunSpec]:
    known = {record.run_id for record in records}
    return [run_spec for run_spec in run_specs if run_spec.run_id not in known]


def _claimed(
    run_specs: Sequence[RunSpec], claims: Ledger, terms: Terms, say: Say
) -> tuple[list[RunSpec], list[RunSpec]]:
    """Claim those runs that nobody is making, as soon as there is one; return them and the rest.

    Raises:
        BusyError: Somebody is making all of them, and `terms` say not to wait.
    """

    def made(others: list[Holder]) -> str:
        seeds = ", ".join(str(run_spec.seed) for run_spec in run_specs)
        return f"{run_specs[0].model}, seed {seeds}: being run by {names(others)}"

    run_ids = [run_spec.run_id for run_spec in run_specs]
    free, _ = wait_until(lambda: claims.take_free(run_ids), made, terms, say)
    mine = [run_spec for run_spec in run_specs if run_spec.run_id in free]
    return mine, [run_spec for run_spec in run_specs if run_spec.run_id not in free]


def _tell(registry: Registry, record: RunRecord, trajectory: Trajectory) -> None:
    """Tell the plugins of a run; it is stored already, so that none of them can lose it."""
    if registry.manager.hook.snapshot_taken.get_hookimpls():
        for index in range(len(trajectory.pairs)):
            registry.ask("snapshot_taken", trajectory=trajectory, index=index)
    registry.ask("run_finished", record=record)


class Refusals:
    """What a model refuses: it ends all as the model's own, or is that of a seed.

    It is the model's where no seed is served, or two seeds, each alone, are refused in the same
    words.

    Args:
        job: Whose seeds are trained.

    Attributes:
        serves: Whether one is served; whoever trains them says so.
    """

    def __init__(self, job: Job) -> None:
        self.serves = False
        self._alone = len(job.run_specs) == 1
        self._of_seeds: list[UsageError] = []

    def weigh(self, error: UsageError) -> None:
        """Raise a refusal that is the model's own."""
        again = str(error) in map(str, self._of_seeds)
        if not self.serves and (again or self._alone):
            raise error

    def note(self, error: UsageError) -> None:
        """Take a refusal for that of a seed, which was alone."""
        self._of_seeds.append(error)

    def settle(self) -> None:
        """Raise the first of them, now that all are over, where no seed was served."""
        if self._of_seeds and not self.serves:
            raise self._of_seeds[0]


def train_here(
    job: Job, watch: Watch, checkpoints: Checkpoints | None = None
) -> Iterator[tuple[Referee, TrainResult]]:
    """Train the model once for each spec, in this process; yield each as it ends.

    An exception of the plugin ends in status ``error``, Ctrl-C in ``interrupted``, after which
    no more follow; what was seen until then is kept. A refusal is the seed's or the model's, see
    `Refusals`.

    Raises:
        UsageError: The model cannot serve this task.
    """
    from codonbench.engines.train import train_runs
    from codonbench.training.determinism import (
        each_warning_once,
        pin_arithmetic,
        subnormals_as_zero,
        torch_facts,
    )

    pin_arithmetic(job.run_specs[0].threads)
    facts = torch_facts(job.run_specs[0].device == "cuda")
    model = job.entry.cls
    assert issubclass(model, Model | Estimator)
    every = None if checkpoints is None else checkpoints.every
    if job.primary is not None:
        job.primary.get_ready(job.dataset.spec, job.dataset.targets)
    specs = job.run_specs
    parts = (specs[i : i + TOGETHER] for i in range(0, len(specs), TOGETHER))
    waiting = deque(replace(job, run_specs=part) for part in parts)
    refusals, refused = Refusals(job), list[tuple[UsageError, RunSpec]]()
    while waiting:
        part = waiting.popleft()
        group = referees_of(part, watch, checkpoints, facts)
        runs = train_runs(model, job.config, requests_of(part, group), group, every)
        interrupted, left = False, dict(enumerate(part.run_specs))
        anew: list[Job] = []
        while True:
            own_files = READERS.refusing(job.entry.origin.module)
            try:  # left before a run is handed on: the caller shares none of this
                with subnormals_as_zero(), each_warning_once(), chdir("."), own_files:
                    ended = next(runs, None)
            except UsageError as error:
                refusals.weigh(error)
                if len(part.run_specs) == 1:
                    refusals.note(error)
                    refused.append((error, part.run_specs[0]))
                else:  # each alone, to see which it refuses
                    alone = [replace(part, run_specs=(spec,)) for spec in left.values()]
                    waiting.extendleft(reversed(alone))
                break
            refusals.serves |= any(referee.asked for referee in group.referees)
            if ended is None:
                break
            number, result = ended
            left.pop(number)
            if result.anew:
                group.forget(number)
                anew.append(part.anew(number, result.anew))
                continue
            yield completed(group, number, result, facts)
            interrupted = interrupted or result.status == "interrupted"
        if interrupted:  # all that trained together have been kept
            return
        waiting.extendleft(reversed(anew))
    refusals.settle()
    for refusal, run_spec in refused:
        group = referees_of(replace(job, run_specs=(run_spec,)), watch)
        said = f"refuses this seed: {visible(str(refusal))}"
        yield completed(group, 0, TrainResult(status="error", error=said), facts)


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
        setup = _setup(job, run_spec)
        referee, result, outputs = Referee(setup, unwatched), TrainResult(known={}), None
        with seeded_globals(run_spec.seed), last_words(row, result), chdir("."):
            plugin = row(job.config)
            result.known = dict(plugin.values(setup.dataset.spec, setup.dataset.frequencies))
            outputs = plugin.logits(setup.dataset.spec)
        if outputs is not None:
            referee.take_constant(outputs)
        yield referee, result


def referees_of(
    job: Job,
    watch: Watch,
    checkpoints: Checkpoints | None = None,
    facts: TorchFacts | None = None,
) -> RefereeGroup:
    """Return the referees of a job's runs.

    Args:
        job: Whose runs.
        watch: Called as each begins.
        checkpoints: Where their progress is kept and looked for; None for nowhere.
        facts: Of the interpreter that trains, without which no checkpoint fits.
    """
    run_spec, kept = job.run_specs[0], None
    if facts is not None and checkpoints is not None:
        facts = facts.model_copy(update={"threads": run_spec.threads})
        kept = checkpoints.on(describe_machine(run_spec.device, facts=facts))
    return RefereeGroup((_setup(job, run_spec) for run_spec in job.run_specs), watch, kept)


def _setup(job: Job, run_spec: RunSpec) -> RunSetup:
    return RunSetup(run_spec, job.dataset, job.protocol, job.batch_size, job.primary)


def requests_of(job: Job, group: RefereeGroup) -> list[TrainRequest]:
    """Return what whoever trains is told of each run before the first pair."""
    requests = []
    for run, referee in enumerate(group.referees):
        request = replace(train_request(run, referee.setup), plain_because=job.plain_because)
        if (kept := referee.kept) is not None and kept.position:
            request = replace(request, start=kept.position, state=kept.state)
        requests.append(request)
    return requests


def completed(
    group: RefereeGroup, run: int, result: TrainResult, facts: TorchFacts | None
) -> tuple[Referee, TrainResult]:
    """Complete a result by what the referee has seen of its run; return both.

    The clock is the referee's; of its time, the trainer says how much went into evaluations.
    """
    referee, (build, total) = group.referees[run], group.end(run)
    if not referee.over and referee.may_be_at(result.position):
        referee.position = result.position
    result.facts, result.resumed = facts, referee.resumed
    result.build_seconds = build
    result.evaluate_seconds = min(max(result.evaluate_seconds, 0.0), total - build)
    result.train_seconds = total - build - result.evaluate_seconds
    if result.status == "done" and referee.diverged:
        result.status = "diverged"
    return referee, result
