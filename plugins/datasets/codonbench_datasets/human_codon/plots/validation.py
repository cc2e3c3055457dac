"""The score on validation items over the course of training, of runs that are selected there."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure

from codonbench.audit.verify import same_row
from codonbench.cli.find_runs import Found
from codonbench.contracts.run_record import RunRecord
from codonbench.errors import UsageError
from codonbench.plugins.registry import Registry
from codonbench.ranking.rows import name_text
from codonbench.report.site.learning_curves import LearningCurves
from codonbench_datasets.human_codon.plots.style import BLUE, GREY, new_figure, safe


def draw_validation(found: Found, registry: Registry) -> Figure:
    """Return the primary metric on validation over training: a line a seed, the run's own in blue.

    Of a run on folds, a line a fold. A dot is the state that was selected there, and tested.

    Args:
        found: The run.
        registry: For tasks, which say what rows are ranked by, and metrics.

    Raises:
        UsageError: The run was not validated while it was trained, or its task is not installed.
        StoreError: It has no trajectory here.
    """
    record, store = found.record, found.store
    found.trajectory()  # raises where there is none, and says what makes it again
    records = [each for each in store.scan() if isinstance(each, RunRecord)]
    own = _trained(record, records)
    others = [e for each in records if same_row(each, record) for e in _trained(each, records)]
    row = {each.run_id: each for each in (*own, *others)}
    made = LearningCurves(registry.known_tasks, registry.known_metrics).make(row, store, None)
    blue = {each.run_id for each in own}
    mine = [] if made is None else [curve for curve in made.seeds if curve.run_id in blue]
    if made is None or all(value is None for curve in mine for value in curve.values):
        raise UsageError(
            f"{record.name} has no learning curve: it has no scores on validation items at several "
            "times of its training, or its task is not installed"
        )
    model = safe(name_text(record.model, record.overrides, record.plugin.distribution))
    task = safe(f"{record.task} on {record.dataset.source}")
    seeds = len({curve.seed for curve in made.seeds})
    which = f"{seeds} seeds, seed {record.seed} in blue" if seeds > 1 else f"seed {record.seed}"
    folds = "  ·  a line for each fold" if own != [record] else ""
    figure = new_figure(7.0, 4.2, f"{model}  ·  {task}  ·  {which}{folds}")
    axes = figure.subplots()
    for curve in sorted(made.seeds, key=lambda curve: curve.run_id in blue):
        points = {p: v for p, v in zip(curve.pairs, curve.values, strict=True) if v is not None}
        colour = BLUE if curve.run_id in blue else GREY
        axes.plot(list(points), list(points.values()), color=colour)
        if curve.selected in points:
            axes.plot(curve.selected, points[curve.selected], "o", color=colour, markersize=4)
    axes.set(xlabel="training examples", ylabel=f"{safe(made.title)} on validation")
    axes.set_title("dot: the state that was selected on validation, and tested")
    return figure


def _trained(record: RunRecord, records: Sequence[RunRecord]) -> list[RunRecord]:
    """Return the runs on the folds of a run; itself where it has none."""
    folds = (each for each in records if each.run_spec.fold is not None)
    return [each for each in folds if each.run_spec.whole == record.run_spec] or [record]
