"""From a job to records: each run is trained, scored and stored before the next.

`prepare` made the job. `run_all` stores what `run` makes of it. A `Train` trains: `train_here` in
this process, or worker processes, see `pool`.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import chdir, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import NamedTuple

import numpy as np

from codonbench.contracts import (
    Dataset,
    Estimator,
    Features,
    Model,
    Reference,
    Trajectory,
)
from codonbench.contracts.run_record import (
    FINISHED,
    Circumstances,
    Confinement,
    RunRecord,
    Timings,
    TorchFacts,
    describe_harness,
    hash_trajectory,
)
from codonbench.contracts.run_spec import (
    RunSpec,
    content_hash,
)
from codonbench.errors import UsageError
from codonbench.execution.machine import (
    Say,
    Terms,
    clock_mhz,
    describe_machine,
    names,
    occupied,
    wait_until,
)
from codonbench.execution.prepare import Job, facts_of
from codonbench.plugins.discovery import own_files_only
from codonbench.plugins.registry import Registry, ask_task
from codonbench.protocols.referee import (
    Referee,
    RefereeGroup,
    RunSetup,
    Watch,
    unwatched,
)
from codonbench.protocols.trial import Look, Trial
from codonbench.records.files import visible
from codonbench.records.store import Store
from codonbench.records.unfinished import Checkpoints, Holder, Ledger
from codonbench.scoring.score import Scores, comparability_key, score, score_validation
from codonbench.training.request import TrainRequest, TrainResult, errors_noted, train_request

TOGETHER = 10
"""Seeds trained together: what more would share of a step's overhead is little."""


Train = Callable[[Job, Watch, Checkpoints | None], Iterator[tuple[Referee, TrainResult]]]
"""Trains a model: `train_here` in this process, `pool.WorkerPool.train` in others."""

SHARED = Terms()


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
        job: The job.
        registry: The plugins.
        store: The results folder.
        watch: Called as each run begins; what it returns follows its evaluations.
        train: What trains; this process where it is None.
        force: Run again what is already recorded.
        terms: Whether to share the processors, and whether to wait for other processes.
        every: Seconds between two checkpoints of a run; None for none.
        confinement: How far `train` keeps runs apart, for the record.
        say: Called with sentences on what is set aside and waited for.

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
        """Store a record that was made, and call the plugins' hooks."""
        self.store.save(record, trajectory if len(trajectory.pairs) else None)
        self.store.tidy(record)
        if record.status in FINISHED:
            checkpoints.drop(record.run_spec)
        claims.give_back(record.run_id)
        _call_hooks(self.registry, record, trajectory)
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
        job: The job.
        registry: The metrics to score with, and the hooks to call.
        watch: Called as each run begins; what it returns follows its evaluations.
        train: What trains; this process where it is None.
        circumstances: Circumstances as the runs begin, if times are recorded.
        checkpoints: Checkpoints that interrupted runs continue from; None for none.
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


class Tried(NamedTuple):
    """The result of a trial.

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
        look: Called at each validation.
    """
    trial = Trial(look)
    ((referee, result),) = train(replace(job, protocol=trial), unwatched, None)
    assert referee.test_outputs is None
    seconds = result.build_seconds + result.train_seconds + result.evaluate_seconds
    return Tried(trial.score, seconds, result.status, result.error or "")


@contextmanager
def placing(dataset: Dataset) -> Iterator[None]:
    """Say in a refusal of the items' lengths which item it is; see `placed`."""
    try:
        yield
    except UsageError as error:
        if (at_fault := placed(error, dataset)) is None:
            raise
        raise at_fault from error


def placed(error: UsageError, dataset: Dataset) -> UsageError | None:
    """Return a refusal of the items' lengths with file and line of the first item at fault.

    The model, or another process, refused it, and knows lengths but no files. None for any other
    refusal, and where the place is not known.
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
        dataset=facts_of(dataset),
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
        flags=ask_task(job.task.flags, scores.values)
        if entry.cls.info.role == "contestant"
        else (),
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
    """Claim the runs that no other process makes, once there are some; return them and the rest.

    Raises:
        BusyError: Other processes are making all of them, and `terms` say not to wait.
    """

    def made(others: list[Holder]) -> str:
        seeds = ", ".join(str(run_spec.seed) for run_spec in run_specs)
        return f"{run_specs[0].model}, seed {seeds}: being run by {names(others)}"

    run_ids = [run_spec.run_id for run_spec in run_specs]
    free, _ = wait_until(lambda: claims.take_free(run_ids), made, terms, say)
    mine = [run_spec for run_spec in run_specs if run_spec.run_id in free]
    return mine, [run_spec for run_spec in run_specs if run_spec.run_id not in free]


def _call_hooks(registry: Registry, record: RunRecord, trajectory: Trajectory) -> None:
    """Call the plugins' hooks for a run, which is stored already, so that none can lose it."""
    if registry.manager.hook.snapshot_taken.get_hookimpls():
        for index in range(len(trajectory.pairs)):
            registry.ask("snapshot_taken", trajectory=trajectory, index=index)
    registry.ask("run_finished", record=record)


class Refusals:
    """Refusals by a model: either the model cannot serve the task, which ends all, or not a seed.

    The model cannot where no seed has been served and the only seed, or two seeds in the same
    words, were refused.

    Args:
        job: The job.

    Attributes:
        serves: Whether a seed has been served; set from outside.
    """

    def __init__(self, job: Job) -> None:
        self.serves = False
        self._alone = len(job.run_specs) == 1
        self._of_seeds: list[UsageError] = []

    def weigh(self, error: UsageError) -> None:
        """Raise a refusal that means that the model cannot serve the task."""
        again = str(error) in map(str, self._of_seeds)
        if not self.serves and (again or self._alone):
            raise error

    def note(self, error: UsageError) -> None:
        """Note the refusal of one seed, trained alone."""
        self._of_seeds.append(error)

    def settle(self) -> None:
        """Raise the first refusal where all seeds are over and none was served."""
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
            own_files = own_files_only(job.entry.origin.module)
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
            refusals.serves |= any(referee.requested for referee in group.referees)
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
        why = f"refuses this seed: {visible(str(refusal))}"
        yield completed(group, 0, TrainResult(status="error", error=why), facts)


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
        with seeded_globals(run_spec.seed), errors_noted(row, result), chdir("."):
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
        job: The job.
        watch: Called as each begins.
        checkpoints: Checkpoints of the runs; None for none.
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
    """Return the training request of each run."""
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
