"""What a worker is told to do, as it travels: between `in_process.Work` and a trainer's runs.

All that a message says of the task is here and in `messages.Order`.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from codonbench.contracts import Model, ModelConfig
from codonbench.execution.in_process import Work, assignments
from codonbench.execution.launch import importable
from codonbench.execution.messages import Arrays, File, Given, Order
from codonbench.plugins.discovery import import_file
from codonbench.plugins.registry import Registry
from codonbench.protocols.referee import Guides
from codonbench.protocols.schedule import BatchClock
from codonbench.training.state import Brief
from codonbench.training.trainer import Assignment


def write_order(
    work: Work, guides: Guides, files: Sequence[File], states: Path | None, inside: Path | None
) -> tuple[Order, Arrays]:
    """Return the order that amounts to some work, and the arrays that follow it.

    Args:
        work: What to train.
        guides: Who leads its runs.
        files: Name and path of each plugin module that is no installed one.
        states: Where states of runs are kept.
        inside: The same folder, as the worker knows it.
    """
    runs = assignments(guides)
    brief = runs[0].brief
    order = Order(
        path=tuple(importable()),
        files=tuple(files),
        origin=work.entry.origin,
        model=work.entry.name,
        config=work.config.model_dump_json(),
        view=brief.view,
        clock=(brief.clock.batch_size, brief.clock.epoch_pairs, brief.clock.budget_pairs),
        device=brief.device,
        engine=brief.engine,
        threads=brief.threads,
        runs=tuple(_given(run, states, inside) for run in runs),
        every=None if states is None else work.every,
        states=inside,
    )
    arrays = {"inputs": brief.inputs, "probe": brief.probe}
    weights = [run.brief.class_weights for run in runs]
    told = [each for each in weights if each is not None]
    return order, {**arrays, **({"class_weights": np.stack(told)} if told else {})}


def _given(assignment: Assignment, states: Path | None, inside: Path | None) -> Given:
    """Return one run as it travels; what it goes on from is put where the worker sees it."""
    given = Given(run=assignment.run, chance=assignment.brief.chance)
    if assignment.state is None or states is None or inside is None:
        return given
    name = f"{assignment.run}.before"
    (states / name).unlink(missing_ok=True)
    os.link(assignment.state, states / name)
    return given.model_copy(update={"start": assignment.start, "state": inside / name})


def read_order(order: Order, arrays: Arrays) -> tuple[type[Model], ModelConfig, list[Assignment]]:
    """Return the plugin, its configuration and its runs, in the worker.

    A class may well be made in its module's hook. So the worker registers the module as the parent
    did, and looks the name up.
    """
    sys.path += [path for path in order.path if path not in sys.path]
    for name, path in order.files:
        if name not in sys.modules:
            import_file(name, path)
    registry = Registry()
    module = importlib.import_module(order.origin.module)
    registry.add(module, order.origin.distribution, order.origin.version)
    model = registry.model(order.model).cls
    assert issubclass(model, Model)
    weights = arrays.get("class_weights")
    runs = [
        Assignment(
            given.run,
            Brief(
                view=order.view,
                inputs=arrays["inputs"],
                probe=arrays["probe"],
                class_weights=None if weights is None else weights[i],
                clock=BatchClock(*order.clock),
                chance=given.chance,
                device=order.device,
                threads=order.threads,
                engine=order.engine,
            ),
            given.start,
            given.state,
        )
        for i, given in enumerate(order.runs)
    ]
    return model, model.Config.model_validate_json(order.config), runs
