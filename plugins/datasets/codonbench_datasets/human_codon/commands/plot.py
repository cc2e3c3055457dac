"""`bench plot`: runs as pictures for a paper or a talk."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from codonbench.cli.console import say
from codonbench.cli.finding import Found, find_runs
from codonbench.cli.loading import insist_on
from codonbench.cli.options import (
    RESULTS,
    DataOption,
    PluginOption,
    PluginsDirOption,
    ResultsOption,
)
from codonbench.data.cache import cache_folder

if TYPE_CHECKING:
    from codonbench.plugins.registry import Registry
    from codonbench_datasets.human_codon.plots.embedding import Embedding
    from codonbench_datasets.human_codon.plots.runs import Run
    from codonbench_datasets.human_codon.plots.style import Format as Form


class Kind(StrEnum):
    """What to draw."""

    ALL = "all"
    CURVES = "curves"
    HEAT_MAP = "heat-map"
    ANIMATION = "animation"
    CODON_TABLE = "codon-table"
    STOPS = "stops"
    EMBEDDING = "embedding"
    COMPARISON = "comparison"


_OF_ONE_RUN = [kind for kind in Kind if kind not in (Kind.ALL, Kind.COMPARISON)]


class FileFormat(StrEnum):
    """What a picture is stored as."""

    PNG = "png"
    SVG = "svg"
    PDF = "pdf"


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
            "--format", help="Of still pictures: png, svg or pdf. The animation is a GIF."
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

    All but the embedding are drawn from trajectories. 'bench verify --keep-trajectory'
    gives one to a record without. For the embedding the run is made again.
    The same records give the same bytes.
    """
    insist_on("pictures", "matplotlib", "PIL")
    from codonbench.errors import UsageError
    from codonbench.records.files import write_atomically

    chosen = find_runs(runs, results)
    repeater = _Repeater(data, plugin, plugins_dir)
    drawn = 0
    for name, draw in _wanted(chosen, kind, form.value, repeater):
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


def _wanted(
    chosen: Sequence[Found], kind: Kind, form: Form, repeater: _Repeater
) -> Iterator[tuple[str, Callable[[], bytes]]]:
    """Yield the name of each picture's file, and what draws it.

    Raises:
        UsageError: A comparison of fewer than two runs.
    """
    from codonbench.errors import UsageError

    alone = [k for k in _OF_ONE_RUN if kind in (k, Kind.ALL)]
    for found in chosen:
        for one in alone:
            ending = "gif" if one == Kind.ANIMATION else form
            draw = partial(_draw, one, found, form, repeater)
            yield _file_name(f"{found.record.name}-{one.value}", ending), draw
    if kind == Kind.COMPARISON and len(chosen) < 2:
        raise UsageError("a comparison needs two runs or more, one of each model")
    if len(chosen) > 1 and kind in (Kind.COMPARISON, Kind.ALL):
        yield _file_name("comparison", form), partial(_compare, chosen, form)


def _file_name(stem: str, ending: str) -> str:
    """Return a file name with nothing in it that could lead elsewhere."""
    return f"{re.sub(r'[^A-Za-z0-9._-]', '_', stem)[:120]}.{ending}"


def _draw(kind: Kind, found: Found, form: Form, repeater: _Repeater) -> bytes:
    """Return one picture of one run as a file's bytes.

    Raises:
        UsageError: It has no trajectory, or what it was asked has no such picture.
    """
    from codonbench_datasets.human_codon.plots.matrices import (
        animate,
        draw_codon_table,
        draw_heat_map,
    )
    from codonbench_datasets.human_codon.plots.over_pairs import draw_curves, draw_stops
    from codonbench_datasets.human_codon.plots.runs import Run
    from codonbench_datasets.human_codon.plots.space import draw_space
    from codonbench_datasets.human_codon.plots.style import as_file, house_style

    with house_style():
        run = Run(found.record, found.trajectory())
        if kind == Kind.ANIMATION:
            return animate(run)
        if kind == Kind.CURVES:
            row = _row(found)
            seeds = [one.record.seed for one in row]
            figure = draw_curves(row, seeds.index(run.record.seed))
        elif kind == Kind.EMBEDDING:
            figure = draw_space(run, repeater.embedding(run))
        elif kind == Kind.HEAT_MAP:
            figure = draw_heat_map(run)
        else:
            figure = draw_stops(run) if kind == Kind.STOPS else draw_codon_table(run)
        return as_file(figure, form)


def _compare(chosen: Sequence[Found], form: Form) -> bytes:
    """Return the comparison of some runs' models as a file's bytes.

    Raises:
        UsageError: They were not asked the same, or lack trajectories.
    """
    from codonbench.audit.verify import same_row
    from codonbench.errors import UsageError
    from codonbench_datasets.human_codon.plots.over_pairs import draw_comparison
    from codonbench_datasets.human_codon.plots.style import as_file, house_style

    first = chosen[0].record
    distinct: list[Found] = []
    for found in chosen:
        record = found.record
        if record.comparability_key != first.comparability_key:
            raise UsageError(
                f"{record.name} and {first.name} cannot be compared: task, data, rules, budget "
                "or stop rule differ"
            )
        if not any(same_row(record, other.record) for other in distinct):
            distinct.append(found)
    with house_style():
        return as_file(draw_comparison(list(map(_row, distinct))), form)


def _row(found: Found) -> list[Run]:
    """Return the seeds of a run's row that have a trajectory, in order; the run itself must."""
    from codonbench.audit.verify import same_row
    from codonbench.contracts.run_record import RunRecord
    from codonbench_datasets.human_codon.plots.runs import Run

    store, record = found.store, found.record
    seeds = {record.seed: Run(record, found.trajectory())}
    for other in store.scan():
        if isinstance(other, RunRecord) and same_row(other, record) and other.seed not in seeds:
            trajectory = store.load_trajectory(other)
            if trajectory is not None:
                seeds[other.seed] = Run(other, trajectory)
    return [seeds[seed] for seed in sorted(seeds)]


@dataclass(frozen=True)
class _Repeater:
    """Makes runs again for what only a trained module can tell."""

    data: str | None
    plugin: list[Path] | None
    plugins_dir: list[Path] | None

    @cached_property
    def _registry(self) -> Registry:
        from codonbench.cli.loading import load_plugins

        return load_plugins(self.plugin, self.plugins_dir)

    def embedding(self, run: Run) -> Embedding:
        """Return the embedding that a run has learned, from its repetition.

        Raises:
            UsageError: The model has none, or cannot be run again here.
        """
        from codonbench.audit.repeat import repeat
        from codonbench.errors import UsageError
        from codonbench_datasets.human_codon.plots.embedding import find_embedding, has_embedding

        record = run.record
        missing = UsageError(f"model {record.model!r} has no embedding with a row for each input")
        if not has_embedding(record, self._registry, run.trajectory.task.view()):
            raise missing
        took = record.timings.total
        say(f"{record.name}: running it again for its embedding (it took {took:.0f} s)")
        repetition = repeat(record, self._registry, cache_folder(), self.data)
        if not repetition.same_weights:
            say(f"{record.name}: the repetition's weights are not the recorded ones")
        if repetition.module is None:
            raise UsageError(f"{record.name} cannot be run again: {repetition.record.error}")
        found = find_embedding(repetition.module, repetition.job.dataset.evaluation)
        if found is None:
            raise missing
        return found
