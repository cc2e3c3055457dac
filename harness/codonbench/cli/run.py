"""`bench run`: train a model on a task, score it, store the records, show where it stands."""

from __future__ import annotations

import secrets
import sys
from collections.abc import Iterator
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TextIO

import typer

from codonbench.cli.exit_codes import FAILED, INTERRUPTED
from codonbench.cli.folders import (
    RESULTS,
    PluginOption,
    PluginsDirOption,
    ResultsOption,
    cache_folder,
    is_offline,
)

if TYPE_CHECKING:
    from codonbench.cli.hands import Hands
    from codonbench.contracts.run_spec import RunRequest
    from codonbench.execution.device_locks import Terms
    from codonbench.execution.prepare import Job
    from codonbench.execution.run_all import Outcome
    from codonbench.records.store import Store


def run(
    ctx: typer.Context,
    model: Annotated[
        str | None, typer.Option("--model", "-m", help="A model or preset.", show_default=False)
    ] = None,
    suite: Annotated[
        str | None,
        typer.Option(
            help="Instead of a model: a TOML file or a shipped suite. Other options stand in for "
            "its defaults; what one of its runs sets itself stays."
        ),
    ] = None,
    task: Annotated[
        str | None,
        typer.Option("--task", "-t", help="A task; without it, the one that is the default."),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option("--data", "-d", help="A data source's name or a FASTA file."),
    ] = None,
    seeds: Annotated[str, typer.Option("--seeds", "-s", help="As in 0-9 or 0,3,5.")] = "0",
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="FIELD=VALUE", help="Override a field of the model."),
    ] = None,
    task_settings: Annotated[
        list[str] | None,
        typer.Option("--task-set", metavar="FIELD=VALUE", help="Set an option of the task."),
    ] = None,
    genetic_code: Annotated[
        int | None,
        typer.Option(help="NCBI translation table; short for --task-set genetic_code=N."),
    ] = None,
    control: Annotated[
        str | None,
        typer.Option(
            help="shuffled: the same pairs under genetic codes shuffled for each seed; short for "
            "--task-set control=shuffled."
        ),
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="Budget in epochs.")] = None,
    pairs: Annotated[int | None, typer.Option(help="Budget in training pairs.")] = None,
    full: Annotated[
        bool, typer.Option("--full", help="Spend the whole budget, with no early stop.")
    ] = False,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    threads: Annotated[int, typer.Option(help="CPU threads of each worker.")] = 1,
    engine: Annotated[
        str,
        typer.Option(help="auto, eager (the reference loop), traced, compiled, or graph (GPU)."),
    ] = "auto",
    workers: Annotated[
        int | None,
        typer.Option(
            min=0,
            envvar="CODONBENCH_WORKERS",
            help="Processes that train, one for each core by default; 0: train in this one.",
        ),
    ] = None,
    timeout: Annotated[
        float | None,
        typer.Option(
            min=0.1, help="Seconds that a run may take, and with --sandbox its plugin to load."
        ),
    ] = None,
    checkpoint_every: Annotated[
        float,
        typer.Option(
            min=0,
            metavar="SECONDS",
            help="How often to keep how far a run has come, so that one cut short goes on from "
            "there; 0: never.",
        ),
    ] = 10.0,
    sandbox: Annotated[
        bool,
        typer.Option(
            "--sandbox",
            help="Let the model's code see no network, no file but its own, and only so much "
            "memory; needs bubblewrap.",
        ),
    ] = False,
    exclusive: Annotated[
        bool,
        typer.Option(
            "--exclusive", help="Share the processors with no other run; a GPU is never shared."
        ),
    ] = False,
    no_wait: Annotated[
        bool,
        typer.Option("--no-wait", help="Exit 2 rather than wait for what another run has."),
    ] = False,
    salt: Annotated[
        str | None,
        typer.Option(
            help="Of the relabelling; written into the record. fresh: one that nobody knows yet."
        ),
    ] = None,
    plugin: PluginOption = None,
    plugins_dir: PluginsDirOption = None,
    results: ResultsOption = RESULTS,
    against: Annotated[
        Path | None,
        typer.Option(help="A folder of other records to rank with; it is only read."),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Run again what is already recorded.")
    ] = False,
    offline: Annotated[bool, typer.Option("--offline", help="Forbid network access.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON record a line and nothing else.")
    ] = False,
) -> None:
    """Train a model, probe it, score it, and show where it stands.

    A run stops as its task's protocol says, at the latest at the budget;
    --full spends the whole budget. Records
    go to --results; what is recorded there already is not run again. A suite
    is a list of such runs; one that fails is named at the end, and the rest go on.
    """
    from codonbench.cli.suite import check_model_or_suite, chosen_suite
    from codonbench.contracts.run_spec import RunRequest, configure, parse_seeds, parse_settings
    from codonbench.errors import ConfigError, StoreError

    check_model_or_suite(model, suite)
    task_overrides = parse_settings(task_settings or [], "--task-set")
    if genetic_code is not None:
        task_overrides["genetic_code"] = str(genetic_code)
    if control is not None:
        task_overrides["control"] = control
    asked = {
        "model": "any" if model is None else model,
        "task": task,
        "data": data,
        "seeds": parse_seeds(seeds),
        "overrides": parse_settings(settings or [], "--set"),
        "task_overrides": task_overrides,
        "epochs": epochs,
        "pairs": pairs,
        "full": full,
        "device": device,
        "threads": threads,
        "engine": engine,
        "offline": is_offline(offline),
        "force": force,
    }
    if salt is not None:
        asked["salt"] = secrets.token_hex(16) if salt == "fresh" else salt
    request = configure(RunRequest, asked, {}, "run")
    chosen = None if suite is None else chosen_suite(ctx, suite, request)
    if against is not None and not against.is_dir():
        raise StoreError(f"--against {against} is no folder of records")
    from codonbench.execution.processes import warm_up
    from codonbench.execution.sandbox import unavailable

    if sandbox and workers == 0:
        raise ConfigError("--sandbox holds worker processes: leave out --workers 0")
    if sandbox and (reason := unavailable()):
        raise ConfigError(f"--sandbox: {reason}")
    if workers != 0 and not sandbox:
        warm_up()
    # PyTorch takes seconds to load: only once what was asked makes sense.
    from codonbench.cli.console import messages, output, say
    from codonbench.cli.hands import Hands, SandboxedHands
    from codonbench.cli.standing import print_standing
    from codonbench.cli.suite import print_summary, records_of, run_suite
    from codonbench.execution.device_locks import Terms
    from codonbench.execution.prepare import prepare
    from codonbench.records.store import Store

    terms = Terms(alone=exclusive, wait=not no_wait)
    given, store = (workers, timeout, plugin or [], plugins_dir or []), Store(results)
    hands = SandboxedHands(*given, results) if sandbox else Hands(*given)
    printed = sys.stdout

    def run_one(request: RunRequest) -> Iterator[Outcome]:
        with messages().status("reading the data"):
            hands.get_ready(request)
            job = prepare(request, hands.registry, cache_folder())
        store.prepare()
        lines = printed if as_json else None
        every = checkpoint_every or None
        debug = bool(ctx.find_root().params.get("debug"))
        yield from _run_all(
            job, hands, store, terms, force=force, every=every, lines=lines, debug=debug
        )

    entries = []
    with redirect_stdout(sys.stderr):  # plugins may print, and standard output is for results
        if chosen is None:
            records = [outcome.record for outcome in run_one(request)]
        else:
            entries = run_suite(chosen, run_one)
            records = records_of(entries)
    if records and not as_json:
        tasks = hands.registry.known_tasks
        print_standing(records, store, Store(against) if against else None, tasks)
        where = "" if results == RESULTS else f" --results {results}"
        say(f"\nrecords are in {results}; to see one: bench show {records[0].run_id[:8]}{where}")
    if chosen is not None:
        print_summary(chosen, entries, messages() if as_json else output())
    statuses = {record.status for record in records}
    if "interrupted" in statuses:
        raise typer.Exit(INTERRUPTED)
    if statuses & {"error", "timeout"} or any(entry.problem for entry in entries):
        raise typer.Exit(FAILED)


def _run_all(
    job: Job,
    hands: Hands,
    store: Store,
    terms: Terms,
    *,
    force: bool,
    every: float | None,
    lines: TextIO | None,
    debug: bool,
) -> Iterator[Outcome]:
    """Run a job's specs and yield what becomes of each, its record written to `lines`.

    Where `debug`, the traceback of an exception in a plugin is shown.
    """
    from codonbench.cli.progress import RunDisplay
    from codonbench.execution.run_all import run_all

    live = lines is None or not lines.isatty()  # a bar would run through the lines
    learn = hands.learn(job.run_specs[0])
    with RunDisplay(job, brief=lines is not None, live=live) as display:
        for outcome in run_all(
            job,
            hands.registry,
            store,
            display.watch,
            display.with_tracebacks(learn) if debug else learn,
            force=force,
            terms=terms,
            every=every,
            confinement=hands.confinement(job),
            say=display.remark,
        ):
            display.finished(outcome)
            if lines is not None:
                print(outcome.record.to_line(), file=lines, flush=True)
            yield outcome
