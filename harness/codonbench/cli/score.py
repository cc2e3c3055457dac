"""`bench score`: stored trajectories scored with today's metrics, nothing trained."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import Annotated

import typer

from codonbench.cli import FAILED
from codonbench.cli.console import number, output, say
from codonbench.cli.options import (
    RESULTS,
    PluginOption,
    PluginsDirOption,
    ResultsOption,
    load_plugins,
)
from codonbench.errors import PluginError, StaleError, StoreError, UnknownNameError
from codonbench.plugins.registry import Registry
from codonbench.records.files import plain_json
from codonbench.records.store import Store
from codonbench.scoring.rescore import Rescoring, rescore
from codonbench.scoring.score import Number

_SHOWN = 3  # values of a kind; a metric has a few, all metrics have thirty


def score(
    records: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[RECORD]...", help="Record files; without any, all in --results."),
    ] = None,
    results: ResultsOption = RESULTS,
    plugin: PluginOption = None,
    plugins_dir: PluginsDirOption = None,
    metrics: Annotated[
        list[str] | None,
        typer.Option(
            "--metric", metavar="NAME", help="Score with this metric only; may be repeated."
        ),
    ] = None,
    check: Annotated[
        bool,
        typer.Option(
            "--check", help="Write nothing; say what would change, and exit 3 if anything would."
        ),
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object a record and nothing else.")
    ] = False,
) -> None:
    """Score stored trajectories with the current metrics; exit 1 if one cannot be scored.

    Nothing is trained. Use it for a new metric, or one whose version has changed. In the
    records, metrics, their versions and what follows from them become what 'bench run' would
    give now; the rest stays. Values of metrics that no longer exist are dropped, except with
    --metric.
    """
    if not records:
        Store(results).require_folder()
    paths = records or sorted(results.glob("*.json"))
    if not paths:
        raise StoreError(f"no record in {results}; 'bench run --results {results}' makes them")
    registry = load_plugins(plugin, plugins_dir)
    only = metrics or []
    _check_metrics(only, registry)
    known = {name: entry.metric for name, entry in registry.metrics.items()}
    outcomes: Counter[str] = Counter()
    for path in paths:
        with redirect_stdout(sys.stderr):  # metrics may print, and standard output is for results
            done = rescore(path, known, registry.known_tasks, only, write=not check)
        outcomes[done.outcome] += 1
        if as_json:
            typer.echo(plain_json(done.model_dump_json()))
        else:
            style = {"failed": "red", "scored anew": ""}.get(done.outcome, "dim")
            say(_line(done, check), style=style, console=output())
    if not as_json:
        say(_summary(outcomes, check))
    if outcomes["failed"]:
        raise typer.Exit(FAILED)
    if check and outcomes["scored anew"]:
        raise StaleError(
            f"{outcomes['scored anew']} of {len(paths)} records are not what today's metrics give; "
            "without --check they are scored anew"
        )


def _check_metrics(names: Sequence[str], registry: Registry) -> None:
    """Make sure that `names` are metrics, and that no value is dropped for a plugin's failure."""
    for name in names:
        if name not in registry.metrics:
            raise UnknownNameError(
                f"unknown metric {name!r}; 'bench ls metrics' lists all {len(registry.metrics)}; "
                "one of your own needs --plugin FILE"
            )
    if registry.failures and not names:
        raise PluginError(
            f"plugin {registry.failures[0].module} did not load, and values of its metrics would "
            "be dropped; mend it, uninstall it, or choose what to score with by --metric"
        )


def _line(done: Rescoring, check: bool) -> str:
    """Return what became of a record: ``mymodel-s0-...: scored anew: half_right 1 is new; ...``."""
    if done.outcome != "scored anew":
        return f"{done.name}: {done.outcome}{': ' if done.reason else ''}{done.reason}"
    facts = [_version_text(name, *pair) for name, pair in done.versions.items()]
    for what, values in (("new", done.added), ("changed", done.changed), ("gone", done.dropped)):
        if values:
            facts.append(f"{what}: {_values_text(values)}")
    if done.changed and not done.versions:
        facts.append("no metric's version has changed")
    if done.comparability_key is not None:
        facts.append("comparability key {} -> {}".format(*done.comparability_key))
    verb = "would be scored anew" if check else "scored anew"
    return f"{done.name}: {verb}: {'; '.join(facts) or 'what is not measured, or a warning'}"


def _values_text(values: Mapping[str, Number | tuple[Number, Number]]) -> str:
    """Return a few values in full, ``half_right 1,984, all_seen 64 -> 128``, more as a count."""
    if len(values) > _SHOWN:
        return f"{len(values)} values"
    pairs = {k: v if isinstance(v, tuple) else (v,) for k, v in values.items()}
    texts = {k: ["null" if v is None else number(v) for v in pair] for k, pair in pairs.items()}
    return ", ".join(f"{name} {' -> '.join(text)}" for name, text in texts.items())


def _version_text(name: str, recorded: str | None, today: str | None) -> str:
    if recorded is None:
        return f"{name} {today} is new"
    return f"{name} {recorded} is gone" if today is None else f"{name} {recorded} -> {today}"


def _summary(outcomes: Counter[str], check: bool) -> str:
    """Return how many records came to what, and what to do next."""
    counts = ", ".join(f"{n:,} {outcome}" for outcome, n in sorted(outcomes.items()))
    if check:
        return f"{counts.replace('scored anew', 'to score anew')}; nothing was written"
    hint = "; 'bench leaderboard' ranks them anew" if outcomes["scored anew"] else ""
    return f"{counts}; nothing was trained{hint}"
