"""`bench run`: train a model on a task, score it, store the records, show where it stands."""

from __future__ import annotations

import secrets
import sys
from collections.abc import Iterator
from contextlib import redirect_stdout
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from codonbench.cli import FAILED, INTERRUPTED
from codonbench.cli.bars import building_shown
from codonbench.cli.console import messages, output, say, terminal_kept
from codonbench.cli.options import (
    RESULTS,
    debug,
    extra_options,
    files_of,
    load_plugins,
    name_of,
    with_options_of,
)
from codonbench.contracts.run_spec import (
    RunOptions,
    RunRequest,
    configure,
    parse_seeds,
    parse_settings,
)
from codonbench.errors import ConfigError, StoreError
from codonbench.execution.prepare import read_preset
from codonbench.records.files import is_offline

if TYPE_CHECKING:
    from codonbench.execution.run import Outcome


@with_options_of(
    RunRequest,
    RunOptions,
    names={
        "model": ("--model", "-m"),
        "task": ("--task", "-t"),
        "data": ("--data", "-d"),
        "seeds": ("--seeds", "-s"),
        "overrides": ("--set",),
        "task_overrides": ("--task-set",),
        "protocol_overrides": ("--protocol-set",),
        "results": ("--results", "-r"),
    },
    defaults={"seeds": "0"},
    more={
        "workers": {"envvar": "CODONBENCH_WORKERS"},
        "checkpoint_every": {"metavar": "SECONDS"},
    },
)
def run(
    ctx: typer.Context,
    values: dict[str, Any],
    suite: Annotated[
        str | None,
        typer.Option(
            help="A suite instead of a model: a TOML file or a built-in suite. Other "
            "options override its defaults, but not what its runs set themselves."
        ),
    ] = None,
    against: Annotated[
        Path | None,
        typer.Option(help="A folder of other records to rank against; it is not changed."),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON record a line and nothing else.")
    ] = False,
) -> None:
    """Train a model, score it, and show its rank.

    A run ends as its task's protocol says, at the latest with its budget; --full spends the
    whole budget. Records go to --results; recorded runs are not repeated. A suite is a list of
    runs; those that fail are named at the end, and the rest go on. Set options of the task by
    --NAME VALUE or --task-set. 'bench ls --help' says which columns a narrow terminal leaves
    out.
    """
    if values["model"] is None and suite is None and values["preset_file"] is None:
        raise ConfigError("give --model NAME, or --suite NAME; 'bench ls models' lists models")
    if values["model"] is not None and suite is not None:
        raise ConfigError("give --model or --suite, not both: a suite names its own models")
    request, options = _request(ctx, values), _options(values)
    from codonbench.cli import suites  # from here on, what `bench run --help` need not

    chosen = None if suite is None else suites.chosen_suite(ctx, suite, request)
    if against is not None and not against.is_dir():
        raise StoreError(f"--against {against} is no folder of records")
    # Workers come up while this process reads plugins and data; the rest is loaded in that time.
    from codonbench.execution.executor import Executor

    ctx.with_resource(terminal_kept())  # before workers inherit it
    executor = Executor(options, request, load_plugins, say, watch=building_shown)
    ctx.call_on_close(executor.close)
    request = request.model_copy(update={"model": name_of(request.model, executor.registry)})
    from codonbench.cli.progress import RunDisplay
    from codonbench.records.store import Store

    lines = sys.stdout if as_json else None
    live = lines is None or not lines.isatty()  # a bar would run through the lines
    follow = partial(RunDisplay, lines=lines, live=live, debug=debug())

    def run_one(request: RunRequest) -> Iterator[Outcome]:
        executor.get_ready(request)  # an environment that is built draws a bar of its own
        with messages().status("reading the data"):
            job = executor.prepare(request)
        if job.run_specs[0].is_own_table and not as_json:
            from codonbench.cli.audit_data import remark_on_data

            say(remark_on_data(job.dataset))
        yield from executor.outcomes(job, request, follow)
        if (twin := executor.twin(job, request)) is not None:
            say("the same, randomly initialised, so that the gain of pretraining is known:")
            yield from run_one(twin)

    entries, records = [], []
    with redirect_stdout(sys.stderr):  # plugins may print, and standard output is for results
        if options.on != "local":
            wanted = [request] if chosen is None else list(chosen.requests)
            entries = suites.run_at_once(wanted, executor, options, lines)
            if chosen is None and (error := entries[0].error) is not None:
                raise error
        elif chosen is None:
            records = [outcome.record for outcome in run_one(request)]
        else:
            entries = suites.run_suite(chosen, run_one)
    records += [outcome.record for entry in entries for outcome in entry.outcomes]
    if records and not as_json:
        from codonbench.cli.board_tables import print_tables_of  # takes a second: SciPy

        others = Store(against) if against else None
        print_tables_of(records, Store(options.results), others, executor.registry)
        where = "" if options.results == RESULTS else f" --results {options.results}"
        say(
            f"\nrecords are in {options.results}; to see one: "
            f"bench show {records[0].run_id[:8]}{where}"
        )
    if chosen is not None:
        suites.print_summary(chosen, entries, messages() if as_json else output())
    statuses = {record.status for record in records}
    if "interrupted" in statuses:
        raise typer.Exit(INTERRUPTED)
    if statuses & {"error", "timeout"} or any(entry.problem for entry in entries):
        raise typer.Exit(FAILED)


def _request(ctx: typer.Context, values: dict[str, Any]) -> RunRequest:
    """Return the request.

    Raises:
        ConfigError: A field is wrong, or an option is no one's.
    """
    given = {name: values[name] for name in RunRequest.model_fields}
    own = extra_options(ctx.args, [name for option in ctx.command.params for name in option.opts])
    file = given["preset_file"]
    read = {
        "model": given["model"] or ("any" if file is None else read_preset(file).model),
        "seeds": parse_seeds(given["seeds"]),
        "overrides": parse_settings(given["overrides"] or [], "--set"),
        "task_overrides": parse_settings(given["task_overrides"] or [], "--task-set") | own,
        "protocol_overrides": parse_settings(given["protocol_overrides"] or [], "--protocol-set"),
        "salt": secrets.token_hex(16) if given["salt"] == "fresh" else given["salt"],
        "offline": is_offline(given["offline"]),
    }
    return configure(RunRequest, given | read, {}, "run")


def _options(values: dict[str, Any]) -> RunOptions:
    given = {name: values[name] for name in RunOptions.model_fields.keys() & values.keys()}
    lists = {
        "plugin": files_of(values["model"], given["plugin"]),
        "plugins_dir": tuple(given["plugins_dir"] or ()),
    }
    resources = parse_settings(given["resources"] or [], "--resources")
    return configure(RunOptions, given | lists | {"resources": resources}, {}, "run")
