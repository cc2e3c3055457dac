"""What a worker and its parent tell each other: validated JSON, and arrays as bare bytes.

The worker speaks, and the parent answers where an answer is due: neither ever sends while the
other does. Nothing is unpickled on either side: a plugin that writes to the pipe can lie about its
run, which an audit shows, but cannot make the parent run anything.
"""

from __future__ import annotations

import importlib
import math
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field, JsonValue, TypeAdapter

from codonbench.contracts import (
    BaseConfig,
    Estimator,
    Features,
    Frozen,
    Items,
    Model,
    ModelInfo,
    Name,
    Sequences,
    SequenceTuples,
)
from codonbench.contracts.base import MAX_NUMBER, MOST_WORDS
from codonbench.contracts.provenance import Origin, TorchFacts
from codonbench.contracts.run_record import Engine, Status
from codonbench.contracts.run_spec import EngineChoice
from codonbench.contracts.task import TaskView
from codonbench.data.stream import BatchClock
from codonbench.execution.process import Frame, framed, importable
from codonbench.plugins.discovery import import_file
from codonbench.plugins.registry import Registry
from codonbench.protocols.referee import Evaluation, Instructions
from codonbench.training.request import MOST_DETAILS, TrainRequest

if TYPE_CHECKING:
    from codonbench.execution.prepare import Job

Run = Annotated[int, Field(ge=0)]
"""Which of an order's specs."""

Arrays = Mapping[str, npt.NDArray[Any]]

File = tuple[str, Path]
"""Name and path of a plugin module that is no installed one."""


# What the parent says


class Given(Frozen):
    """A run of an order; see `training.request.TrainRequest`.

    Attributes:
        run: Its number.
        chance: Where the global generators begin.
        start, state: Where it goes on, and the file it goes on from, where it was cut short.
    """

    run: Run
    chance: tuple[int, int, int]
    start: int = 0
    state: Path | None = None


class Order(Frozen):
    """Train a model; what its runs are told of the task follows, see `write_order`.

    Attributes:
        path: Folders to import from, after all others.
        files: Modules that are no installed ones.
        origin, model: Where the model comes from, and the name it is registered under.
        config: Its configuration, as JSON.
        view, clock, device, engine: As in `training.request.TrainRequest`; `clock` as it is made.
        threads: CPU threads.
        runs: One a seed.
        every: Seconds between two times that a run's state is kept; None for never.
        states: The folder where it is kept.
    """

    kind: Literal["order"] = "order"
    path: tuple[str, ...]
    files: tuple[File, ...]
    origin: Origin
    model: str
    config: str
    view: TaskView
    clock: tuple[int, int, int]
    device: Literal["cpu", "cuda"]
    engine: EngineChoice
    threads: int
    runs: tuple[Given, ...]
    every: float | None
    states: Path | None


class Told(Frozen):
    """How the runs that asked go on; see `protocols.referee.Instructions`.

    What they are handed follows, run by run: ``index`` and, where they were not known, ``targets``.
    """

    kind: Literal["told"] = "told"
    due: tuple[Evaluation | None, ...]
    keep: tuple[bool, ...]
    counts: tuple[int, ...]


class Taken(Frozen):
    """What was kept has been taken in."""

    kind: Literal["taken"] = "taken"


class Question(Frozen):
    """Say what there is to know of a plugin.

    Attributes:
        model: Its name, or a preset's.
        overrides: Of its configuration, as typed.
        files, folders: Where plugins are that are not installed.
        only, off: Which plugins are wanted; see `plugins.selection.Selection`.
    """

    kind: Literal["question"] = "question"
    model: str
    overrides: dict[str, str]
    files: tuple[Path, ...] = ()
    folders: tuple[Path, ...] = ()
    only: tuple[str, ...] | None = None
    off: tuple[str, ...] = ()


# What the worker says


class Hello(Frozen):
    """The worker is there, and so is PyTorch; no plugin is yet."""

    kind: Literal["hello"] = "hello"
    facts: TorchFacts


class Began(Frozen):
    """A run begins, or begins anew on another rung."""

    kind: Literal["began"] = "began"
    run: Run


class Ask(Frozen):
    """Some runs ask how to go on, to be answered with `Told`.

    Where an evaluation is shown, its ``outputs``, of shape (runs, N, K), follow as float32.
    """

    kind: Literal["ask"] = "ask"
    runs: tuple[Run, ...] = Field(min_length=1)
    positions: tuple[int, ...]


class Kept(Frozen):
    """What a run needs to go on from here lies in a file, to be answered with `Taken`."""

    kind: Literal["kept"] = "kept"
    run: Run
    position: int
    file: str = Field(pattern=r"^[0-9]{1,9}\.state$")


class Ended(Frozen):
    """A run is over: what `TrainResult` holds, within what a record can hold."""

    kind: Literal["ended"] = "ended"
    run: Run
    status: Status
    error: str | None = Field(max_length=MOST_WORDS)
    details: str = Field(max_length=MOST_DETAILS)
    position: int
    evaluate_seconds: float
    engine: Engine
    parameters: int = Field(ge=0, lt=MAX_NUMBER)
    weights_sha256: str | None = Field(pattern=r"^[0-9a-f]{64}$")


OF_RESULT = tuple(name for name in Ended.model_fields if name not in ("kind", "run"))
"""The fields that `Ended` and `TrainResult` have in common."""


class Served(Frozen):
    """All that was ordered is done; the worker waits for more."""

    kind: Literal["served"] = "served"


class Unusable(Frozen):
    """What was asked is at fault, not the worker."""

    kind: Literal["unusable"] = "unusable"
    error: str = Field(max_length=MOST_WORDS)


class Loading(Frozen):
    """A plugin that is asked about is about to be loaded."""

    kind: Literal["loading"] = "loading"


class Answer(Frozen):
    """What a plugin says of itself.

    Attributes:
        name: What it is registered under.
        info, origin: Who it is, and where it comes from.
        estimator: Whether it is fitted in one go, not trained batch by batch.
        named, values: Its configuration without the overrides, and with them.
        files: Name and path of each module that is no installed one.
        error: What is wrong with it, or with what was asked; the rest is empty then.
        asker: Whether that is for who asked to mend.
        unknown: Whether there is no such model.
    """

    kind: Literal["answer"] = "answer"
    name: Name | None = None
    info: ModelInfo | None = None
    estimator: bool = False
    origin: Origin | None = None
    named: dict[str, JsonValue] = Field(default_factory=dict)
    values: dict[str, JsonValue] = Field(default_factory=dict)
    files: tuple[File, ...] = ()
    error: str = ""
    asker: bool = False
    unknown: bool = False


Spoken = Order | Told | Taken | Question
"""What a worker hears."""

Message = Hello | Began | Ask | Kept | Ended | Served | Unusable | Loading | Answer
"""What a parent hears."""


class _Array(Frozen):
    name: str = Field(max_length=40)
    dtype: Literal["<f4", "<f8", "<i4", "<i8", "|u1"]
    shape: tuple[Annotated[int, Field(ge=0)], ...] = Field(max_length=4)


class _FromWorker(Frozen):
    message: Message = Field(discriminator="kind")
    arrays: tuple[_Array, ...] = Field(default=(), max_length=8)


class _ToWorker(Frozen):
    message: Spoken = Field(discriminator="kind")
    arrays: tuple[_Array, ...] = ()


_FROM_WORKER, _TO_WORKER = TypeAdapter(_FromWorker), TypeAdapter(_ToWorker)


def pack(message: Message | Spoken, arrays: Arrays | None = None) -> bytes:
    """Return a message, and the arrays that follow it, as a frame."""
    little = {
        name: np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
        for name, array in (arrays or {}).items()
    }
    told = tuple(
        _Array(name=name, dtype=array.dtype.str, shape=array.shape)
        for name, array in little.items()
    )
    kind = _FromWorker if isinstance(message, Message) else _ToWorker
    header = kind(message=message, arrays=told).model_dump_json()
    return framed(header.encode(), b"".join(array.tobytes() for array in little.values()))


def unpack(frame: Frame) -> tuple[Message, dict[str, npt.NDArray[Any]]]:
    """Return what a worker says, and the arrays that follow.

    Raises:
        ValueError: It is no message.
    """
    header = _FROM_WORKER.validate_json(frame[0])
    return header.message, _arrays(header.arrays, frame[1])


def unpack_told(frame: Frame) -> tuple[Spoken, dict[str, npt.NDArray[Any]]]:
    """Return what a parent says, and the arrays that follow."""
    header = _TO_WORKER.validate_json(frame[0])
    return header.message, _arrays(header.arrays, frame[1])


def _arrays(told: tuple[_Array, ...], body: memoryview) -> dict[str, npt.NDArray[Any]]:
    found, offset = {}, 0
    for array in told:
        count = math.prod(array.shape)
        size = count * np.dtype(array.dtype).itemsize
        if offset + size > len(body):
            raise ValueError(f"array {array.name!r} is cut short")
        flat = np.frombuffer(body, array.dtype, count, offset)
        found[array.name] = flat.reshape(array.shape).astype(flat.dtype.newbyteorder("="))
        offset += size
    if offset != len(body):
        raise ValueError(f"{len(body) - offset} bytes follow that nothing is said of")
    return found


def told(instructions: Sequence[Instructions]) -> tuple[Told, Arrays]:
    """Return how some runs go on, as it travels."""
    message = Told(
        due=tuple(i.evaluation for i in instructions),
        keep=tuple(i.keep for i in instructions),
        counts=tuple(len(i.index) for i in instructions),
    )
    arrays = {"index": np.concatenate([i.index for i in instructions]).astype(np.int32)}
    targets = np.concatenate([i.targets for i in instructions])
    return message, arrays | ({"targets": targets.astype(np.int32)} if len(targets) else {})


def read_told(message: Told, arrays: Arrays) -> list[Instructions]:
    """Return how some runs go on, in the worker."""
    ends = np.cumsum(message.counts)[:-1]
    index = np.split(arrays["index"].astype(np.int64), ends)
    targets = [np.zeros(0, dtype=np.int64)] * len(index)
    if "targets" in arrays:
        targets = np.split(arrays["targets"].astype(np.int64), ends)
    return list(map(Instructions, message.due, message.keep, index, targets))


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
        requests: What its runs are told; they differ in chance, splits, known targets and weights
            of classes only.
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
    arrays = _write_items(first.items)
    for request in requests:
        own: dict[str, npt.NDArray[Any]] = {
            f"split {name}": index for name, index in request.evaluated.items()
        }
        if len(request.trained):
            own |= {"trained": request.trained, "targets": request.targets[request.trained]}
        if request.class_weights is not None:
            own["class_weights"] = request.class_weights
        arrays |= {f"{request.run}:{name}": array for name, array in own.items()}
    return order, arrays


def _write_items(items: Items) -> dict[str, npt.NDArray[Any]]:
    if isinstance(items, Features):
        return {"features": items.values}
    parts = (items,) if isinstance(items, Sequences) else items.parts
    letters = {f"letters {i}": part.letters for i, part in enumerate(parts)}
    return letters | {f"offsets {i}": part.offsets for i, part in enumerate(parts)}


def _read_items(arrays: Arrays) -> Items:
    if "features" in arrays:
        return Features(arrays["features"])
    count = sum(name.startswith("letters ") for name in arrays)
    parts = tuple(Sequences(arrays[f"letters {i}"], arrays[f"offsets {i}"]) for i in range(count))
    return parts[0] if count == 1 else SequenceTuples(parts)


def _given(request: TrainRequest, states: Path | None, inside: Path | None) -> Given:
    """Return one run as it travels; what it goes on from is put where the worker sees it."""
    given = Given(run=request.run, chance=request.chance)
    if request.state is None or states is None or inside is None:
        return given
    name = f"{request.run}.before"
    (states / name).unlink(missing_ok=True)
    os.link(request.state, states / name)
    return given.model_copy(update={"start": request.start, "state": inside / name})


def read_order(
    order: Order, arrays: Arrays
) -> tuple[type[Model] | type[Estimator], BaseConfig, list[TrainRequest]]:
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
    assert issubclass(model, Model | Estimator)
    items = _read_items(arrays)
    requests = [_request(order, given, items, arrays) for given in order.runs]
    return model, model.Config.model_validate_json(order.config), requests


def _request(order: Order, given: Given, items: Items, arrays: Arrays) -> TrainRequest:
    """Return what one run is told."""
    mark = f"{given.run}:"
    own = {name.removeprefix(mark): a for name, a in arrays.items() if name.startswith(mark)}
    trained = own.get("trained", np.zeros(0, dtype=np.int64))
    classes = order.view.target == "classes"
    shape = (len(items),) if classes else (len(items), order.view.n_outputs)
    targets = np.zeros(shape, dtype=np.int64 if classes else np.float32)
    if "targets" in own:
        targets[trained] = own["targets"]
    return TrainRequest(
        run=given.run,
        view=order.view,
        items=items,
        evaluated={
            name.removeprefix("split "): index
            for name, index in own.items()
            if name.startswith("split ")
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
