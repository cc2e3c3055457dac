"""Commands on records: `bench show`, `export`, `validate`, `keygen` and `sign`."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from codonbench.cli import FAILED
from codonbench.cli.console import cell, ending, new_table, number, output, say
from codonbench.cli.find_runs import find_run
from codonbench.cli.options import (
    RESULTS,
    PluginOption,
    PluginsDirOption,
    ResultsOption,
    load_plugins,
)
from codonbench.contracts import Task, TaskSpec
from codonbench.contracts.run_record import RunRecord
from codonbench.contracts.run_spec import MOST_PAIRS, RunSpec
from codonbench.errors import ConfigError, StoreError
from codonbench.records import signing
from codonbench.records.files import plain_json, printable
from codonbench.scoring.score import task_of

_MOST_PLACES = 20
"""Where a run was taken up again that are shown."""


def show(
    run: Annotated[
        str,
        typer.Argument(
            help="A record's name (mymodel-s0), its run id, the beginning of either, or its file."
        ),
    ],
    results: ResultsOption = RESULTS,
) -> None:
    """Show a run: its settings, its metrics, and what its task adds."""
    found = find_run(run, results)
    record, console = found.record, output()
    console.print(record.name, style="bold")
    registry = load_plugins()
    console.print(facts(record, task_of(record, registry.known_tasks)))
    if record.trajectory_sha256 is None:
        console.print("No trajectory: nothing was evaluated, so there is no matrix and no curve.")
        return
    try:
        trajectory = found.trajectory()
    except StoreError as error:
        say(f"No matrix and no curve: {error}", console=console)
        return
    trajectory = replace(trajectory, task=_printable(trajectory.task))
    run_facts = {"record": record, "trajectory": trajectory, "width": console.width}
    for shown in registry.ask("show_run", **run_facts):
        for part in shown:
            console.print(part)


def _printable(task: TaskSpec) -> TaskSpec:
    """Return a task whose words, such as the names of its classes, steer no terminal."""

    def cleaned(value: Any) -> Any:
        if isinstance(value, dict):
            return {printable(key): cleaned(item) for key, item in value.items()}
        if isinstance(value, list):
            return [cleaned(item) for item in value]
        return printable(value) if isinstance(value, str) else value

    return TaskSpec.model_validate_json(json.dumps(cleaned(task.model_dump(mode="json"))))


def facts(record: RunRecord, task: Task | None) -> Table:
    """Return what a run was and what it measured, a row each; `task` is the run's, if installed."""
    status = ending(record, task)
    simulated = " (simulated)" if record.dataset.simulated else ""
    config = ", ".join(f"{field}={value}" for field, value in record.run_spec.config.items())
    machine, counted = record.machine, "examples" if task is None else task.counted_in
    rows = {
        "status": status if status.startswith(record.status) else f"{record.status}: {status}",
        "run id": record.run_id,
        "model": f"{record.model}, version {record.run_spec.model_version}; {config}",
        "task": f"{record.task} on {record.dataset.source}{simulated}",
        **({"about it": " ".join(record.dataset.notes)} if record.dataset.notes else {}),
        "seed": ", ".join(filter(None, (str(record.seed), record.run_spec.part))),
        "parameters": f"{record.parameters:,}" if record.parameters else "-",
        counted: f"{record.pairs:,} of {_budget(record.run_spec)}",
        **({"taken up again": _places(record.resumed, counted)} if record.resumed else {}),
        "machine": f"{machine.device_name}; torch {machine.torch}; threads: {machine.threads}",
        "weights": record.weights_sha256 or "none",
        **({} if record.tuning is None else {"tuning": "; ".join(record.tuning.notes)}),
        "engine": record.engine.name
        + (f" ({record.engine.reason})" if record.engine.reason else ""),
        "notes": "; ".join((*record.flags, *(f"knows {k}" for k in record.knowledge))) or "none",
    }
    for name, value in record.metrics.items():
        if name not in record.not_measured:
            rows[name] = "never, or not applicable" if value is None else number(value)
    if record.not_measured:
        rows["not measured"] = ", ".join(record.not_measured)
    table = new_table(show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for name, fact in rows.items():
        table.add_row(cell(name), cell(fact))
    return table


def _budget(run_spec: RunSpec) -> str:
    if run_spec.budget_pairs < MOST_PAIRS:
        return f"{run_spec.budget_pairs:,}"
    return f"what {run_spec.budget_seconds:g} s allow"


def _places(resumed: Sequence[int], counted: str) -> str:
    """Return where a run that was cut short was taken up again, in words."""
    some = resumed[:_MOST_PLACES]
    places = [f"at {pairs:,} {counted}" if pairs else "from its beginning" for pairs in some]
    if more := len(resumed) - len(some):
        places.append(f"{more:,} times more")
    return ", then ".join(places)


def export(
    file: Annotated[Path, typer.Argument(help="The file to write.")],
    kind: Annotated[
        str | None,
        typer.Option("--format", help="csv, parquet or json; by the file's ending by default."),
    ] = None,
    results: ResultsOption = RESULTS,
) -> None:
    """Write the records as a table: one row per run, one column per metric."""
    from codonbench.records import table  # which loads pandas

    chosen = kind or file.suffix.removeprefix(".")
    if chosen not in ("csv", "parquet", "json"):
        raise ConfigError(f"--format {chosen!r}: expected csv, parquet or json")
    records, left_out = table.read_folder(results)
    runs = table.export(records, file, chosen)  # type: ignore[arg-type]
    if left_out:
        say(left_out, style="yellow")
    say(f"{runs:,} {'run is' if runs == 1 else 'runs are'} in {file}")


def validate(
    records: Annotated[list[Path], typer.Argument(help="Record files, and folders of them.")],
    strict: Annotated[bool, typer.Option("--strict", help="Treat warnings as problems.")] = False,
    keys: Annotated[
        Path | None,
        typer.Option(
            help="Also check signatures and name the signers, by a folder of public keys, NAME.pub."
        ),
    ] = None,
    plugin: PluginOption = None,
    plugins_dir: PluginsDirOption = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object and nothing else.")
    ] = False,
) -> None:
    """Check records against format, checksum and rules; exit 1 if one is invalid.

    Records are read as untrusted input: only installed tasks and metrics are used, and nothing
    that a record names is loaded. Metrics are recomputed if trajectories or test outputs are
    beside the records. Of several folders, the others are compared with the first. 'bench
    verify' checks that a run repeats; a signature says who ran it, not that it is true.
    """
    from codonbench.audit import validate as audit  # takes a second: SciPy

    registry = load_plugins(plugin, plugins_dir)
    installed = registry.known_tasks, registry.known_metrics, registry.known_protocols
    known = None if keys is None else signing.read_public_keys(keys)
    report = audit.validate(records, *installed, strict=strict, keys=known)
    if as_json:
        facts = report.model_dump(mode="json") | {"invalid": report.invalid}
        typer.echo(plain_json(json.dumps(facts)))
    else:
        for problem in report.problems:
            typer.echo(problem)
        for name, count in sorted(Counter(report.signers.values()).items()):
            typer.echo(f"signed by {name}: {count:,}")
        typer.echo(
            f"records: {report.records:,}, invalid: {report.invalid:,}, "
            f"warnings: {report.warnings:,}"
        )
    if report.invalid:
        raise typer.Exit(FAILED)


def keygen(
    name: Annotated[
        str, typer.Argument(help="Name of the keys; the public one is NAME.pub in this folder.")
    ],
) -> None:
    """Make a pair of Ed25519 keys for 'bench sign'.

    The private key is not encrypted; it lies with your own settings, outside
    any repository. NAME.pub is for everybody, in a folder for 'bench validate
    --keys'.
    """
    if Path(name).name != name:
        raise ConfigError(f"key name {name!r}: expected a name, such as alice, and no path")
    private, public = signing.private_key_path(name), Path(f"{name}.pub")
    found = signing.make_key(private, public)
    typer.echo(f"wrote {private} (secret) and {public}, fingerprint {found[:16]}")


def sign(
    runs: Annotated[
        list[str],
        typer.Argument(metavar="RUN...", help="Your own runs, each as for 'bench show'."),
    ],
    key: Annotated[
        str, typer.Option(help="The key's name, as given to 'bench keygen', or its file.")
    ],
    results: ResultsOption = RESULTS,
) -> None:
    """Sign your own records: each gets a signature beside it, RECORD.sig.

    A signature says who ran it; 'bench audit' checks whether it is true. Name each run, not a
    folder, which may hold runs of others. A record that is scored again has to be signed again.
    """
    file = Path(key)
    secret = signing.read_private_key(file if file.exists() else signing.private_key_path(key))
    for found in [find_run(run, results) for run in runs]:
        typer.echo(f"wrote {signing.sign(found.path, secret)}")
