"""Figures and tables of a reproduction as text; whatever a record holds shows as itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pandas as pd

from codonbench.report.markdown import NONE, plain
from codonbench_datasets.human_codon.reproduction.publications import Cell
from codonbench_datasets.human_codon.reproduction.report import Report, Spread

NEVER = "never"

Number = Callable[[float], str]


def whole(value: float) -> str:
    """Return ``4,032,000``."""
    return f"{value:,.0f}"


def fraction(value: float) -> str:
    """Return ``0.9984``."""
    return f"{value:.4f}"


def percent(share: float) -> str:
    """Return ``57 %``."""
    return f"{100 * share:.0f} %"


def spread_text(spread: Spread | None, number: Number = whole, never: str = NEVER) -> str:
    """Return ``11 [6 to 33]``, ``> 40`` where none got there, ``-`` for none.

    Args:
        spread: Median and range.
        number: How one value shows.
        never: How one that never got there shows.
    """
    if spread is None:
        return NONE

    def text(value: float | None) -> str:
        return never if value is None else number(value)

    if spread.n == 1 or text(spread.low) == text(spread.high):
        return text(spread.median)
    return f"{text(spread.median)} [{text(spread.low)} to {text(spread.high)}]"


def beyond_text(report: Report) -> str:
    """Return ``> 40``, escaped: an epoch beyond the budget."""
    return f"&gt; {report.publication.budget_epochs}"


def cell_name(cell: Cell) -> list[str]:
    """Return a cell's row and column, as they begin each line about it."""
    return [plain(cell.configuration), plain(cell.condition)]


def grid(headers: Sequence[str], body: Sequence[Sequence[str]], left: int) -> str:
    """Return a Markdown table of cells that are text already.

    Args:
        headers: One a column.
        body: Lines of cells, escaped.
        left: How many columns, from the first, hold words; the others hold figures.
    """
    alignment = ["left" if i < left else "right" for i in range(len(headers))]
    return pd.DataFrame(list(body), columns=list(headers)).to_markdown(
        index=False, tablefmt="pipe", colalign=alignment, disable_numparse=True
    )
