"""A worker process: the messages that it and its parent exchange, and what it does on each.

``python -P -m codonbench.execution.worker HEARS SPEAKS LIFELINE [describe | gpu]``

The worker speaks, and the parent answers where an answer is due: neither ever sends while the
other does. What travels is validated JSON, and arrays as bare bytes. Nothing is unpickled on either
side: a plugin that writes to the pipe can lie about its run, which an audit shows, but cannot make
the parent run anything.
"""

from __future__ import annotations

import gc
import importlib
import math
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from types import FrameType
from typing import Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import ConfigDict, Field, JsonValue, TypeAdapter
from pydantic_core import to_json, to_jsonable_python

from codonbench.contracts import Estimator, Frozen, Model, ModelInfo, Name, Reference
from codonbench.contracts.base import MAX_NUMBER, MOST_WORDS, Origin
from codonbench.contracts.model import GradientConfig, Needs
from codonbench.contracts.run_record import About, Engine, Status, TorchFacts
from codonbench.contracts.tunable import Tunable, tunable
from codonbench.errors import UsageError
from codonbench.execution.process import Frame, Inbox, attach_to_parent, framed, send
from codonbench.plugins.discovery import import_file, load_only, own_files_only
from codonbench.plugins.entries import ModelEntry, sources_of
from codonbench.plugins.failures import Failure
from codonbench.plugins.registry import Registry
from codonbench.plugins.selection import Candidate, Selection
from codonbench.protocols.referee import Instructions, RunOutputs
from codonbench.records.files import storable
from codonbench.training.request import MOST_DETAILS, TrainRequest, TrainResult

File = tuple[str, Path]
"""Name and path of a plugin module that is no installed one."""

Run = Annotated[int, Field(ge=0)]
"""Which of an order's requests."""


Words = Annotated[str, Field(max_length=MOST_WORDS)]


class _Message(Frozen):
    model_config = ConfigDict(arbitrary_types_allowed=True)  # arrays


# Messages from the parent


class TrainOrder(_Message):
    """Train a model.

    Attributes:
        path: Folders to import from, after all others.
        files: Modules that are no installed ones.
        origin, model: Where the model comes from, and the name it is registered under.
        config: Its configuration, as JSON.
        requests: Training request of each run.
        every: Seconds between two times that a run's state is kept; None for never.
        states: The folder where it is kept.
    """

    kind: Literal["order"] = "order"
    path: tuple[str, ...]
    files: tuple[File, ...]
    origin: Origin
    model: str
    config: str
    requests: tuple[TrainRequest, ...]
    every: float | None
    states: Path | None


class Reply(_Message):
    """Instructions for the runs that asked for them."""

    kind: Literal["told"] = "told"
    instructions: tuple[Instructions, ...]


class Taken(Frozen):
    """The state has been copied."""

    kind: Literal["taken"] = "taken"


class Question(Frozen):
    """Ask what some plugins of one owner register.

    Attributes:
        path: Folders to import from, after all others.
        candidates: The plugins.
        off: Modules of theirs that are switched off.
    """

    kind: Literal["question"] = "question"
    path: tuple[str, ...]
    candidates: tuple[Candidate, ...] = Field(min_length=1)
    off: tuple[str, ...] = ()


class Configure(Frozen):
    """Ask for the configuration of a model with fields set.

    Attributes:
        question: The plugins of its owner.
        model: Name of the model or preset.
        overrides: Fields of its configuration, as typed.
        owner: Whose configuration it is, for messages.
    """

    kind: Literal["configure"] = "configure"
    question: Question
    model: str
    overrides: dict[str, str]
    owner: str


# Messages from a worker


class Hello(Frozen):
    """The worker is up, and has loaded no plugin.

    Attributes:
        facts: Facts on PyTorch; None if the worker only describes plugins.
    """

    kind: Literal["hello"] = "hello"
    facts: TorchFacts | None


class Began(Frozen):
    """A run begins, or begins anew on another rung."""

    kind: Literal["began"] = "began"
    run: Run


class Ask(_Message):
    """Some runs ask for instructions; answered with `Reply`."""

    kind: Literal["ask"] = "ask"
    shown: tuple[RunOutputs, ...] = Field(min_length=1)


class Kept(Frozen):
    """The state of a run is in a file; answered with `Taken`."""

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
    anew: str = Field(default="", max_length=MOST_WORDS)
    parameters: int = Field(ge=0, lt=MAX_NUMBER)
    weights_sha256: str | None = Field(pattern=r"^[0-9a-f]{64}$")
    about: About = Field(default_factory=dict)


class Served(Frozen):
    """All that was ordered is done; the worker waits for more."""

    kind: Literal["served"] = "served"


class Unusable(Frozen):
    """The request is invalid; not a fault of the worker."""

    kind: Literal["unusable"] = "unusable"
    error: str = Field(max_length=MOST_WORDS)
    letters: int | None = Field(default=None, ge=0, lt=MAX_NUMBER)


class Described(Frozen):
    """A model that a plugin registers.

    Attributes:
        info: As the plugin declares it.
        presets: Its named configurations, as JSON.
        trained: Whether it is trained batch by batch, by gradient or not; fitted in one go; or
            computed from what is right, which no worker is told.
        module: The module that registers it.
        sources: The files that it is made of; see `codonbench.plugins.entries.sources_of`.
        needs: What a run of it uses of a machine.
    """

    info: ModelInfo
    presets: dict[Name, dict[str, JsonValue]]
    trained: Literal["by gradient", "in batches", "at once", "not"]
    module: str = Field(max_length=MOST_WORDS)
    sources: tuple[str, ...] = Field(min_length=1, max_length=1000)
    needs: Needs = Needs()


class Answer(Frozen):
    """What some plugins register.

    Attributes:
        models: Their models.
        others: Kind and name of other plugins.
        failures: Plugins that did not load.
        remarks: Further messages.
    """

    kind: Literal["answer"] = "answer"
    models: tuple[Described, ...]
    others: tuple[tuple[Words, Words], ...] = Field(max_length=1000)
    failures: tuple[Failed, ...] = Field(max_length=100)
    remarks: tuple[Words, ...] = Field(max_length=100)


class Failed(Frozen):
    """What `codonbench.plugins.failures.Failure` holds, within limits."""

    module: Words
    file: Words
    error: Words
    details: str = Field(max_length=MOST_DETAILS)
    line: int | None
    hint: Words
    usage: bool


class Configured(Frozen):
    """The configuration of a model.

    Attributes:
        name: The model or preset whose values differ least.
        values: The requested configuration.
        changes: Fields that differ from the configuration of that name.
        fields: How each field may be tuned.
        error: Why the request is invalid; the rest is empty then.
    """

    kind: Literal["configured"] = "configured"
    name: str = ""
    values: dict[str, JsonValue] = Field(default_factory=dict)
    changes: dict[str, JsonValue] = Field(default_factory=dict)
    fields: dict[str, Tunable] = Field(default_factory=dict)
    error: str = ""


ToWorker = TrainOrder | Reply | Taken | Question | Configure
"""Messages to a worker."""

Message = Hello | Began | Ask | Kept | Ended | Served | Unusable | Answer | Configured
"""Messages from a worker."""

_TO_WORKER: TypeAdapter[ToWorker] = TypeAdapter(Annotated[ToWorker, Field(discriminator="kind")])
_MESSAGE: TypeAdapter[Message] = TypeAdapter(Annotated[Message, Field(discriminator="kind")])

_DType = Literal["<f4", "<f8", "<i8", "|u1", "<u2", "<u4", "<u8"]


class _Array(Frozen):
    """An array in the body: its type, the type it travels as, and its shape."""

    dtype: _DType
    sent: _DType
    shape: tuple[Annotated[int, Field(ge=0, lt=MAX_NUMBER)], ...] = Field(max_length=4)


class _Header(Frozen):
    """A message in which ``{"array": i}`` stands for an array of the body."""

    message: JsonValue
    arrays: tuple[_Array, ...]


def pack(message: Message | ToWorker) -> bytes:
    """Return a message as a frame: JSON, and the bytes of its arrays, each of them once."""
    places: dict[int, int] = {}
    arrays: list[dict[str, Any]] = []
    body: list[memoryview] = []

    def place(array: Any) -> dict[str, int]:
        if not isinstance(array, np.ndarray):
            raise TypeError(f"{type(array).__name__} is neither JSON nor an array")
        if id(array) not in places:
            few = whole = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
            if whole.dtype == np.int64 and whole.size and whole.min() >= 0:
                few = whole.astype(np.min_scalar_type(whole.max()))  # most indices are small
            array_of = {"dtype": whole.dtype.str, "sent": few.dtype.str, "shape": whole.shape}
            places[id(array)] = len(arrays)
            arrays.append(array_of)
            body.append(few.data)
        return {"array": places[id(array)]}

    header = b'{"message":%b,"arrays":%b}'
    text = message.model_dump_json(fallback=place).encode()
    return framed(header % (text, to_json(arrays)), *body)


def unpack(frame: Frame) -> Message:
    """Return a message from a worker.

    Raises:
        ValueError: It is no message.
    """
    return _MESSAGE.validate_python(_unpacked(frame))


def unpack_to_worker(frame: Frame) -> ToWorker:
    """Return a message from the parent."""
    return _TO_WORKER.validate_python(_unpacked(frame))


def _unpacked(frame: Frame) -> Any:
    """Return the JSON of a message with its arrays in their places."""
    header, body, offset = _Header.model_validate_json(frame[0]), frame[1], 0
    arrays: list[npt.NDArray[Any]] = []
    for array in header.arrays:
        count = math.prod(array.shape)
        end = offset + count * np.dtype(array.sent).itemsize
        if end > len(body):
            raise ValueError(f"array {len(arrays)} is cut short")
        flat = np.frombuffer(body, array.sent, count, offset)
        arrays.append(flat.reshape(array.shape).astype(np.dtype(array.dtype).newbyteorder("=")))
        offset = end
    if offset != len(body):
        raise ValueError(f"{len(body) - offset} bytes follow the last array")

    def filled(value: Any) -> Any:
        if isinstance(value, list):
            return [filled(item) for item in value]
        if not isinstance(value, dict):
            return value
        if value.keys() != {"array"}:
            return {name: filled(item) for name, item in value.items()}
        if not isinstance(value["array"], int) or not 0 <= value["array"] < len(arrays):
            raise ValueError(f"there is no array {value['array']!r:.99}")
        return arrays[value["array"]]

    return filled(header.message)


# How it serves


def main() -> None:
    """Serve until the parent hangs up."""
    pipes, arguments = attach_to_parent(), sys.argv[4:]
    facts = None if "describe" in arguments else _facts("gpu" in arguments)
    serve(*pipes, facts)


def _facts(gpu: bool) -> TorchFacts:
    """Import PyTorch, before a plugin could change it, and return facts on it."""
    gc.disable()  # to look for garbage among what is imported takes a tenth of the time
    from codonbench.training.determinism import pin_arithmetic, torch_facts

    gc.freeze()
    gc.enable()
    pin_arithmetic(1)
    return torch_facts(gpu)


def serve(incoming: int, outgoing: int, facts: TorchFacts | None) -> None:
    """Send `Hello`, then process messages; this process ends when the parent closes the pipe.

    Args:
        incoming: The pipe from the parent.
        outgoing: The pipe to it.
        facts: Facts on PyTorch; None to only describe plugins.
    """
    parent = Parent(incoming, outgoing)
    parent.send(Hello(facts=facts))
    registries: dict[Question, Registry] = {}
    while True:
        message = parent.receive()
        if isinstance(message, TrainOrder):
            _train(parent, message)
        elif isinstance(message, Question):
            parent.send(_answer(_loaded(message, registries), message))
        elif isinstance(message, Configure):
            parent.send(_configured(_loaded(message.question, registries), message))


class Parent:
    """The parent process, at the other end of two pipes, with the referees; ends this one with it.

    Args:
        incoming, outgoing: The pipes from it and to it.

    Attributes:
        states: The folder where states of runs are kept; None for nowhere.
    """

    def __init__(self, incoming: int, outgoing: int) -> None:
        self._inbox = Inbox(incoming, most_header=sys.maxsize, most=sys.maxsize)
        self._outgoing = outgoing
        self._sending = self._stopping = False
        self.states: Path | None = None

    def on_stop_signal(self, number: int, frame: FrameType | None) -> None:
        """Raise KeyboardInterrupt, once, and not while a message is on its way."""
        if self._stopping:
            return
        self._stopping = True
        if not self._sending:
            raise KeyboardInterrupt

    def send(self, message: Message) -> None:
        """Send one message whole, which no signal cuts in two."""
        stopping, self._sending = self._stopping, True
        with _exit_without_parent():
            send(self._outgoing, pack(message))
        self._sending = False
        if self._stopping and not stopping:
            raise KeyboardInterrupt

    def receive(self) -> ToWorker:
        """Return its next message."""
        with _exit_without_parent():
            return unpack_to_worker(self._inbox.wait())

    def begin(self, run: int) -> None:
        """Report that a run begins."""
        self.send(Began(run=run))

    def answer(self, shown: Sequence[RunOutputs]) -> list[Instructions]:
        """Send the outputs of some runs; return their instructions.

        Until the first time there is nothing to tell once asked to stop, so that SIGTERM is left
        to end this process.
        """
        signal.signal(signal.SIGTERM, self.on_stop_signal)
        self.send(Ask(shown=tuple(shown)))
        message = self.receive()
        assert isinstance(message, Reply)
        return list(message.instructions)

    def keep(self, run: int, position: int, write: Callable[[Path], None]) -> None:
        """Write the state of a run to a file, and have the parent copy it."""
        assert self.states is not None
        file = f"{run}.state"
        write(self.states / file)
        self.send(Kept(run=run, position=position, file=file))
        self.receive()


@contextmanager
def _exit_without_parent() -> Iterator[None]:
    """End this process where its parent has gone."""
    try:
        yield
    except (EOFError, OSError):
        os._exit(1)


def _train(parent: Parent, order: TrainOrder) -> None:
    """Train the runs of an order, and report to the parent."""
    from codonbench.engines.train import train_runs
    from codonbench.training.determinism import (
        each_warning_once,
        pin_arithmetic,
        subnormals_as_zero,
    )

    parent.states = order.states
    pin_arithmetic(order.requests[0].threads)
    try:
        model = _model(order)
        config = model.Config.model_validate_json(order.config)
        own_files = own_files_only(order.origin.module)
        with subnormals_as_zero(), each_warning_once(), own_files:
            for run, result in train_runs(model, config, order.requests, parent, order.every):
                parent.send(_ended(run, result))
                if result.status == "interrupted":  # all there was to tell is told
                    os._exit(0)
    except UsageError as error:
        parent.send(Unusable(error=storable(str(error)), letters=error.letters))
        return
    except KeyboardInterrupt:
        os._exit(0)
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
    parent.send(Served())


def _model(order: TrainOrder) -> type[Model] | type[Estimator]:
    """Return the plugin.

    A class may well be made in its module's hook. So the module is registered as the parent did,
    and the name looked up.
    """
    _extend_path(order.path)
    for name, path in order.files:
        if name not in sys.modules:
            import_file(name, path)
    registry, origin = Registry(), order.origin
    registry.add(importlib.import_module(origin.module), origin.distribution, origin.version)
    model = registry.model(order.model).cls
    assert issubclass(model, Model | Estimator)
    return model


def _extend_path(path: Sequence[str]) -> None:
    sys.path += [each for each in path if each not in sys.path]


OF_RESULT = tuple(name for name in Ended.model_fields if name not in ("kind", "run"))
"""The fields that `Ended` and `TrainResult` have in common."""


def _ended(run: int, result: TrainResult) -> Ended:
    return Ended(run=run, **{name: getattr(result, name) for name in OF_RESULT})


def _loaded(question: Question, registries: dict[Question, Registry]) -> Registry:
    """Return the plugins of a question, loaded once, whatever they do on being loaded."""
    if question not in registries:
        _extend_path(question.path)
        with redirect_stdout(sys.stderr):
            selection = Selection(off=question.off)
            registries[question] = load_only(question.candidates, selection)
            registries[question].enter_all()
    return registries[question]


def _answer(registry: Registry, question: Question) -> Answer:
    return Answer(
        models=tuple(
            _described(entry)
            for name, entry in registry.models.items()
            if name == entry.cls.info.name  # but for presets
        ),
        others=tuple(_others(registry, question)),
        failures=tuple(map(_failed, registry.failures)),
        remarks=tuple(storable(str(clash)) for clash in registry.clashes),
    )


def _described(entry: ModelEntry) -> Described:
    cls = entry.cls
    trained: Any = "not" if issubclass(cls, Reference) else "at once"
    if issubclass(cls, Model):
        trained = "by gradient" if issubclass(cls.Config, GradientConfig) else "in batches"
    presets = {name: to_jsonable_python(dict(values)) for name, values in cls.presets.items()}
    return Described(
        info=cls.info,
        presets=presets,
        trained=trained,
        module=entry.origin.module,
        sources=sources_of(cls),
        needs=cls.needs,
    )


def _others(registry: Registry, question: Question) -> Iterator[tuple[str, str]]:
    """Yield kind and name of what is no model, but for what the core registers itself."""
    modules = tuple(candidate.module for candidate in question.candidates)
    for kind in ("task", "metric", "protocol"):
        for name, entry in getattr(registry, f"{kind}s").items():
            if entry.origin.module.startswith(modules):
                yield kind, name
    for plugin in registry.manager.get_plugins():
        for caller in registry.manager.get_hookcallers(plugin) or ():
            if not caller.name.startswith("register_"):
                yield "hook", caller.name


def _failed(failure: Failure) -> Failed:
    fields = {name: getattr(failure, name) for name in Failed.model_fields}
    cut = {n: storable(v)[:MOST_WORDS] for n, v in fields.items() if isinstance(v, str)}
    return Failed(**fields | cut | {"details": storable(failure.details)[-MOST_DETAILS:]})


def _configured(registry: Registry, request: Configure) -> Configured:
    with redirect_stdout(sys.stderr):
        try:
            entry, config, changes = registry.configured(
                request.model, request.overrides, request.owner
            )
        except UsageError as error:
            return Configured(error=storable(str(error)))
    values = config.model_dump(mode="json")
    return Configured(name=entry.name, values=values, changes=changes, fields=tunable(config))


if __name__ == "__main__":
    from codonbench.execution import worker  # under its own name, as plugins know it

    worker.main()
