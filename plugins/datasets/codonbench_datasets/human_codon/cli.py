"""`bench plot` and `bench reproduce`; what they need is imported when called."""

from __future__ import annotations

from enum import StrEnum
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from codonbench.cli import DONE, INTERRUPTED
from codonbench.cli.console import say
from codonbench.cli.find_runs import find_runs
from codonbench.cli.options import (
    RESULTS,
    DataOption,
    PluginOption,
    PluginsDirOption,
    ResultsOption,
    insist_on,
    load_plugins,
)
from codonbench.errors import StaleError, StoreError, UsageError

if TYPE_CHECKING:
    from codonbench.audit.repeat import Repetition
    from codonbench.contracts.run_record import RunRecord
    from codonbench.plugins.registry import Registry
    from codonbench_datasets.human_codon.plots.embedding import Embedding
    from codonbench_datasets.human_codon.plots.style import Run

Kind = StrEnum(
    "Kind",
    {
        "ALL": "all",
        "CURVES": "curves",
        "HEAT_MAP": "heat-map",
        "ANIMATION": "animation",
        "CODON_TABLE": "codon-table",
        "STOPS": "stops",
        "EMBEDDING": "embedding",
        "COMPARISON": "comparison",
    },
)
FileFormat = StrEnum("FileFormat", {"PNG": "png", "SVG": "svg", "PDF": "pdf"})


def plot(
    runs: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN...",
            help="Runs, as for 'bench show', and folders of them; with several, their models "
            "are compared.",
        ),
    ],
    kind: Annotated[
        Kind,
        typer.Option(
            help="What to draw: curves, heat-map, animation, codon-table, stops, embedding, "
            "comparison; or all that applies."
        ),
    ] = Kind.ALL,
    form: Annotated[
        FileFormat,
        typer.Option(
            "--format", help="Format of still pictures: png, svg or pdf. The animation is a GIF."
        ),
    ] = FileFormat.PNG,
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Folder of the pictures.", show_default=True)
    ] = Path("pictures"),
    results: ResultsOption = RESULTS,
    data: DataOption = None,
    plugin: PluginOption = None,
    plugins_dir: PluginsDirOption = None,
) -> None:
    """Draw runs: learning curves, heat map, animation, codon table, stops, embedding, comparison.

    Of a run that is selected on validation items, its learning curve there is drawn. All but the
    embedding are drawn from trajectories. 'bench verify --keep-trajectory'
    gives one to a record without. For the embedding the run is made again.
    The same records give the same bytes.
    """
    insist_on("pictures", "matplotlib", "PIL")
    from codonbench.records.files import write_atomically
    from codonbench_datasets.human_codon.plots.draw import drawings

    registry = cache(partial(load_plugins, plugin, plugins_dir))

    def learned(run: Run) -> Embedding:
        return _learned_embedding(run, registry(), data)

    chosen, drawn = find_runs(runs, results), 0
    for name, draw in drawings(chosen, kind.value, form.value, learned, registry):
        try:
            content = draw()
        except UsageError as error:
            if kind != Kind.ALL:
                raise
            say(f"left out {name}: {error}")
            continue
        write_atomically(out / name, content)
        typer.echo(out / name)
        drawn += 1
    if not drawn:
        raise UsageError("nothing was drawn")


def _made_again(
    record: RunRecord, registry: Registry, data: str | None, what_for: str = ""
) -> Repetition:
    """Run a record's spec again, and say so, and where the weights are not the recorded ones."""
    from codonbench.audit.repeat import repeat
    from codonbench.records.files import cache_folder

    took = f"it took {record.timings.total:.0f} s"
    say(f"{record.name}: running it again{what_for} ({took})")
    repetition = repeat(record, registry, cache_folder(), data)
    if not repetition.same_weights:
        say(f"{record.name}: the repetition's weights are not the recorded ones")
    return repetition


def _learned_embedding(run: Run, registry: Registry, data: str | None) -> Embedding:
    """Return the embedding that a run has learned, from its repetition.

    Raises:
        UsageError: The model has none, cannot be run again here, or there are too many inputs.
    """
    from codonbench_datasets.human_codon.asked import each_shown
    from codonbench_datasets.human_codon.plots.embedding import find_embedding, has_embedding

    each_shown(run.trajectory.task, "embedding")
    record, found = run.record, None
    if has_embedding(record, registry, run.trajectory.task.view()):
        again = _made_again(record, registry, data, " for its embedding")
        if again.module is None:
            raise UsageError(f"{record.name} cannot be run again: {again.record.error}")
        found = find_embedding(again.module, again.job.dataset.evaluation)
    if found is None:
        raise UsageError(f"model {record.model!r} has no embedding with a row for each input")
    return found


def reproduce(
    ctx: typer.Context,
    name: Annotated[
        str, typer.Argument(help="A built-in publication or a TOML file.", show_default=False)
    ],
    data: Annotated[
        str | None,
        typer.Option(
            "--data",
            "-d",
            help="A data source's name or a FASTA file. Without runs to make: the data to "
            "report on, as records name them; by default the data with most runs, "
            "real data first.",
        ),
    ] = None,
    seeds: Annotated[
        str, typer.Option("--seeds", "-s", help="Seeds, such as 0-9 or 0,3,5.")
    ] = "0-9",
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    threads: Annotated[int, typer.Option(help="CPU threads of each worker.")] = 1,
    engine: Annotated[
        str,
        typer.Option(help="auto, eager (the plain loop), traced, compiled, or graph (GPU)."),
    ] = "auto",
    workers: Annotated[
        int | None,
        typer.Option(
            min=0,
            envvar="CODONBENCH_WORKERS",
            help="Training processes, by default one per core; 0: train in the main process.",
        ),
    ] = None,
    results: ResultsOption = RESULTS,
    out: Annotated[
        Path | None,
        typer.Option(help="The page.  [default: NAME.md, beside the board]", show_default=False),
    ] = None,
    no_run: Annotated[
        bool, typer.Option("--no-run", help="Run nothing; write the page from what is recorded.")
    ] = False,
    check: Annotated[
        bool,
        typer.Option("--check", help="Run and write nothing; exit 3 if the page is out of date."),
    ] = False,
    offline: Annotated[bool, typer.Option("--offline", help="Forbid network access.")] = False,
) -> None:
    """Compare a published table with our own runs of it, and write the page.

    Missing runs of the publication's suite are made first, with the whole budget, which takes
    hours. Generated sections lie between markers; text around them is kept. The same records
    give the same bytes.
    """
    from codonbench.plugins.shipped_files import find_file
    from codonbench_datasets.human_codon.reproduction.publications import SHIPPED, read_publication

    source = find_file(name, *SHIPPED)
    publication = read_publication(source)
    beside = source.parent / publication.suite
    suite = str(beside) if beside.is_file() else publication.suite
    code = DONE if no_run or check else _run_suite(ctx, suite)
    if code == INTERRUPTED:
        raise typer.Exit(code)
    if not results.is_dir():
        raise StoreError(f"no results folder {results}; 'bench run' makes one")
    # here, because these load numpy and more: only once what was asked makes sense
    from codonbench.records.files import board_folder, write_atomically
    from codonbench.records.store import Store
    from codonbench_datasets.human_codon.reproduction.page import summary, updated_page
    from codonbench_datasets.human_codon.reproduction.report import build_report

    # records call a file by its name
    named = None if data is None else Path(data).name
    report = build_report(publication, Store(results).scan(), named)
    path = board_folder(results) / f"{publication.name}.md" if out is None else out
    wanted = updated_page(report, path)
    stale = not path.is_file() or path.read_bytes() != wanted
    if check and stale:
        command = f"bench reproduce {name} --no-run --out {path} --results {results}"
        raise StaleError(f"{path} is out of date; run '{command}' and commit what it writes")
    if stale:
        write_atomically(path, wanted)
    typer.echo(f"{f'wrote {path}' if stale else f'{path} is up to date'}; {summary(report)}")
    if code != DONE:
        raise typer.Exit(code)


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
