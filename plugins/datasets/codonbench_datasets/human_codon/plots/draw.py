"""Which pictures are drawn of which runs, each as a file's name and bytes."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from functools import partial

from matplotlib.figure import Figure

from codonbench.audit.verify import same_row
from codonbench.cli.find_runs import Found
from codonbench.errors import UsageError
from codonbench.plugins.registry import Registry
from codonbench_datasets.human_codon.plots.embedding import Embedding
from codonbench_datasets.human_codon.plots.matrices import animate, draw_codon_table, draw_heat_map
from codonbench_datasets.human_codon.plots.over_pairs import (
    draw_comparison,
    draw_curves,
    draw_stops,
)
from codonbench_datasets.human_codon.plots.space import draw_space
from codonbench_datasets.human_codon.plots.style import Run, as_file, house_style
from codonbench_datasets.human_codon.plots.validation import draw_validation

CURVES, ANIMATION = "curves", "animation"
OF_ONE_RUN = (CURVES, "heat-map", ANIMATION, "codon-table", "stops", "embedding")
COMPARISON = "comparison"
ALL = "all"

Learned = Callable[[Run], Embedding]
"""Makes a run again for its embedding; UsageError where it has none."""


def drawings(
    chosen: Sequence[Found],
    kind: str,
    form: str,
    learned: Learned,
    registry: Callable[[], Registry],
) -> Iterator[tuple[str, Callable[[], bytes]]]:
    """Yield the name of each picture's file, and what draws it.

    Of a run that is selected on validation items, all are its curves.

    Args:
        chosen: Of which runs.
        kind: One of `OF_ONE_RUN`, `COMPARISON` or `ALL`.
        form: ``png``, ``svg`` or ``pdf``; an animation is a GIF.
        learned: For the embedding.
        registry: For tasks and metrics of runs that are selected on validation items.

    Raises:
        UsageError: A comparison of fewer than two runs; and what draws raises it where a run has
            no trajectory, or what it was asked has no such picture.
    """
    for found in chosen:
        for one in OF_ONE_RUN:
            if kind == one or (kind == ALL and (one == CURVES or not _is_validated(found))):
                ending = "gif" if one == ANIMATION else form
                draw = partial(_draw, one, found, form, learned, registry)
                yield _file_name(f"{found.record.name}-{one}", ending), draw
    if kind == COMPARISON and len(chosen) < 2:
        raise UsageError("a comparison needs two runs or more, one of each model")
    if kind == COMPARISON or (
        kind == ALL and len(chosen) > 1 and not any(map(_is_validated, chosen))
    ):
        yield _file_name(COMPARISON, form), partial(_compare, chosen, form)


def _file_name(stem: str, ending: str) -> str:
    """Return a file name with nothing in it that could lead elsewhere."""
    return f"{re.sub(r'[^A-Za-z0-9._-]', '_', stem)[:120]}.{ending}"


def _is_validated(found: Found) -> bool:
    """Return whether a run was asked about validation items, not all along about a fixed set."""
    return found.record.selected_pairs is not None


def _draw(
    kind: str, found: Found, form: str, learned: Learned, registry: Callable[[], Registry]
) -> bytes:
    """Return one picture of one run as a file's bytes."""
    with house_style():
        if kind == CURVES and _is_validated(found):
            return as_file(draw_validation(found, registry()), form)
        run = Run(found.record, found.trajectory())
        if kind == ANIMATION:
            return animate(run)
        figures: dict[str, Callable[[], Figure]] = {
            CURVES: lambda: _draw_curves(found),
            "heat-map": lambda: draw_heat_map(run),
            "codon-table": lambda: draw_codon_table(run),
            "stops": lambda: draw_stops(run),
            "embedding": lambda: draw_space(run, learned(run)),
        }
        return as_file(figures[kind](), form)


def _draw_curves(found: Found) -> Figure:
    """Return the curves of a run's row, its own in full colour."""
    row = _row(found)
    return draw_curves(row, [run.record.seed for run in row].index(found.record.seed))


def _compare(chosen: Sequence[Found], form: str) -> bytes:
    """Return the comparison of some runs' models as a file's bytes.

    Raises:
        UsageError: They were not asked the same, or lack trajectories.
    """
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
    store, record = found.store, found.record
    seeds = {record.seed: Run(record, found.trajectory())}
    for other in store.records():
        if same_row(other, record) and other.seed not in seeds:
            trajectory = store.load_trajectory(other)
            if trajectory is not None:
                seeds[other.seed] = Run(other, trajectory)
    return [seeds[seed] for seed in sorted(seeds)]
