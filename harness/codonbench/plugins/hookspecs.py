"""The hooks a plugin can implement (pluggy project name ``codonbench``).

A module needs no `register_...`: the classes of a contract that it defines are registered by
themselves, but for abstract ones and those whose names begin with ``_``. Of a kind that it has the
hook of, it registers what the hook says and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import pluggy

if TYPE_CHECKING:
    from rich.console import RenderableType

    from codonbench.contracts import (
        Encoding,
        Estimator,
        Metric,
        Model,
        Reference,
        Task,
        Trajectory,
    )
    from codonbench.contracts.run_record import RunRecord
    from codonbench.contracts.run_spec import RunSpec
    from codonbench.protocols.referee import Protocol
    from codonbench.report.site.figures import Figures

hookspec = pluggy.HookspecMarker("codonbench")
hookimpl = pluggy.HookimplMarker("codonbench")


@hookspec
def register_models(
    register: Callable[[type[Model] | type[Estimator] | type[Reference]], None],
) -> None:
    """Call ``register(cls)`` for each model. Called once, when models are first needed."""


@hookspec
def register_tasks(register: Callable[[Task], None]) -> None:
    """Call ``register(task)`` for each task. Called once, when tasks are first needed."""


@hookspec
def register_metrics(register: Callable[[Metric], None]) -> None:
    """Call ``register(metric)`` for each metric. Called once, when metrics are first needed."""


@hookspec
def register_protocols(register: Callable[[Protocol], None]) -> None:
    """Call ``register(protocol)`` for each protocol. Called once, when they are first needed."""


@hookspec
def register_encodings(register: Callable[[Encoding], None]) -> None:
    """Call ``register(encoding)`` for each encoding that models of this plugin name.

    Called once, where they are trained.
    """


@hookspec
def run_started(run_spec: RunSpec) -> None:
    """Before the first pair of a run. Read-only: what it returns is ignored."""


@hookspec
def snapshot_taken(trajectory: Trajectory, index: int) -> None:
    """After a run is stored, once for each snapshot of its trajectory, in order. Read-only."""


@hookspec
def run_finished(record: RunRecord) -> None:
    """After a run is scored and stored. Read-only."""


@hookspec
def row_figures() -> Figures | None:
    """Return the figures that the page draws of a row. Called when the page is written or checked.

    None: nothing.
    """


@hookspec
def show_run(
    record: RunRecord, trajectory: Trajectory, width: int
) -> Iterable[RenderableType] | None:
    """Return what `bench show` prints below a run's facts, for rich, `width` columns at most.

    Called when a run that has a trajectory is shown. None: nothing to show of this task.
    """


@hookspec
def explainer(record: RunRecord) -> Callable[[Any], Any] | None:
    """Return the function by which `bench explain` explains a run's model.

    A function from a `codonbench.audit.repeat.Repetition` to a
    `codonbench.explain.explained.Explanation`. Called before the run is made again. None: the
    methods that serve every model of sequences.
    """
