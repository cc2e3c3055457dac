"""`bench submit`: rows of one's own as a folder, for a pull request."""

from __future__ import annotations

import shutil
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer

from codonbench.cli import FAILED
from codonbench.cli.console import say
from codonbench.cli.options import (
    RESULTS,
    PluginOption,
    PluginsDirOption,
    ResultsOption,
    load_plugins,
)
from codonbench.contracts import Task
from codonbench.contracts.run_record import FINISHED, RunRecord
from codonbench.errors import StoreError, UnknownNameError, UsageError
from codonbench.plugins.registry import Registry
from codonbench.ranking.items import gather_shared
from codonbench.records.again import command
from codonbench.records.files import visible, write_atomically
from codonbench.records.store import Store
from codonbench.report.markdown import plain
from codonbench.scoring.score import OFFICIAL_SEEDS, RowKey, row_key

PLACE = "leaderboard/results"
"""Where the files of a submission go in a clone of the repository."""


def submit(
    model: Annotated[str, typer.Argument(help="The model, as the records name it.")],
    task: Annotated[
        list[str] | None, typer.Option("--task", "-t", help="Only this task; may be repeated.")
    ] = None,
    out: Annotated[Path, typer.Option(help="A folder to write; it must be new.")] = Path(
        "submission"
    ),
    results: ResultsOption = RESULTS,
    plugin: PluginOption = None,
    plugins_dir: PluginsDirOption = None,
) -> None:
    """Write a submission: a model's checked records and the text of a pull request.

    The records are checked by 'bench validate --strict', as the pull request will be; exit 1 if
    it finds a problem. The pull request's text goes to standard output, and README.md in the
    folder says what to do with its files.
    """
    from codonbench.audit import validate as audit  # takes a second: SciPy

    if out.exists():
        raise UsageError(f"{out} is there already; remove it, or give another --out")
    store = Store(results)
    store.require_folder()
    rows = _rows(store, model, task)
    registry = load_plugins(plugin, plugins_dir)
    installed = registry.known_tasks, registry.known_metrics, registry.known_protocols
    records = [record for row in rows.values() for record in row]
    found = _files(store, records, registry)
    for path, content in found.items():
        target = out / path.relative_to(store.folder)
        target.parent.mkdir(parents=True, exist_ok=True)
        if content is None:
            shutil.copyfile(path, target)
        else:
            write_atomically(target, content)
    text = _text(model, list(rows.values()), registry.known_tasks)
    write_atomically(out / "README.md", text.encode())
    report = audit.validate([out], *installed, strict=True)
    alike: dict[tuple[str, str], list[audit.Problem]] = defaultdict(list)
    for problem in report.problems:
        alike[problem.field, problem.message].append(problem)
    for first, *others in alike.values():  # most often all runs of a row have the same problem
        more = f" and {len(others)} more" if others else ""
        typer.echo(first.model_copy(update={"file": f"{first.file}{more}"}), err=True)
    say(f"wrote {len(found)} files of {len(records)} runs, and README.md, to {out}")
    own = sorted({r.task for r in records if r.run_spec.is_own_table})
    if own:
        say(
            f"{', '.join(own)}: your own table; a maintainer needs it to repeat the runs, and the "
            "targets of its test items, which are among the files, become public with them",
            style="yellow",
        )
    typer.echo(text)
    if report.invalid:
        raise typer.Exit(FAILED)


def _rows(
    store: Store, model: str, tasks: Sequence[str] | None
) -> dict[tuple[str, RowKey], list[RunRecord]]:
    """Return the finished runs of a model by task and row, of whole rows only."""
    rows: dict[tuple[str, RowKey], list[RunRecord]] = defaultdict(list)
    there = [r for r in store.records() if r.status in FINISHED]
    for record in sorted(there, key=lambda r: (r.task, r.comparability_key, r.seed)):
        if record.model == model and (not tasks or record.task in tasks):
            key = (record.comparability_key, *row_key(record))
            rows[record.task, key].append(record)
    if not rows:
        names = ", ".join(sorted({r.model for r in there})[:10]) or "none"
        on_tasks = f" on {', '.join(tasks)}" if tasks else ""
        raise UnknownNameError(
            f"{store.folder} has no finished run of {model!r}{on_tasks}; it has runs of {names}"
        )
    return rows


def _files(
    store: Store, records: Sequence[RunRecord], registry: Registry
) -> dict[Path, bytes | None]:
    """Return the files of runs, and what they should hold; None where that is what they do hold.

    Raises:
        StoreError: The test outputs of a run are neither at hand nor can be made.
    """
    outputs, files = gather_shared(store, records, registry)
    for record in records:
        expected = record.trajectory_sha256 is not None and record.selected_pairs is not None
        if expected and record.run_id not in outputs:
            raise StoreError(
                f"no test outputs of {record.name}, and no trajectory of it in {store.folder} to "
                "make them from; 'bench verify --keep-trajectory' makes it again"
            )
        path = store.folder / f"{record.name}.json"
        if not path.is_file():
            raise StoreError(f"{path} is not there: the record of that name is in another file")
        files[path] = None
        signature = path.with_suffix(".json.sig")
        if signature.is_file() and not signature.is_symlink():
            files[signature] = None
    return files


def _text(model: str, rows: Sequence[Sequence[RunRecord]], tasks: Mapping[str, Task]) -> str:
    """Return the text of a pull request: what was run, on what, and what came out."""
    first = rows[0][0]
    info = first.info
    lines = [f"# Submission: {plain(model)}", ""]
    lines += [plain(info.summary, 400), ""] if info.summary else []
    facts = {
        "Supplied by": f"{first.plugin.distribution} {first.plugin.version or ''}".strip()
        or "a file of its own",
        "Authors": ", ".join(info.authors),
        "Licence": info.licence,
        "Reference": info.reference,
        "Pretrained on": first.pretrained_on or "nothing",
        "Tuned": "; ".join(
            dict.fromkeys("; ".join(r.tuning.notes) for row in rows for r in row if r.tuning)
        ),
        "Knows": ", ".join(sorted({fact for row in rows for r in row for fact in r.knowledge})),
    }
    lines += [f"- {name}: {plain(text, 400)}" for name, text in facts.items() if text]
    lines += ["", "| task | seeds | settings | device |", "|---|---|---|---|"]
    for row in rows:
        seeds = [record.seed for record in row]
        settings = ", ".join(f"{k}={v}" for k, v in row[0].overrides.items()) or "as declared"
        text = (row[0].task, _seeds(seeds), settings, row[0].machine.device_name)
        cells = [plain(cell) for cell in text]
        lines.append(f"| {' | '.join(cells)} |")
    lines += [
        "",
        f"All but README.md goes to `{PLACE}`; then `make leaderboard`, and commit what changes.",
        "This makes the runs again:",
        "",
        "```console",
        *dict.fromkeys(
            visible(command(row, tasks.get(row[0].task)), 800).replace("`", "") for row in rows
        ),
        "```",
        "",
    ]
    return "\n".join(lines)


def _seeds(seeds: Sequence[int]) -> str:
    whole = list(seeds) == [*range(len(seeds))]
    text = f"0 to {seeds[-1]}" if whole and len(seeds) > 1 else ", ".join(map(str, seeds))
    few = f" (an official row has {OFFICIAL_SEEDS})" if len(seeds) < OFFICIAL_SEEDS else ""
    return text + few
