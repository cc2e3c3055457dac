"""The Python door: benchmark runs, and their records as a list, a table and a board."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from operator import index
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from codonbench.contracts.run_spec import RunOptions, RunRequest, RunSpec, configure, parse_seeds
from codonbench.data.cache import is_offline
from codonbench.errors import ConfigError
from codonbench.execution.device_locks import Terms
from codonbench.execution.executor import Executor
from codonbench.execution.prepare import Job
from codonbench.execution.run import Outcome, Train, run_all
from codonbench.plugins import discovery
from codonbench.plugins.entries import ModelClass
from codonbench.plugins.registry import Registry
from codonbench.plugins.selection import selection_from_environment
from codonbench.protocols.referee import OnSnapshot, unwatched
from codonbench.records.store import Store
from codonbench.records.table import Records, load_records

if TYPE_CHECKING:
    from pandas import DataFrame

    from codonbench.ranking.board import Board


class Follower:
    """Who follows the runs of a job for a person who waits; by itself it warns, and no more."""

    def watch(self, run_spec: RunSpec) -> OnSnapshot:
        """Hear that a run begins; return what follows its evaluations."""
        return unwatched(run_spec)

    def remark(self, sentence: str) -> None:
        """Say what is set aside, what is waited for, what goes on from where."""
        warnings.warn(sentence, stacklevel=2)

    def finished(self, outcome: Outcome) -> None:
        """Hear of a run that is stored."""

    def around(self, train: Train) -> Train:
        """Return what trains, perhaps with more said of what fails."""
        return train


def outcomes(
    job: Job,
    request: RunRequest,
    options: RunOptions,
    executor: Executor,
    follow: Callable[[Job], AbstractContextManager[Follower]] = lambda job: nullcontext(Follower()),
) -> Iterator[Outcome]:
    """Run a job, yield one outcome a seed: the line that `run` and the command line share."""
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
    model: str | Path | ModelClass,
    task: str | None = None,
    data: str | Path | DataFrame | None = None,
    seeds: int | str | Iterable[int] = 0,
    results: str | Path = "runs",
    *,
    config: Mapping[str, Any] | None = None,
    task_options: Mapping[str, Any] | None = None,
    plugin: str | Path | Iterable[str | Path] = (),
    **further: Any,
) -> Records:
    """Train a model on a task, score it, store the records, and return them, one a seed.

    What is recorded in `results` already is not run again, and what was cut short goes on.
    Installed models and those of files are trained in worker processes; a class or a function,
    which no other process could import, in this one.

    Args:
        model: A name; a class or a function marked with `codonbench.model`; or the path of a
            Python file with one model in it.
        task: A name; where it is None the default task, or the table that `data` is.
        data: A data source's name, a path, or a pandas table; the task's default where it is None.
        seeds: One, several, or ``"0-9"``.
        results: The folder of records.
        config: Fields of the model to set.
        task_options: Options of the task to set.
        plugin: Python files that register more plugins.
        further: Fields of `RunRequest` and `RunOptions`: ``pairs=``, ``epochs=``, ``full=``,
            ``device=``, ``engine=``, ``workers=``, ``timeout=``, ...

    Raises:
        UsageError: What was asked cannot be done; says why, and what to do.
        PluginError: A plugin failed outside of a run.
    """
    if not isinstance(data, str | Path | None):
        with TemporaryDirectory() as folder:
            data.to_csv(table := Path(folder, "frame.csv"), index=False)
            return run(
                model,
                task,
                table,
                seeds,
                results,
                config=config,
                task_options=task_options,
                plugin=plugin,
                **further,
            )
    given = not isinstance(model, str | Path)
    file = Path(str(model)) if isinstance(model, Path) or str(model).endswith(".py") else None
    files = [*([plugin] if isinstance(plugin, str | Path) else plugin), *([file] if file else ())]
    _check(further, given, file)
    asked = {
        "model": "any" if given else str(model),  # its name is known once plugins are loaded
        "task": task,
        "data": None if data is None else str(data),
        "seeds": _seeds(seeds),
        "overrides": _texts(config or {}),
        "task_overrides": _texts(task_options or {}),
        **{name: further[name] for name in further.keys() & RunRequest.model_fields.keys()},
        "offline": is_offline(bool(further.get("offline"))),
    }
    where = {
        "results": Path(results),
        "plugin": tuple(map(Path, files)),
        **{name: further[name] for name in further.keys() & RunOptions.model_fields.keys()},
        **({"workers": 0} if given else {}),
    }
    request = configure(RunRequest, asked, {}, "codonbench.run")
    options = configure(RunOptions, where, {}, "codonbench.run")
    with (
        _settings_kept(options),
        Executor(options, request, _load, selection_from_environment()) as executor,
    ):
        registry = executor.registry
        if given or file:
            name = registry.model_of_file(file) if file else registry.add_model(model)
            request = request.model_copy(update={"model": name})
        job = executor.prepare(request)
        records = (o.record for o in outcomes(job, request, options, executor))
        return Records(sorted(records, key=lambda record: request.seeds.index(record.seed)))


def board(*folders: str | Path) -> Board:
    """Return the board that the records of folders give (``runs`` by default).

    It prints as Markdown tables, and its fields hold every figure.

    Raises:
        StoreError: There is no such folder.
    """
    from codonbench.ranking.board import build_board
    from codonbench.report.markdown import PrintedBoard

    found = [record for folder in folders or ("runs",) for record in load_records(folder)]
    board = build_board(found, _load((), (), own_only=False).known_tasks)
    return PrintedBoard(**dict(board))


def _check(further: Mapping[str, Any], given: bool, file: Path | None) -> None:
    """Raise ConfigError where arguments are unknown or do not go together."""
    known = RunRequest.model_fields.keys() | RunOptions.model_fields.keys()
    if unknown := sorted(further.keys() - known):
        why = f"no argument {unknown[0]!r}; there is also {', '.join(sorted(known))}"
    elif given and (further.get("workers") or further.get("sandbox")):
        why = "a class is trained in this process; for workers or a sandbox, put it in a file"
    elif file and further.get("sandbox"):
        why = f"sandbox=True imports no file here: name the model, with plugin={str(file)!r}"
    else:
        return
    raise ConfigError(f"codonbench.run: {why}")


def _load(files: Sequence[Path], folders: Sequence[Path], *, own_only: bool) -> Registry:
    """Load plugins; warn of those that do not load."""
    points = discovery.own_points() if own_only else None
    registry = discovery.load_registry(points, None, files, folders)
    for failure in registry.failures:
        warnings.warn(f"plugin {failure.whose} did not load: {failure.error}", stacklevel=2)
    return registry


def _settings_kept(options: RunOptions) -> AbstractContextManager[None]:
    """Put PyTorch's settings, which a run in this process pins, back on leaving."""
    if options.workers != 0:
        return nullcontext()
    from codonbench.testing.environment import kept_settings

    return kept_settings()


def _seeds(seeds: int | str | Iterable[int]) -> tuple[int, ...]:
    if isinstance(seeds, str):
        return parse_seeds(seeds)
    several = seeds if isinstance(seeds, Iterable) else (seeds,)
    return parse_seeds(",".join(str(index(seed)) for seed in several))


def _texts(values: Mapping[str, Any]) -> dict[str, str]:
    """Return values as the command line would have them."""
    return {
        n: value if isinstance(value, str) else json.dumps(value) for n, value in values.items()
    }
