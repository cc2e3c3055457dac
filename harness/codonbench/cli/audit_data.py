"""`bench audit-data`: what a score on a data set is worth."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import Enum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from codonbench.cli import FAILED
from codonbench.cli.bars import bar_shown
from codonbench.cli.console import output, print_table, say
from codonbench.cli.options import PluginOption, PluginsDirOption, TaskSettingsOption, load_plugins
from codonbench.contracts.run_spec import parse_settings
from codonbench.records.files import cache_folder, is_offline, plain_json

if TYPE_CHECKING:
    from codonbench.contracts import Dataset


_SHARES = 1_000
"""Of what is looked at, as its bar counts."""


_warn = partial(say, style="yellow")


class Format(Enum):
    """How an audit is printed."""

    text = "text"
    markdown = "markdown"
    json = "json"


def audit_data(
    data: Annotated[
        list[str],
        typer.Argument(
            metavar="TASK | TRAIN [VALIDATION] TEST",
            help="A task; or a table, or the tables of two or three splits in this order.",
        ),
    ],
    at: Annotated[
        str | None, typer.Option("--data", "-d", help="The path of a task's data.")
    ] = None,
    settings: TaskSettingsOption = None,
    form: Annotated[Format, typer.Option("--format", help="Output format.")] = Format.text,
    as_json: Annotated[bool, typer.Option("--json", help="The same as --format json.")] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Exit 1 for WARN, too.")] = False,
    write_split: Annotated[
        Path | None,
        typer.Option(help="Write a table with a split that no copy or near-copy crosses."),
    ] = None,
    write_clean: Annotated[
        Path | None,
        typer.Option(help="Write the ids of test items without a near-copy in training."),
    ] = None,
    anew: Annotated[
        bool, typer.Option("--force", help="Repeat the audit, ignoring the cache.")
    ] = False,
    offline: Annotated[bool, typer.Option("--offline", help="Forbid network access.")] = False,
    plugin: PluginOption = None,
    plugins_dir: PluginsDirOption = None,
) -> None:
    """Audit data for leaks: copies across splits, and rules that need no model.

    The first word is PASS, WARN or FAIL. Exit 1 for FAIL, and with --strict for WARN. Findings
    are cached by the checksum of the data, and an interrupted audit resumes. A narrow terminal
    leaves out the thresholds of a leak and a doubt, then the figures, which the words have too.
    """
    registry = load_plugins(plugin, plugins_dir)
    with _shown() as progress:
        from codonbench.api import subject_of  # takes a second
        from codonbench.leakage.audit import audited, unfinished

        progress("reading the data", 0)
        subject = subject_of(
            data, parse_settings(settings or [], "--task-set"), registry, at, is_offline(offline)
        )
        audit = audited(subject, cache_folder(), progress, anew=anew, say=_warn)
        if write_split is not None:
            from codonbench.leakage.safe_split import as_table, safe_split

            steps = unfinished(subject, cache_folder(), "split")
            if anew:
                steps.clear()
            splits, groups = safe_split(subject, progress=progress, steps=steps)
            _write(write_split, as_table(subject, splits, groups))
            steps.clear()
        if write_clean is not None:
            from codonbench.leakage.safe_split import clean_ids

            _write(write_clean, clean_ids(subject.dataset, audit))
    if as_json or form is Format.json:
        typer.echo(plain_json(audit.as_json()), nl=False)
    elif form is Format.markdown:
        from codonbench.report.data_audit import render_audit

        typer.echo(render_audit(audit), nl=False)
    else:
        from codonbench.report import data_audit as report

        say(f"{audit.verdict}: {audit.task}, {audit.reason}", console=output())
        for line in report.summary(audit):
            say(line, console=output())
        _, _, figure, doubt, leak, _ = report.HEADINGS
        print_table(report.HEADINGS, report.table_rows(audit), spare=(leak, doubt, figure))
    if audit.verdict == "FAIL" or (strict and audit.verdict == "WARN"):
        raise typer.Exit(FAILED)


def remark_on_data(dataset: Dataset) -> str:
    """Return in a line the result of the audit of a run's data, a table of the user's own."""
    from codonbench.leakage.own_table import audit_of_run

    with _shown() as progress:
        audit = audit_of_run(dataset, progress, say=_warn)
    if audit is None:
        return f"data not audited; 'bench audit-data {dataset.source}' does, in minutes"
    return f"data audit: {audit.line}; 'bench audit-data' says more"


def _write(path: Path, text: str) -> None:
    from codonbench.records.files import write_atomically

    write_atomically(path, text.encode())
    say(f"wrote {path}")


@contextmanager
def _shown() -> Iterator[Callable[[str, float], None]]:
    """Draw a bar of each thing that is looked at; yield what moves it."""
    with bar_shown() as move:
        yield lambda what, done: move(what, round(_SHARES * done), _SHARES)
