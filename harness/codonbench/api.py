"""The Python door: benchmark runs, and their records as a list, a table and a board.

The command line goes the same way: see `execution.executor`.
"""

from __future__ import annotations

import contextlib
import re
import sys
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from difflib import get_close_matches
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from codonbench.contracts.run_record import RunRecord
from codonbench.contracts.run_spec import RunOptions, RunRequest, configure
from codonbench.data.own_table import is_table
from codonbench.errors import BenchError, ConfigError, UnknownNameError, UsageError
from codonbench.execution.executor import Executor, Listener, load_plugins
from codonbench.execution.prepare import Job, task_and_data
from codonbench.plugins.entries import ModelClass
from codonbench.plugins.registry import Registry
from codonbench.records.files import cache_folder, is_offline
from codonbench.records.table import Records, load_records

if TYPE_CHECKING:
    from pandas import DataFrame

    from codonbench.leakage.audit import Subject
    from codonbench.leakage.verdict import DataAudit
    from codonbench.ranking.board import Board

_ARGUMENTS = {
    "set": "config",
    "overrides": "config",
    "task_set": "task_options",
    "task_overrides": "task_options",
    "protocol_set": "protocol_overrides",
}
"""What Python calls a word of the command line, or a field of a request."""

_KNOWN = (
    (RunRequest.model_fields.keys() | RunOptions.model_fields.keys()) - _ARGUMENTS.keys()
) | set(_ARGUMENTS.values())
"""The arguments of `run`."""

_WORDS = re.compile(
    r"'bench [^']*'|--(?P<option>[a-z][a-z-]*)"
    r"(?: (?P<field>\w+)=(?P<set>[\w.,]*\w)?| (?P<value>[\w.]+)(?=$|[;:)]))?"
)
"""A command in a message, or an option, perhaps with what it is set to."""


@contextmanager
def _in_python() -> Iterator[None]:
    """Have messages name arguments where they would name options of the command line."""
    try:
        yield
    except BenchError as error:
        error.args = (_WORDS.sub(_argument, str(error)),)
        raise


def _argument(found: re.Match[str]) -> str:
    """Return an option as one types it in Python: ``--task-set target=y``, ``--epochs 3``."""
    option, field, set_, value = found.group("option", "field", "set", "value")
    name = (option or "").replace("-", "_")
    argument = _ARGUMENTS.get(name, name)
    if argument not in _KNOWN or (field and name == argument):
        return found[0]
    if field:
        return f"{argument}={{{field!r}: {_typed(set_ or '')}}}"
    return f"{argument}={_typed(value) if value else ''}"


def _typed(value: str) -> str:
    return value if value.isdecimal() else repr(value)


@_in_python()
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
    """Train a model on a task, score it, and store and return the records, one per seed.

    Your own table is audited first; faults are warned of and shown on the board. Runs recorded in
    `results` are not repeated, and interrupted runs resume. Installed models and those of files are
    trained in worker processes. A class or a function, which other processes cannot import, is
    trained in this one; its records say ``confinement: none``. The records of a pretrained model
    are followed by those of its random twin, unless ``no_twin=True``.

    Args:
        model: A name; a class or a function marked with `codonbench.model`; or the path of a
            Python file with one model in it.
        task: A name; None for the default task, or for the table in `data`.
        data: A data source's name, a path, or a pandas table, whose task is called ``frame`` unless
            `task_options` has a ``name``; None for the task's default.
        seeds: One, several, or ``"0-9"``.
        results: The folder of records.
        config: Fields of the model to set.
        task_options: Options of the task to set.
        plugin: Python files that register more plugins.
        further: Fields of `RunRequest` and `RunOptions`: ``pairs=``, ``epochs=``, ``full=``,
            ``device=``, ``engine=``, ``workers=``, ``timeout=``, ``trust=``, ``on=``, ...

    Raises:
        UsageError: The run cannot be made; the message says why, and what to do.
        PluginError: A plugin failed outside of a run.
        KeyboardInterrupt: Ctrl-C ended it; what was under way has a record with that status.
    """
    if not isinstance(data, str | Path | None):
        with _saved(data) as (table,):
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
    fields = {
        "model": "any" if given else str(model),  # its name is known once plugins are loaded
        "task": task,
        "data": None if data is None else str(data),
        "seeds": seeds,
        "overrides": config or {},
        "task_overrides": task_options or {},
        **{name: further[name] for name in further.keys() & RunRequest.model_fields.keys()},
        "offline": is_offline(bool(further.get("offline"))),
    }
    where = {
        "results": Path(results),
        "plugin": tuple(map(Path, files)),
        **{name: further[name] for name in further.keys() & RunOptions.model_fields.keys()},
        **({"workers": 0} if given else {}),
    }
    request = configure(RunRequest, fields, {}, "codonbench.run")
    options = configure(RunOptions, where, {}, "codonbench.run")
    load = partial(load_plugins, trusted=options.trust)
    with _settings_kept(options), Executor(options, request, load) as executor:
        registry = executor.registry
        if given or file:
            name = registry.model_of_file(file) if file else registry.add_model(model)
            request = request.model_copy(update={"model": name})
        if options.on != "local":
            from codonbench.execution.cluster_runs import run_on

            made = []
            ended = list(run_on(executor, options, [request], _OfData()))  # all are stored by now
            for _, outcome in ended:
                if isinstance(outcome, BenchError):
                    raise outcome
                made.append(outcome.record)
            _require_end(made)
            seeds = request.seeds
            return Records(sorted(made, key=lambda r: (str(r.overrides), seeds.index(r.seed))))
        found: list[RunRecord] = []
        due: RunRequest | None = request
        while due is not None:
            job = executor.prepare(due)
            _warn_of_data(job)
            records = [outcome.record for outcome in executor.outcomes(job, due)]
            _require_end(records)
            found += sorted(records, key=lambda record: request.seeds.index(record.seed))
            due = executor.twin(job, due)
        return Records(found)


def board(*folders: str | Path, with_failed: bool = False) -> Board:
    """Return the board of the records in folders (``runs`` by default).

    It has the audits of the data that are beside the records or in the cache. It prints as Markdown
    tables; its fields hold every figure. Summaries over tasks leave out tasks whose data audit is
    FAIL, unless `with_failed` is set.

    Raises:
        StoreError: There is no such folder, or test outputs in it are damaged.
    """
    from codonbench.leakage.boards import read_audits, with_audits, with_rules
    from codonbench.ranking.board import build_board
    from codonbench.ranking.items import gather_tested
    from codonbench.records.files import board_folder
    from codonbench.records.store import Store
    from codonbench.report.markdown import PrintedBoard

    registry, found = load_plugins(), {}
    audits: dict[str, DataAudit] = {}
    for folder in map(Path, folders or ("runs",)):
        found[folder] = load_records(folder)
        audits |= read_audits(board_folder(folder), registry.known_tasks)
    tested = gather_tested(
        [(Store(folder), records) for folder, records in found.items()], registry
    )
    everything = [record for records in found.values() for record in records]
    made = build_board(everything, registry.known_tasks, with_rules(tested, audits))
    return PrintedBoard(**dict(with_audits(made, audits, with_failed)))


@_in_python()
def compare(first: str, second: str, *folders: str | Path, task: str | None = None) -> DataFrame:
    """Return how two models compare on the same seeds and test items, as a pandas table.

    Args:
        first: A model, a preset, or a row's whole name as the board shows it.
        second: Another.
        folders: Results folders (``runs`` by default).
        task: Only this task; None for all.

    Returns:
        A row for each table of the board that has both, with the columns of
        `codonbench.ranking.pairwise.Comparison`: ``difference`` is the first's score minus the
        second's, ``low`` and ``high`` its 95 % interval over seeds and test items, ``p`` two-sided,
        ``clean_difference`` that on the test items without a near-copy in training.

    Raises:
        UsageError: No table has both, or their test outputs are missing.
        StoreError: There is no such folder, or test outputs in it are damaged.
    """
    from pandas import DataFrame

    from codonbench.leakage.boards import near_copies, read_audits
    from codonbench.ranking.pairwise import compare_pair
    from codonbench.records.files import board_folder
    from codonbench.records.store import Store

    registry, found = load_plugins(), []
    audits: dict[str, DataAudit] = {}
    for folder in map(Path, folders or ("runs",)):
        found.append((Store(folder), load_records(folder)))
        audits |= read_audits(board_folder(folder), registry.known_tasks)
    made = compare_pair(found, registry, first, second, task, near_copies(audits))
    return DataFrame([each.model_dump() for each in made])


@_in_python()
def audit_data(
    *data: str | Path | DataFrame,
    task_options: Mapping[str, str] | None = None,
    plugin: str | Path | Iterable[str | Path] = (),
    trust: Iterable[str] = (),
    offline: bool = False,
) -> DataAudit:
    """Return what a score on some data is worth: copies across splits, and rules without a model.

    Args:
        data: A task's name; or a table, as a path or a pandas table; or the tables of two or three
            splits: training, perhaps validation, test.
        task_options: Fields of the table, or options of the task.
        plugin: Python files that register more plugins.
        trust: Which of these, and of distributions of others, this process may import, by name.
        offline: Forbid network access.

    Raises:
        UsageError: The data are missing or unusable, or no test items stand apart.
    """
    from codonbench.leakage.audit import audited

    files = [plugin] if isinstance(plugin, str | Path) else plugin
    registry = load_plugins(tuple(map(Path, files)), trusted=trust)
    with _saved(*data) as paths:
        subject = subject_of(paths, task_options or {}, registry, None, is_offline(offline))
        return audited(subject, cache_folder())


@contextmanager
def _saved(*data: str | Path | DataFrame) -> Iterator[list[str]]:
    """Write pandas tables to files; a fault names the table and its row, not file and line.

    Raises:
        ConfigError: One is neither a path nor a pandas table.
    """
    with TemporaryDirectory() as folder:
        paths, frames = [], {}
        for i, each in enumerate(data):
            if isinstance(each, str | Path):
                paths.append(str(each))
                continue
            if not hasattr(each, "to_csv"):
                kind = type(each).__name__
                raise ConfigError(f"data is a {kind}; expected a path or a pandas table")
            paths.append(str(Path(folder, f"frame{i or ''}.csv")))
            each.to_csv(paths[-1], index=False)
            frames[paths[-1]] = each
        try:
            yield paths
        except UsageError as error:
            message = str(error)
            for path, frame in frames.items():
                number = paths.index(path) + 1
                table = "the pandas table" if len(data) == 1 else f"pandas table {number}"
                at = partial(_row_of, frame, table, path)
                message = re.sub(rf"{re.escape(path)}(?:, line (\d+))?", at, message)
            error.args = (message,)
            raise


def _row_of(frame: DataFrame, table: str, path: str, found: re.Match[str]) -> str:
    """Return a table's name, and the row that the line of its file holds."""
    with Path(path).open(encoding="utf-8", newline="") as file:
        a_line_each = sum(1 for _ in file) == len(frame) + 1  # not where cells have line breaks
    is_row = a_line_each and found[1] not in (None, "1")
    return f"{table}, row {frame.index[int(found[1]) - 2]}" if is_row else table


def subject_of(
    data: Sequence[str],
    overrides: Mapping[str, str],
    registry: Registry,
    at: str | None,
    offline: bool,
) -> Subject:
    """Return data to be audited.

    Args:
        data: A task's name, a table, or two or three tables: training, validation, test.
        overrides: Options of the task, or fields of the table, as text.
        registry: The plugins.
        at: Path of a task's data; None for its default.
        offline: Forbid network access.

    Raises:
        UsageError: The data are missing or unusable.
    """
    from codonbench.leakage.audit import Subject
    from codonbench.leakage.own_table import table_subject

    if not 1 <= len(data) <= 3:
        raise ConfigError(f"{len(data)} tables; give a task, or one to three tables of its splits")
    first = data[0]
    if len(data) > 1:
        names = ("train", "test") if len(data) == 2 else ("train", "validation", "test")
        named = ",".join(f"{name}={path}" for name, path in zip(names, data, strict=True))
        return table_subject(named, overrides, registry.metrics_of)
    if first not in registry.tasks and (is_table(first) or Path(first).exists()):
        return table_subject(first, overrides, registry.metrics_of)
    fields = {"task": first, "data": at, "task_overrides": dict(overrides), "offline": offline}
    request = configure(RunRequest, {"model": "any", **fields}, {}, "codonbench.audit_data")
    try:
        registry.task(first)
    except UnknownNameError as error:
        raise UnknownNameError(f"no file {first!r}, and {error}") from error
    return Subject(task_and_data(request, registry, cache_folder())[2], {})


def _check(further: Mapping[str, Any], given: bool, file: Path | None) -> None:
    """Raise ConfigError where arguments are unknown or do not go together."""
    if unknown := sorted(further.keys() - _KNOWN):
        name, known = unknown[0], sorted(_KNOWN)
        close = [_ARGUMENTS[name]] if name in _ARGUMENTS else get_close_matches(name, known, 1)
        hint = f"did you mean {close[0]!r}? " if close else ""
        why = f"no argument {name!r}; {hint}there is {', '.join(known)}"
    elif given and any(further.get(name) for name in ("workers", "sandbox", "on")):
        why = "a class is trained in this process; for workers or a sandbox, put it in a file"
    else:
        return
    raise ConfigError(f"codonbench.run: {why}")


class _OfData(Listener):
    """Warns of the data of runs on a cluster."""

    def planned(self, index: int, job: Job) -> None:
        _warn_of_data(job)


def _warn_of_data(job: Job) -> None:
    """Warn of a table of one's own whose audit is no PASS, or that is too large for one."""
    if not job.run_specs[0].is_own_table:
        return
    from codonbench.leakage.own_table import audit_of_run

    audit, more = audit_of_run(job.dataset), "codonbench.audit_data"
    if audit is None:
        warnings.warn(f"data not audited; {more} does, in minutes", stacklevel=_level_outside())
    elif audit.verdict != "PASS":
        warnings.warn(f"data audit: {audit.line}; {more} says more", stacklevel=_level_outside())


def _level_outside() -> int:
    """Return the stack level of the line outside of this file that led to the calling function."""
    frame, level = sys._getframe(1), 1
    while frame.f_back is not None and frame.f_code.co_filename in (__file__, contextlib.__file__):
        frame, level = frame.f_back, level + 1
    return level


def _require_end(records: Iterable[RunRecord]) -> None:
    """Raise KeyboardInterrupt where Ctrl-C ended a run, so that nothing follows that was to."""
    for record in records:
        if record.status == "interrupted":
            raise KeyboardInterrupt(f"{record.name} is recorded as interrupted")


def _settings_kept(options: RunOptions) -> AbstractContextManager[None]:
    """Put PyTorch's settings, which a run in this process pins, back on leaving."""
    if options.workers != 0:
        return nullcontext()
    from codonbench.testing.environment import kept_settings

    return kept_settings()
