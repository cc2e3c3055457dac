"""The Python door: a benchmark run, and its records as a list, a table and a board."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from codonbench.contracts import Model
from codonbench.contracts.run_spec import RunOptions, RunRequest, configure, parse_seeds
from codonbench.data.cache import is_offline
from codonbench.errors import ConfigError
from codonbench.execution.device_locks import Terms
from codonbench.execution.executor import Executor
from codonbench.execution.prepare import Job
from codonbench.execution.run import Outcome, Train, run_all
from codonbench.plugins.discovery import (
    discover,
    insist_on_file,
    insist_on_unique_names,
    own_points,
)
from codonbench.plugins.registry import Registry
from codonbench.plugins.selection import selection_from_environment
from codonbench.protocols.referee import Watch, unwatched
from codonbench.records.store import Store
from codonbench.records.table import Records, load_records

if TYPE_CHECKING:
    from codonbench.ranking.board import Board

__all__ = ["board", "load_records", "outcomes", "run"]


class Follower(Protocol):
    """Who follows the runs of a job, for a person who waits."""

    @property
    def watch(self) -> Watch:
        """Called as each run begins; what it returns follows its evaluations."""

    def remark(self, sentence: str) -> None:
        """Say what is set aside, what is waited for, what goes on from where."""

    def finished(self, outcome: Outcome) -> None:
        """Hear of a run that is stored."""

    def around(self, train: Train) -> Train:
        """Return what trains, perhaps with more said of what fails."""


class Silent:
    """Follows runs without a word but warnings."""

    watch = staticmethod(unwatched)

    def remark(self, sentence: str) -> None:
        """Warn."""
        warnings.warn(sentence, stacklevel=2)

    def finished(self, outcome: Outcome) -> None:
        """Say nothing."""

    def around(self, train: Train) -> Train:
        """Leave it as it is."""
        return train


Follow = Callable[[Job], AbstractContextManager[Follower]]


def outcomes(
    job: Job,
    request: RunRequest,
    options: RunOptions,
    executor: Executor,
    follow: Follow = lambda job: nullcontext(Silent()),
) -> Iterator[Outcome]:
    """Run a job: the line that `run` and the command line share.

    Args:
        job: What; see `Executor.prepare`.
        request: What was asked.
        options: How and where.
        executor: With what.
        follow: Called with the job; who follows its runs.

    Yields:
        One outcome a seed; those that are recorded already come first.

    Raises:
        UsageError: What was asked cannot be done.
        PluginError: A plugin failed outside of a run.
    """
    store = Store(options.results)
    store.prepare()
    with follow(job) as follower:
        for outcome in run_all(
            job,
            executor.registry,
            store,
            follower.watch,
            follower.around(executor.train(job.run_specs[0])),
            force=request.force,
            terms=Terms(alone=options.exclusive, wait=not options.no_wait),
            every=options.checkpoint_every or None,
            confinement=executor.confinement(job),
            say=follower.remark,
        ):
            follower.finished(outcome)
            yield outcome


def run(
    model: str | Path | type[Model],
    task: str | None = None,
    data: str | Path | None = None,
    seeds: int | str | Iterable[int] = 0,
    results: str | Path = "runs",
    *,
    config: Mapping[str, Any] | None = None,
    task_options: Mapping[str, Any] | None = None,
    plugin: str | Path | Iterable[str | Path] = (),
    **asked: Any,
) -> Records:
    """Train a model on a task, score it, store the records, and return them.

    What is recorded in `results` already is not run again, and what was cut short goes on.
    Installed models and those of files are trained in worker processes; a class or a function,
    which no other process could import, in this one.

    Args:
        model: A name; a class or a function marked with `codonbench.model`; or the path of a
            Python file with one model in it.
        task: A name; the default task where it is None.
        data: A data source's name, or a path; the task's default where it is None.
        seeds: One, several, or ``"0-9"``.
        results: The folder of records.
        config: Fields of the model to set.
        task_options: Options of the task to set.
        plugin: Python files that register more plugins.
        asked: Further fields of `RunRequest` and `RunOptions`: ``pairs=``, ``epochs=``,
            ``full=``, ``device=``, ``engine=``, ``workers=``, ``timeout=``, ...

    Raises:
        UsageError: What was asked cannot be done; says why, and what to do.
        PluginError: A plugin failed outside of a run.
    """
    files = [plugin] if isinstance(plugin, str | Path) else list(plugin)
    given = model if isinstance(model, type) else None
    if isinstance(model, type):
        name = model.info.name
    elif isinstance(model, Path) or model.endswith(".py"):
        files.append(model)
        name = _model_of_file(model)
    else:
        name = model
    request = configure(
        RunRequest,
        {
            "model": name,
            "task": task,
            "data": None if data is None else str(data),
            "seeds": _seeds(seeds),
            "overrides": _texts(config),
            "task_overrides": _texts(task_options),
            "offline": is_offline(bool(asked.pop("offline", False))),
            **{
                field: asked.pop(field) for field in list(asked) if field in RunRequest.model_fields
            },
        },
        {},
        "codonbench.run",
    )
    options = configure(
        RunOptions,
        {
            "results": Path(results),
            "plugin": tuple(map(Path, files)),
            **({"workers": 0} if given else {}),
            **asked,
        },
        {},
        "codonbench.run",
    )
    with Executor(options, request, _load, selection_from_environment()) as executor:
        if given:
            executor.registry.add_model(given)
        with redirect_stdout(sys.stderr):  # a plugin may print
            job = executor.prepare(request)
            return Records(o.record for o in outcomes(job, request, options, executor))


def _model_of_file(model: str | Path) -> str:
    """Return the name of the one model that a file registers.

    Raises:
        ConfigError: It registers none or several.
    """
    registry = _load((Path(model),), (), own_only=False)
    own = sorted(
        {e.cls.info.name for e in registry.models.values() if e.origin.file == Path(model).name}
    )
    if len(own) != 1:
        found = ", ".join(own) or "none"
        raise ConfigError(
            f"{model} registers {found}; expected one model: name one, and give the file as plugin="
        )
    return own[0]


def _load(files: Sequence[Path], folders: Sequence[Path], *, own_only: bool) -> Registry:
    """Load plugins; warn of those that do not load."""
    registry = discover(own_points() if own_only else None, None, files, folders)
    for file in files:
        insist_on_file(registry, file)
    insist_on_unique_names(registry)
    for failure in registry.failures:
        warnings.warn(f"plugin {failure.whose} did not load: {failure.error}", stacklevel=2)
    return registry


def _seeds(seeds: int | str | Iterable[int]) -> tuple[int, ...]:
    if isinstance(seeds, str):
        return parse_seeds(seeds)
    return (seeds,) if isinstance(seeds, int) else tuple(seeds)


def _texts(values: Mapping[str, Any] | None) -> dict[str, str]:
    """Return values as the command line would have them."""
    import json

    return {
        name: value if isinstance(value, str) else json.dumps(value)
        for name, value in (values or {}).items()
    }


def board(*folders: str | Path) -> Board:
    """Return the board that the records of some folders give, a table a task and its data.

    Raises:
        StoreError: There is no such folder.
    """
    from codonbench.ranking.board import build_board

    found = [item for folder in folders or ("runs",) for item in load_records(folder)]
    return build_board(found, _load((), (), own_only=False).known_tasks)
