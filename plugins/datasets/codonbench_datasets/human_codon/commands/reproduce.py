"""`bench reproduce`: run what a published table calls for, and put it beside what was published."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, get_args

import typer

from codonbench.cli.endings import DONE, INTERRUPTED
from codonbench.cli.options import RESULTS, ResultsOption

if TYPE_CHECKING:
    from codonbench_datasets.human_codon.reproduction.report import Report


def reproduce(
    ctx: typer.Context,
    name: Annotated[
        str, typer.Argument(help="A shipped publication or a TOML file.", show_default=False)
    ],
    data: Annotated[
        str | None,
        typer.Option(
            "--data",
            "-d",
            help="A data source's name or a FASTA file. Without runs to make: the data to report "
            "on, as records name them; by default those with most runs, real ones first.",
        ),
    ] = None,
    seeds: Annotated[str, typer.Option("--seeds", "-s", help="As in 0-9 or 0,3,5.")] = "0-9",
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
    results: ResultsOption = RESULTS,
    out: Annotated[
        Path | None, typer.Option(help="The page.  [default: docs/NAME.md]", show_default=False)
    ] = None,
    no_run: Annotated[
        bool, typer.Option("--no-run", help="Run nothing; write the page from what is recorded.")
    ] = False,
    check: Annotated[
        bool,
        typer.Option("--check", help="Run and write nothing; exit 3 where the page is stale."),
    ] = False,
    offline: Annotated[bool, typer.Option("--offline", help="Forbid network access.")] = False,
) -> None:
    """Put a published table beside our own runs of it, and write the page that says so.

    What is not recorded yet is run first, the publication's suite with its
    whole budget: hours. Generated sections lie between markers; what people
    write around them stays. The same records give the same bytes.
    """
    from codonbench.errors import StaleError, StoreError
    from codonbench_datasets.human_codon.reproduction.publications import (
        find_publication,
        read_publication,
    )

    source = find_publication(name)
    publication = read_publication(source)
    code = DONE if no_run or check else _run_suite(ctx, _suite(source, publication.suite))
    # What follows loads numpy and more: only once what was asked makes sense.
    from codonbench.records.files import write_atomically
    from codonbench.records.store import Store
    from codonbench_datasets.human_codon.reproduction.report import build_report

    if code == INTERRUPTED:
        raise typer.Exit(code)
    if not results.is_dir():
        raise StoreError(f"no results folder {results}; 'bench run' makes one")
    report = build_report(publication, Store(results).scan(), _recorded_name(data))
    path = Path("docs") / f"{publication.name}.md" if out is None else out
    wanted = _page(report, path)
    stale = not path.is_file() or path.read_bytes() != wanted
    if check and stale:
        command = f"bench reproduce {name} --no-run --results {results}"
        raise StaleError(f"{path} is out of date; run '{command}' and commit what it writes")
    if stale:
        write_atomically(path, wanted)
    typer.echo(f"{f'wrote {path}' if stale else f'{path} is up to date'}; {_summary(report)}")
    if code != DONE:
        raise typer.Exit(code)


def _suite(publication: Path, suite: str) -> str:
    """Return a suite's file where it lies beside its publication's, else its name."""
    beside = publication.parent / suite
    return str(beside) if beside.is_file() else suite


def _run_suite(ctx: typer.Context, suite: str) -> int:
    """Run a suite as `bench run --suite` with the same options would; return its exit code."""
    from typer.main import get_command

    from codonbench.cli.main import app

    words = ["run", "--suite", suite]
    for name in ("data", "seeds", "device", "threads", "engine", "workers", "results", "offline"):
        source, value = ctx.get_parameter_source(name), ctx.params[name]
        if source is not None and source.name != "DEFAULT":
            words += [f"--{name}"] if value is True else [f"--{name}", str(value)]
    return int(get_command(app).main(words, prog_name="bench", standalone_mode=False) or DONE)


def _recorded_name(data: str | None) -> str | None:
    """Return what records call a data source or a file."""
    return None if data is None else Path(data).name


def _page(report: Report, path: Path) -> bytes:
    from codonbench.errors import StoreError
    from codonbench_datasets.human_codon.reproduction.page import render_page

    try:
        page = path.read_bytes().decode() if path.is_file() else None
        return render_page(report, page).encode()
    except (UnicodeDecodeError, StoreError) as error:
        raise StoreError(f"{path}: {error}") from error


def _summary(report: Report) -> str:
    """Return ``figures: 13, agrees: 2, ...``."""
    from codonbench_datasets.human_codon.reproduction.agreement import Kind

    kinds = [cell.verdict.kind for cell in report.cells]
    counts = {kind: kinds.count(kind) for kind in get_args(Kind)}
    return f"figures: {len(kinds)}, " + ", ".join(f"{k}: {n}" for k, n in counts.items())
