"""A study: trials of a model's configurations on validation items, kept in a file.

Optuna's TPE suggests configurations, and its median or Hyperband pruner ends poor trials early. An
interrupted study resumes from the file, and several processes may share it. Space, data and budget
are fixed in the study; a request with others is refused.

Bergstra et al., NeurIPS 2011 (TPE); Akiba et al., KDD 2019 (Optuna).
"""

from __future__ import annotations

import json
import sqlite3
import statistics
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from codonbench.contracts import Tune
from codonbench.contracts.run_record import Tuning
from codonbench.contracts.run_spec import RunRequest, content_hash
from codonbench.errors import ConfigError, StoreError
from codonbench.execution.prepare import Job
from codonbench.execution.run import Tried, placing
from codonbench.protocols.supervised import Supervised
from codonbench.protocols.trial import Look
from codonbench.records.files import printable
from codonbench.scoring.score import OFFICIAL_SEEDS
from codonbench.tuning.space import Space, as_text, fields_of

if TYPE_CHECKING:
    import optuna

Pruner = Literal["median", "hyperband", "none"]

FIRST_SEED = 1_000
"""Default seed of tuning, which no official row uses."""

Try = Callable[[RunRequest, Job, Look], Tried]
"""Runs a trial of a job with a single run, in this process or on a node of a cluster."""

_HEARTBEAT = 20  # seconds; a trial without one for three times as long is restarted
_RETRIES = 3
_ENDED = ("COMPLETE", "PRUNED")


def check_tuning_seeds(seeds: tuple[int, ...]) -> None:
    """Refuse the seeds of official rows, whose test items must not influence tuning.

    Raises:
        ConfigError: One of the seeds is of official rows.
    """
    taken = [seed for seed in seeds if seed < OFFICIAL_SEEDS]
    if taken:
        raise ConfigError(
            f"seed {taken[0]} is used by official rows, so it may not be tuned on; give seeds from "
            f"{OFFICIAL_SEEDS} on, such as --seeds {FIRST_SEED}"
        )


@dataclass(frozen=True)
class StudyRequest:
    """The request for a study.

    Attributes:
        request: Model, task, budget and seeds.
        space: The search space.
        trials: Number of trials.
        pruner: Pruner that ends poor trials early.
    """

    request: RunRequest
    space: Space
    trials: int
    pruner: Pruner


class Study:
    """A study in a file.

    Args:
        path: The file; created if missing.
        study_request: The request.
        prepare: Returns the job of a run request.
        attempt: Runs a trial.

    Raises:
        ConfigError: The file holds another study, or the task has no validation split.
        StoreError: The file cannot be written or is not a study.
    """

    def __init__(
        self,
        path: Path,
        study_request: StudyRequest,
        prepare: Callable[[RunRequest], Job],
        attempt: Try,
    ) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        check_tuning_seeds(study_request.request.seeds)
        self.study_request, self._prepare, self._try = study_request, prepare, attempt
        self._lock = threading.Lock()
        self._shares: dict[int, float] = {}
        self._on_look: Callable[[], None] = lambda: None
        self.job = job = prepare(study_request.request)
        if not isinstance(job.protocol, Supervised):
            raise ConfigError(
                f"task {job.task.name!r} uses the protocol {job.protocol.name!r}, which has no "
                "validation split to tune on"
            )
        self.lower = job.primary is not None and job.primary.lower
        self.metric = "less the loss" if job.primary is None else job.primary.name
        self._fields = fields_of(job.entry, job.config)
        self._facts = _facts(job, study_request)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._study = optuna.create_study(
                storage=_storage(path),
                study_name="codonbench",
                load_if_exists=True,
                direction="minimize" if self.lower else "maximize",
                sampler=_sampler(study_request.request.seeds[0]),
                pruner=_pruner(study_request.pruner),
            )
            known = self._study.user_attrs.get("asked")
        except Exception as error:  # of SQLite, SQLAlchemy or Optuna
            raise _unusable(path, error) from error
        self._path = path
        self._facts = json.loads(json.dumps(self._facts))  # as read back from the file
        if known not in (None, self._facts):
            differ = [name for name, value in self._facts.items() if known.get(name) != value]
            raise ConfigError(
                f"study {path} was begun with other {' and '.join(differ)}; give another file "
                "with --study, or repeat the request with which it was begun"
            )
        if known is None:
            self._study.set_user_attr("asked", self._facts)

    def finished(self) -> list[optuna.trial.FrozenTrial]:
        """Return the trials that are complete or pruned, in order."""
        return [trial for trial in self._begun() if trial.state.name in _ENDED]

    def _begun(self) -> list[optuna.trial.FrozenTrial]:
        """Return all trials that any process has begun, in order."""
        trials = self._study.get_trials(deepcopy=False)
        return [trial for trial in trials if trial.state.name != "WAITING"]

    def run(
        self,
        on_trial: Callable[[], None],
        at_once: int = 1,
        stop: Callable[[], None] = lambda: None,
        on_look: Callable[[], None] = lambda: None,
    ) -> None:
        """Run trials until the requested number is finished.

        Args:
            on_trial: Called after each trial.
            at_once: Number of trials to run at a time, each in a thread.
            stop: Called when a trial fails, to end the others.
            on_look: Called at each validation; see `under_way`.

        Raises:
            KeyboardInterrupt: Ctrl-C ended the study; finished trials are kept.
            StoreError: The file cannot be written, e.g. on a full disk; finished trials are kept.
        """
        import optuna

        failed: list[BaseException] = []
        self._on_look = on_look

        def objective(trial: optuna.Trial) -> float:
            try:
                return self._objective(trial)
            except optuna.TrialPruned:
                raise
            except BaseException as error:  # Optuna does not raise errors of threads
                failed.append(error)
                with suppress(Exception):  # e.g. on a full disk
                    trial.set_user_attr("alive", _age(trial.datetime_start))
                self._study.stop()
                stop()
                raise
            finally:
                self._shares.pop(trial.number, None)

        def report(study: optuna.Study, trial: optuna.trial.FrozenTrial) -> None:
            with self._lock:
                on_trial()
            if len(self.finished()) >= self.study_request.trials:
                study.stop()

        while not failed and (left := self.study_request.trials - len(self.finished())) > 0:
            try:
                self._study.optimize(
                    objective, n_trials=left, n_jobs=min(at_once, left), callbacks=[report]
                )
            except BaseException as error:
                failed.append(error)
        if failed and _of_sqlite(failed[0]) is not None:
            raise _unusable(self._path, failed[0]) from failed[0]
        if failed:
            raise failed[0]

    @property
    def under_way(self) -> float:
        """Sum of the shares of budget that active trials of this process have spent."""
        return sum(list(self._shares.values()))

    def _objective(self, trial: optuna.Trial) -> float:
        import optuna

        values = {
            name: _suggest(trial, name, drawn, whole=self._fields[name].kind == "whole")
            for name, drawn in self.study_request.space.items()
        }
        overrides = dict(self.study_request.request.overrides) | {
            name: json.dumps(value) for name, value in values.items()
        }
        request = self.study_request.request.model_copy(update={"overrides": overrides})
        try:
            with self._lock:  # plugins and data are loaded by one thread at a time
                job = self._prepare(request)
        except ConfigError as error:  # values of fields that do not fit together
            raise _refused(trial, error) from error
        prune: dict[int, bool] = {}
        scores, seconds = [], 0.0
        for number, run_spec in enumerate(job.run_specs):

            def look(step: int, score: float, spent: float, number: int = number) -> bool:
                with self._lock:
                    self._shares[trial.number] = (number + spent) / len(job.run_specs)
                    self._on_look()
                at = number * 1_000 + step
                if at not in prune:  # else already reported, by a node that was lost
                    trial.report(score, at)
                    prune[at] = trial.should_prune()  # asked once: Hyperband's answer changes
                return prune[at]

            with placing(job.dataset):
                try:
                    made = self._try(request, replace(job, run_specs=(run_spec,)), look)
                except ConfigError as error:  # values of fields that do not fit the task
                    raise _refused(trial, error) from error
            if made.status == "interrupted":
                raise KeyboardInterrupt
            if made.error:
                trial.set_user_attr("error", made.error)
            seconds += made.seconds
            trial.set_user_attr("seconds", seconds)
            if made.score is None:  # no validation before it failed, or metric undefined
                raise optuna.TrialPruned
            scores.append(made.score)
            if pruned := any(prune.values()):
                break
        trial.set_user_attr("score", statistics.fmean(scores))
        if pruned:
            raise optuna.TrialPruned
        return statistics.fmean(scores)

    def scores(self) -> Iterator[tuple[float | None, float]]:
        """Yield the score of each finished trial, None if pruned, and its seconds.

        Seconds of unfinished trials are added to the next finished one.
        """
        spent = 0.0
        for trial in self._begun():
            spent += _seconds(trial)
            if trial.state.name in _ENDED:
                yield trial.value if trial.state.name == "COMPLETE" else None, spent
                spent = 0.0

    def refused(self) -> list[str]:
        """Return the errors of trials whose configuration was refused."""
        facts = (trial.user_attrs.get("refused") for trial in self.finished())
        return [printable(fact) for fact in facts if fact]

    def result(self, name: str) -> tuple[dict[str, Any], Tuning]:
        """Return the best trial's configuration, and the facts of the tuning.

        Args:
            name: Name of the preset.

        Raises:
            ConfigError: No trial has a score.
        """
        found = [value for value, _ in self.scores() if value is not None]
        if not found:
            facts = [trial.user_attrs for trial in self.finished()]
            known = (each.get("error") or each.get("refused") for each in facts)
            why = next((f": {printable(failure)}" for failure in known if failure), "")
            raise ConfigError(
                f"no trial ended with a score on validation ({self.metric}), so there is nothing "
                f"to choose{why}"
            )
        best = self._study.best_trial
        values = {name: _rounded(value) for name, value in best.params.items()}
        fixed = self.job.config.model_dump(mode="json")
        config = {name: fixed[name] for name in self.study_request.request.overrides} | values
        trials, begun, run_spec = self.finished(), self._begun(), self.job.run_specs[0]
        seconds = sum(map(_seconds, begun)) * self._cores()
        return config, Tuning(
            name=name,
            task=self.job.task.name,
            data_checksum=run_spec.data_checksum,
            trials=len(trials),
            pruned=len(trials) - len(found),
            unfinished=sum(trial.state.name not in _ENDED for trial in begun),
            seeds=self.study_request.request.seeds,
            device=run_spec.device,
            seconds=round(seconds, 1),
            metric=self.metric,
            best=_digits(best.value),
            median=_digits(statistics.median(found)),
            incumbents=tuple(self._incumbents()),
            study=content_hash(self._facts)[:16],
            space=tuple(
                f"{field}={as_text(drawn)}" for field, drawn in self.study_request.space.items()
            ),
            tests_unseen="test" in self.job.dataset.splits,
        )

    def _cores(self) -> int:
        """Return the cores of a trial, 1 on a GPU: tuning is counted in core or GPU seconds."""
        run_spec = self.job.run_specs[0]
        return 1 if run_spec.device == "cuda" else run_spec.threads

    def _incumbents(self) -> Iterator[tuple[int, float, float]]:
        """Yield number (from 1), total seconds and score of each trial that was the best so far."""
        spent, best = 0.0, None
        for number, (score, seconds) in enumerate(self.scores(), 1):
            spent += seconds * self._cores()
            better = score is not None and (
                best is None or (score < best if self.lower else score > best)
            )
            if better and score is not None:
                best = score
                yield number, round(spent, 1), _digits(score)


def _unusable(path: Path, error: BaseException) -> StoreError:
    """Return the error that a study's file cannot be used, with SQLite's reason."""
    why = printable(str(_of_sqlite(error) or error).splitlines()[0])
    return StoreError(f"study {path} cannot be used: {why}; what is finished stays there")


def _refused(trial: optuna.Trial, error: ConfigError) -> optuna.TrialPruned:
    """Store why a trial's configuration is refused; return the exception that ends the trial."""
    import optuna

    trial.set_user_attr("refused", str(error))
    return optuna.TrialPruned()


def _of_sqlite(error: BaseException | None) -> BaseException | None:
    """Return the SQLite error among the causes of an error; None if there is none."""
    while error is not None and not isinstance(error, sqlite3.Error):
        error = error.__cause__
    return error


def _facts(job: Job, study_request: StudyRequest) -> dict[str, Any]:
    """Return what is fixed for all trials of a study."""
    run_spec = job.run_specs[0]
    return {
        "model": [run_spec.model, run_spec.model_version, job.entry.origin.source_sha256],
        "settings": dict(study_request.request.overrides),
        "task": [run_spec.task, run_spec.task_version, run_spec.task_options],
        "data": run_spec.data_checksum,
        "budget": [run_spec.budget_pairs, run_spec.budget_seconds, run_spec.stop],
        "seeds": list(study_request.request.seeds),
        "device": run_spec.device,
        "space": {name: asdict(drawn) for name, drawn in study_request.space.items()},
        "pruner": study_request.pruner,
    }


def _sampler(seed: int) -> optuna.samplers.BaseSampler:
    """Return a TPE sampler whose independent draws depend on seed, trial number and field.

    An interrupted study thus resumes with the same draws, and processes or threads that share a
    study do not draw the same first trials.
    """
    import optuna

    class Numbered(optuna.samplers.TPESampler):
        def sample_independent(
            self,
            study: optuna.Study,
            trial: optuna.trial.FrozenTrial,
            param_name: str,
            param_distribution: optuna.distributions.BaseDistribution,
        ) -> Any:
            own = int(content_hash([seed, trial.number, param_name])[:8], 16)
            sampler = optuna.samplers.TPESampler(seed=own)
            return sampler.sample_independent(study, trial, param_name, param_distribution)

    return Numbered()


def _pruner(name: Pruner) -> optuna.pruners.BasePruner:
    import optuna

    if name == "hyperband":
        return optuna.pruners.HyperbandPruner()
    if name == "median":
        return optuna.pruners.MedianPruner(n_startup_trials=4, n_warmup_steps=2)
    return optuna.pruners.NopPruner()


def _suggest(trial: optuna.Trial, name: str, drawn: Tune, *, whole: bool) -> Any:
    if drawn.choices:
        return trial.suggest_categorical(name, drawn.choices)
    assert drawn.low is not None
    assert drawn.high is not None
    if whole:
        return trial.suggest_int(name, int(drawn.low), int(drawn.high), log=drawn.log)
    return _rounded(trial.suggest_float(name, drawn.low, drawn.high, log=drawn.log))


def _rounded(value: Any) -> Any:
    """Return a value rounded to three digits, to be readable; more make no difference."""
    return float(f"{value:.3g}") if isinstance(value, float) else value


def _storage(path: Path) -> optuna.storages.RDBStorage:
    """Return Optuna's storage in a file; active trials store their age with each heartbeat."""
    import optuna
    from sqlalchemy.pool import NullPool

    class ReportingStorage(optuna.storages.RDBStorage):
        def record_heartbeat(self, trial_id: int) -> None:
            super().record_heartbeat(trial_id)
            begun = self.get_trial(trial_id).datetime_start
            self.set_trial_user_attr(trial_id, "alive", _age(begun))

    return ReportingStorage(
        f"sqlite:///{path.absolute()}",
        # Without a pool, whose connections are closed only by the garbage collector.
        engine_kwargs={"connect_args": {"timeout": 60}, "poolclass": NullPool},
        heartbeat_interval=_HEARTBEAT,
        grace_period=3 * _HEARTBEAT,
        heartbeat_stale_trial_callback=optuna.storages.RetryHeartbeatStaleTrialCallback(
            max_retry=_RETRIES
        ),
    )


def _age(begun: datetime | None) -> float:
    """Return the seconds since a trial began, on this process's clock."""
    return 0.0 if begun is None else max((datetime.now() - begun).total_seconds(), 0.0)


def _seconds(trial: optuna.trial.FrozenTrial) -> float:
    """Return a trial's seconds; of an unfinished one those until its last heartbeat."""
    known = "seconds" if trial.state.name in _ENDED else "alive"
    return float(trial.user_attrs.get(known, 0.0))


def _digits(value: float | None) -> float:
    return float(f"{value or 0.0:.6g}")
