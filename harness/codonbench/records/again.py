"""The command that makes recorded runs again, as far as their records have it."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from codonbench.contracts.run_record import FITTED, RunRecord
from codonbench.contracts.run_spec import MOST_PAIRS, PUBLIC_SALT

if TYPE_CHECKING:
    from codonbench.contracts import Task


_COLUMNS, _OTHERS = ("sequence", "target"), ("kind", "split", "group", "metric")
"""What is said again of a table of one's own; the rest is guessed, as it was."""

_BUDGETED = (None, "folds", "sample_efficiency")
"""Protocols that do not fix a budget themselves."""


def command(row: Sequence[RunRecord], task: Task | None = None) -> str:
    """Return the ``bench run`` that makes a row's runs again, quoted for a shell.

    A file of data is named as records name it, without its folder.

    Args:
        row: The records, one a seed.
        task: Their task, whose defaults need not be said; None where it is not installed.
    """
    return shlex.join(["bench", "run", *_words(row, task)])


def _words(row: Sequence[RunRecord], task: Task | None) -> Iterator[str]:
    first = row[0]
    spec, trained = first.run_spec, first.engine.name != FITTED.name and first.pairs > 0
    yield from ("--model", first.model)
    if first.plugin.file:
        yield from ("--plugin", first.plugin.file)
    table = spec.task_options.get("made_of") == "table"  # a table of one's own has no name
    if not table:
        yield from ("--task", first.task)
    source, data = first.dataset.source, {} if task is None else task.data_names
    made = first.dataset.simulated and source not in data  # by options, from the default
    if table or task is None or not (made or source == task.default_data):
        yield from ("--data", first.dataset.source)
    yield from _settings("--set", first.overrides)
    options = dict(spec.task_options)
    control = options.pop("control", None)
    if table:
        fields = {k: ",".join(options[k]) for k in _COLUMNS if options.get(k)}
        fields |= {k: options[k] for k in _OTHERS if options.get(k)}
    else:
        usual = {} if task is None else task.Options().model_dump(mode="json")
        fields = {k: v for k, v in options.items() if v is not None and (k, v) not in usual.items()}
    yield from _settings("--task-set", fields)
    if control:
        yield from ("--control", str(control))
    if spec.protocol is not None:
        yield from ("--protocol", spec.protocol)
        given = {k: v for k, v in spec.protocol_options.items() if v is not None}
        yield from _settings("--protocol-set", given)
    elif (task is not None and task.folds) or (table and not options.get("split")):
        yield from ("--folds", "0")
    yield from ("--seeds", seeds_text([record.seed for record in row]))
    if trained and spec.protocol in _BUDGETED and spec.budget_pairs < MOST_PAIRS:
        yield from ("--pairs", str(spec.budget_pairs))
    if spec.budget_seconds is not None:
        yield from ("--seconds", f"{spec.budget_seconds:g}")
    if trained and spec.stop == "budget":
        yield "--full"
    yield from ("--device", spec.device)
    if spec.threads != 1:
        yield from ("--threads", str(spec.threads))
    if spec.engine != "auto":
        yield from ("--engine", spec.engine)
    if spec.salt != PUBLIC_SALT:
        yield from ("--salt", spec.salt)


def _settings(option: str, values: Mapping[str, Any]) -> Iterator[str]:
    for name, value in sorted(values.items()):
        yield from (option, f"{name}={value if isinstance(value, str) else json.dumps(value)}")


def seeds_text(seeds: Sequence[int]) -> str:
    """Return seeds as ``--seeds`` takes them.

    >>> seeds_text([0, 1, 2, 5])
    '0-2,5'
    """
    parts: list[list[int]] = []
    for seed in sorted(set(seeds)):
        if parts and seed == parts[-1][-1] + 1:
            parts[-1].append(seed)
        else:
            parts.append([seed])
    return ",".join(f"{p[0]}-{p[-1]}" if len(p) > 1 else str(p[0]) for p in parts)
