"""`bench verify` and `bench audit`: recorded runs made again, and compared."""

from __future__ import annotations

import random
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from codonbench.cli import FAILED
from codonbench.cli.bars import building_shown
from codonbench.cli.find_runs import find_runs
from codonbench.cli.options import (
    RESULTS,
    DataOption,
    PluginOption,
    PluginsDirOption,
    ResultsOption,
    load_plugins,
)
from codonbench.contracts.base import MOST_WORDS
from codonbench.contracts.run_record import FINISHED, RunRecord
from codonbench.contracts.run_spec import MAX_SEED, RunOptions, RunRequest, content_hash
from codonbench.errors import StoreError
from codonbench.execution.executor import Executor
from codonbench.plugins.registry import Registry
from codonbench.records.files import cache_folder, printable
from codonbench.records.store import Store
from codonbench.scoring.score import task_of

SandboxOption = Annotated[
    bool,
    typer.Option("--sandbox", help="Repeat in a sandbox, as 'bench run --sandbox' would."),
]


def verify(
    runs: Annotated[
        list[str],
        typer.Argument(metavar="RUN...", help="Runs, as for 'bench show', and folders of them."),
    ],
    results: ResultsOption = RESULTS,
    data: DataOption = None,
    plugin: PluginOption = None,
    plugins_dir: PluginsDirOption = None,
    keep_trace: Annotated[
        bool,
        typer.Option(
            "--keep-trajectory",
            help="Store the trajectory of an identical repetition beside its record.",
        ),
    ] = False,
    sandbox: SandboxOption = False,
) -> None:
    """Repeat recorded runs and compare them with their records; exit 1 if one differs.

    On the same kind of machine weights and metrics must be identical; on another, metrics must
    lie in the band that codonbench.audit.verify states, and what differs is printed. Committed
    records have no trajectory; --keep-trajectory stores that of an identical repetition, for
    'bench show' and 'bench plot'.
    """
    found = find_runs(runs, results)
    chosen = [each.record for each in found]
    keep = [each.store for each in found] if keep_trace else ()
    executor = _executor(plugin, plugins_dir, sandbox, found[0].path.parent)
    _compare(chosen, executor, data, chosen, keep)


def audit(
    sample: Annotated[int, typer.Option(min=1, help="How many runs to repeat.")] = 3,
    data: Annotated[
        str | None, typer.Option("--data", "-d", help="Only runs on this data source.")
    ] = None,
    file: Annotated[
        str | None, typer.Option("--file", help="Where that source is, if it is a file.")
    ] = None,
    plugin: PluginOption = None,
    plugins_dir: PluginsDirOption = None,
    results: ResultsOption = RESULTS,
    seed: Annotated[
        int | None,
        typer.Option(help="Seed of the random sample; printed, so that it can be repeated."),
    ] = None,
    fresh: Annotated[
        bool,
        typer.Option(
            "--fresh-seeds",
            help="Run the same configurations with a seed that no record has, instead.",
        ),
    ] = False,
    sandbox: SandboxOption = False,
) -> None:
    """Repeat a random sample of finished runs; exit 1 if one differs from its record.

    With --fresh-seeds, the ranking value must lie in the band of the row's recorded seeds,
    which models that were fitted to these seeds may leave.

    Runs on a file are left out unless --data names it and --file says where it is; runs on
    other files of the same name are left out, too.
    """
    executor = _executor(plugin, plugins_dir, sandbox, results)
    chosen_seed = secrets.randbelow(2**31) if seed is None else seed
    finished = [
        record
        for record in Store(results).records()
        if record.status in FINISHED
        and (
            record.dataset.source == data or (data is None and _is_named(record, executor.registry))
        )
    ]
    if file is not None:
        finished = _made_on(finished, file, executor.registry)
    if not finished:
        where = "" if data is None else f" on {file or data}"
        raise StoreError(f"no finished run{where} to repeat in {results}")
    rng = random.Random(chosen_seed)
    chosen = rng.sample(finished, min(sample, len(finished)))
    typer.echo(f"{len(chosen)} of {len(finished)} runs, chosen with --seed {chosen_seed}")
    if fresh:
        from codonbench.audit.verify import with_seed

        taken = {record.seed for record in finished}
        drawn = rng.sample(range(MAX_SEED + 1), len(taken) + len(chosen))
        unused = [seed for seed in drawn if seed not in taken]
        chosen = [with_seed(record, seed) for record, seed in zip(chosen, unused, strict=False)]
    _compare(chosen, executor, file, finished, fresh=fresh)


def _made_on(records: list[RunRecord], file: str, registry: Registry) -> list[RunRecord]:
    """Return the records made on a file; name the others, whose files are called alike."""
    from codonbench.audit.repeat import made_on

    fits: dict[str, bool] = {}
    kept: list[RunRecord] = []
    others: list[RunRecord] = []
    for record in records:
        run_spec = record.run_spec
        key = content_hash([record.task, run_spec.task_options, run_spec.data_checksum])
        if key not in fits:
            fits[key] = made_on(record, registry, cache_folder(), file)
        (kept if fits[key] else others).append(record)
    if others:
        names = ", ".join(record.name for record in others[:5])
        more = f" and {len(others) - 5} more" if len(others) > 5 else ""
        typer.echo(f"left out, made on other data than {file} holds: {names}{more}", err=True)
    return kept


def _executor(
    files: list[Path] | None, folders: list[Path] | None, sandbox: bool, results: Path
) -> Executor:
    """Return what trains: this process, a worker where the model is a stranger's, or a sandbox."""
    options = RunOptions(
        workers=1 if sandbox else 0,
        sandbox=sandbox,
        plugin=tuple(files or ()),
        plugins_dir=tuple(folders or ()),
        results=results,
    )
    return Executor(options, None, load_plugins, watch=building_shown)


def _is_named(record: RunRecord, registry: Registry) -> bool:
    """Return whether a record's data need no path."""
    task = registry.tasks.get(record.task)
    return task is not None and record.dataset.source in task.task.data_names


def _compare(
    records: list[RunRecord],
    executor: Executor,
    data: str | None,
    peers: list[RunRecord],
    keep: Sequence[Store] = (),
    *,
    fresh: bool = False,
) -> None:
    """Repeat each record, print the result, exit 1 if one differs.

    Args:
        records: Records to repeat.
        executor: The plugins, and what trains.
        data: Path of the data; see `codonbench.audit.repeat.repeat`.
        peers: Runs to measure the band from; see `codonbench.audit.verify.compare`.
        keep: Store of each record's trajectory if the repetition is identical; or nothing.
        fresh: Whether the records have seeds that none of `peers` has.
    """
    from codonbench.audit.repeat import naming_its_file, repeat  # takes seconds: PyTorch
    from codonbench.audit.verify import compare, compare_fresh, same_row
    from codonbench.cli.progress import followed

    differ = False
    for i, record in enumerate(records):
        with naming_its_file(record):
            request = RunRequest(
                model=record.model, task=record.task, overrides=record.run_spec.config
            )
            executor.get_ready(request, f"record {record.name}, as its model is now")
            executor.registry.model(record.model)
        seconds = record.timings.total
        task = task_of(record, executor.registry.known_tasks)
        pairs = f"{record.pairs:,} {'examples' if task is None else task.counted_in}"
        typer.echo(f"{record.name}: {pairs}, took {seconds:.0f} s", err=True)
        train = executor.train_as(record)
        repetition = repeat(record, executor.registry, cache_folder(), data, train, followed)
        row = [peer for peer in peers if same_row(peer, record)]
        found = compare_fresh(repetition, row) if fresh else compare(repetition, row)
        typer.echo(f"{found.name}: {found.outcome}")
        for difference in (*found.differences, *found.allowed):
            typer.echo(f"  {printable(difference, MOST_WORDS)}")
        if keep and found.outcome == "identical" and record.trajectory_sha256 is not None:
            typer.echo(f"  trajectory: {keep[i].save_trajectory(record, repetition.trajectory)}")
        differ = differ or found.outcome == "different"
        executor.forget()  # what it may have learned of this seed, for the next
    if differ:
        raise typer.Exit(FAILED)
