"""The task ``human-codon``, and all that only it needs: data, figures, published table, commands.

Light: the command line imports it to say what commands there are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from codonbench import hookimpl
from codonbench.errors import UsageError

if TYPE_CHECKING:
    from rich.console import RenderableType

    from codonbench.contracts import Trajectory
    from codonbench.contracts.run_record import RunRecord
    from codonbench.explain.explained import Explainer
    from codonbench.report.site.figures import Figures


@hookimpl
def register_tasks(register: Any) -> None:
    """Register the task."""
    from codonbench_datasets.human_codon.task import HumanCodon

    register(HumanCodon())


@hookimpl
def row_figures() -> Figures:
    """Return the figures of a row of the page."""
    from codonbench_datasets.human_codon.page import CodonFigures

    return CodonFigures()


@hookimpl
def show_run(trajectory: Trajectory, width: int) -> tuple[RenderableType, ...] | None:
    """Show p(class | input) at a run's end, and how many inputs were right on the way."""
    from rich.text import Text

    from codonbench_datasets.human_codon.asked import serves

    if not serves(trajectory):
        return None
    from codonbench_datasets.human_codon.terminal import curve, matrix

    try:
        return matrix(trajectory, width), curve(trajectory)
    except UsageError as error:
        return Text(f"No matrix: {error}"), curve(trajectory)


@hookimpl
def explainer(record: RunRecord) -> Explainer | None:
    """Explain runs of this task by the positions of a codon."""
    if record.task != "human-codon":
        return None
    from codonbench_datasets.human_codon.explanation import explain_codons

    return explain_codons
