"""Pictures of studies and learning curves as files, with matplotlib."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from itertools import accumulate
from pathlib import Path
from typing import Any

from codonbench.errors import StoreError
from codonbench.ranking.curves import Curves
from codonbench.records.files import write_atomically


def draw_study(
    scores: Sequence[tuple[float | None, float]], metric: str, path: Path, *, lower: bool
) -> None:
    """Draw the score of each trial, and the best so far, over the hours spent.

    Args:
        scores: Score of each trial, None if it was ended early, and its seconds.
        metric: Metric compared.
        path: File to write; its ending sets the format.
        lower: Whether lower is better.

    Raises:
        StoreError: The file cannot be written, or not in that format.
    """
    hours = [total / 3600 for total in accumulate(seconds for _, seconds in scores)]
    known = [(at, score) for at, (score, _) in zip(hours, scores, strict=True) if score is not None]
    best = list(accumulate((score for _, score in known), min if lower else max))
    ended = [at for at, (score, _) in zip(hours, scores, strict=True) if score is None]
    figure, (axes,) = _figure()
    axes.plot([at for at, _ in known], [score for _, score in known], "o", label="trial")
    axes.step([at for at, _ in known], best, where="post", label="best so far")
    for i, at in enumerate(ended):
        axes.axvline(at, ymax=0.03, color="0.5", label="ended early" if not i else None)
    axes.set(xlabel="hours of training", ylabel=f"{metric} on validation")
    axes.legend()
    _save(figure, path)


def draw_curves(tables: Sequence[Curves], path: Path) -> None:
    """Draw learning curves with their intervals, one table a panel; raises as `draw_study` does."""
    figure, panels = _figure(len(tables))
    for curves, axes in zip(tables, panels, strict=True):
        for row in curves.rows:
            points = [
                (n, p) for n, p in zip(curves.sizes, row.points, strict=True) if p is not None
            ]
            sizes = [n for n, _ in points]
            (line,) = axes.plot(
                sizes,
                [p.value for _, p in points],
                "--" if row.role == "reference" else "-",
                marker="o",
                label=row.model,
            )
            low, high = [p.low for _, p in points], [p.high for _, p in points]
            axes.fill_between(sizes, low, high, alpha=0.2, color=line.get_color())
        each = " of each class" if curves.per_class else ""
        axes.set(xscale="log", xlabel=f"training examples{each}", ylabel=curves.column.title)
        axes.set_title(curves.task)
        axes.legend()
    _save(figure, path)


def _figure(panels: int = 1) -> tuple[Any, Any]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4 * panels), layout="constrained")
    return figure, figure.subplots(panels, squeeze=False)[:, 0]


def _save(figure: Any, path: Path) -> None:
    drawn = BytesIO()
    try:
        figure.savefig(drawn, format=path.suffix.removeprefix(".") or "png")
    except ValueError as error:
        raise StoreError(f"{path} cannot be drawn: {error}") from error
    write_atomically(path, drawn.getvalue())  # no half picture where the disk is full
