"""What a worker is told to do, as it travels: between a job's runs here and a trainer's there.

All that a message says of the task is here and in `messages.Order`.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from codonbench.contracts import Features, Items, Model, ModelConfig, Sequences
from codonbench.data.stream import BatchClock
from codonbench.execution.launch import importable
from codonbench.execution.messages import Arrays, File, Given, Order
from codonbench.execution.prepare import Job
from codonbench.plugins.discovery import import_file
from codonbench.plugins.registry import Registry
from codonbench.training.request import TrainRequest

_SPLIT = "split_"  # before the name of a split in the arrays


def write_order(
    job: Job,
    requests: Sequence[TrainRequest],
    files: Sequence[File],
    states: Path | None,
    inside: Path | None,
    every: float | None,
) -> tuple[Order, Arrays]:
    """Return the order that amounts to some runs of a job, and the arrays that follow it.

    Args:
        job: Whose model is trained.
        requests: What its runs are told; they differ in chance, weights of classes and hidden
            targets only.
        files: Name and path of each plugin module that is no installed one.
        states: Where states of runs are kept.
        inside: The same folder, as the worker knows it.
        every: Seconds between two times that a run's state is kept; None for never.
    """
    first = requests[0]
    order = Order(
        path=tuple(importable()),
        files=tuple(files),
        origin=job.entry.origin,
        model=job.entry.name,
        config=job.config.model_dump_json(),
        view=first.view,
        clock=(first.clock.batch_size, first.clock.epoch_pairs, first.clock.budget_pairs),
        device=first.device,
        engine=first.engine,
        threads=first.threads,
        runs=tuple(_given(request, states, inside) for request in requests),
        every=None if states is None else every,
        states=inside,
    )
    return order, {**_items(first.items), **_by_run(requests)}


def _items(items: Items) -> Arrays:
    if isinstance(items, Features):
        return {"features": items.values}
    return {"letters": items.letters, "offsets": items.offsets}


def _by_run(requests: Sequence[TrainRequest]) -> Arrays:
    """Return what differs from run to run, or may: splits, targets, weights of classes."""
    arrays: dict[str, np.ndarray] = {}
    for request in requests:
        for name, index in request.evaluated.items():
            arrays[f"{_SPLIT}{name}:{request.run}"] = index
        if len(request.trained):
            arrays[f"trained:{request.run}"] = request.trained
            arrays[f"targets:{request.run}"] = request.targets[request.trained]
        if request.class_weights is not None:
            arrays[f"class_weights:{request.run}"] = request.class_weights
    return arrays


def _given(request: TrainRequest, states: Path | None, inside: Path | None) -> Given:
    """Return one run as it travels; what it goes on from is put where the worker sees it."""
    given = Given(run=request.run, chance=request.chance)
    if request.state is None or states is None or inside is None:
        return given
    name = f"{request.run}.before"
    (states / name).unlink(missing_ok=True)
    os.link(request.state, states / name)
    return given.model_copy(update={"start": request.start, "state": inside / name})


def read_order(order: Order, arrays: Arrays) -> tuple[type[Model], ModelConfig, list[TrainRequest]]:
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
    items: Items
    if "features" in arrays:
        items = Features(arrays["features"])
    else:
        items = Sequences(arrays["letters"], arrays["offsets"])
    requests = [_request(order, given, items, arrays) for given in order.runs]
    return model, model.Config.model_validate_json(order.config), requests


def _request(order: Order, given: Given, items: Items, arrays: Arrays) -> TrainRequest:
    """Return what one run is told."""
    own = {
        name.rpartition(":")[0]: array
        for name, array in arrays.items()
        if name.endswith(f":{given.run}")
    }
    trained = own.get("trained", np.zeros(0, dtype=np.int64))
    told = own.get("targets")
    classes = order.view.target == "classes"
    shape = (len(items),) if classes else (len(items), order.view.n_outputs)
    targets = np.zeros(shape, dtype=np.int64 if classes else np.float32)
    if told is not None:
        targets[trained] = told
    return TrainRequest(
        run=given.run,
        view=order.view,
        items=items,
        evaluated={
            name.removeprefix(_SPLIT): index
            for name, index in own.items()
            if name.startswith(_SPLIT)
        },
        targets=targets,
        trained=trained,
        class_weights=own.get("class_weights"),
        clock=BatchClock(*order.clock),
        chance=given.chance,
        device=order.device,
        threads=order.threads,
        engine=order.engine,
        start=given.start,
        state=given.state,
    )
