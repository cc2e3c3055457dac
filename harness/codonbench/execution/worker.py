"""A worker process: what it and its parent tell each other, and how it serves.

``python -P -m codonbench.execution.worker HEARS SPEAKS LIFELINE [gpu]``

The worker speaks, and the parent answers where an answer is due: neither ever sends while the
other does. What travels is validated JSON, and arrays as bare bytes. Nothing is unpickled on either
side: a plugin that writes to the pipe can lie about its run, which an audit shows, but cannot make
the parent run anything.
"""

from __future__ import annotations

import importlib
import math
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import ConfigDict, Field, JsonValue, TypeAdapter
from pydantic_core import to_json

from codonbench.contracts import Estimator, Frozen, Model, ModelInfo, Name, Reference
from codonbench.contracts.base import MAX_NUMBER, MOST_WORDS
from codonbench.contracts.run_record import About, Engine, Origin, Status, TorchFacts
from codonbench.contracts.run_spec import configure
from codonbench.errors import BenchError, UnknownNameError, UsageError
from codonbench.execution.process import Frame, Inbox, framed, send, take_hold
from codonbench.plugins.beside import READERS
from codonbench.plugins.discovery import (
    discover,
    file_modules,
    import_file,
    load_registry,
    own_points,
)
from codonbench.plugins.registry import Registry
from codonbench.plugins.selection import Selection
from codonbench.protocols.referee import Instructions, Shown
from codonbench.records.files import storable
from codonbench.training.request import MOST_DETAILS, TrainRequest, TrainResult

File = tuple[str, Path]
"""Name and path of a plugin module that is no installed one."""

Run = Annotated[int, Field(ge=0)]
"""Which of an order's requests."""


class _Said(Frozen):
    model_config = ConfigDict(arbitrary_types_allowed=True)  # arrays


# What the parent says


class Order(_Said):
    """Train a model.

    Attributes:
        path: Folders to import from, after all others.
        files: Modules that are no installed ones.
        origin, model: Where the model comes from, and the name it is registered under.
        config: Its configuration, as JSON.
        requests: What is told of each run.
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


class Told(_Said):
    """How the runs that asked go on."""

    kind: Literal["told"] = "told"
    instructions: tuple[Instructions, ...]


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


class Ask(_Said):
    """Some runs ask how to go on, to be answered with `Told`."""

    kind: Literal["ask"] = "ask"
    shown: tuple[Shown, ...] = Field(min_length=1)


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
    anew: str = Field(default="", max_length=MOST_WORDS)
    parameters: int = Field(ge=0, lt=MAX_NUMBER)
    weights_sha256: str | None = Field(pattern=r"^[0-9a-f]{64}$")
    about: About = Field(default_factory=dict)


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

_SPOKEN: TypeAdapter[Spoken] = TypeAdapter(Annotated[Spoken, Field(discriminator="kind")])
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


def pack(message: Message | Spoken) -> bytes:
    """Return a message as a frame: JSON, and the bytes of its arrays, each of them once."""
    places: dict[int, int] = {}
    arrays: list[dict[str, Any]] = []
    body: list[memoryview] = []

    def place(array: Any) -> dict[str, int]:
        if not isinstance(array, np.ndarray):
            raise TypeError(f"{type(array).__name__} is neither JSON nor an array")
        if id(array) not in places:
            little = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
            few = little
            if little.dtype == np.int64 and little.size and little.min() >= 0:
                few = little.astype(np.min_scalar_type(little.max()))  # most indices are small
            told = {"dtype": little.dtype.str, "sent": few.dtype.str, "shape": little.shape}
            places[id(array)] = len(arrays)
            arrays.append(told)
            body.append(few.data)
        return {"array": places[id(array)]}

    header = b'{"message":%b,"arrays":%b}'
    text = message.model_dump_json(fallback=place).encode()
    return framed(header % (text, to_json(arrays)), *body)


def unpack(frame: Frame) -> Message:
    """Return what a worker says.

    Raises:
        ValueError: It is no message.
    """
    return _MESSAGE.validate_python(_unpacked(frame))


def unpack_spoken(frame: Frame) -> Spoken:
    """Return what a parent says."""
    return _SPOKEN.validate_python(_unpacked(frame))


def _unpacked(frame: Frame) -> Any:
    """Return the JSON of a message with its arrays in their places."""
    header, body, offset = _Header.model_validate_json(frame[0]), frame[1], 0
    arrays: list[npt.NDArray[Any]] = []
    for told in header.arrays:
        count = math.prod(told.shape)
        end = offset + count * np.dtype(told.sent).itemsize
        if end > len(body):
            raise ValueError(f"array {len(arrays)} is cut short")
        flat = np.frombuffer(body, told.sent, count, offset)
        arrays.append(flat.reshape(told.shape).astype(np.dtype(told.dtype).newbyteorder("=")))
        offset = end
    if offset != len(body):
        raise ValueError(f"{len(body) - offset} bytes follow that nothing is said of")

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
    serve(*take_hold(), gpu="gpu" in sys.argv[4:])


def serve(hears: int, speaks: int, *, gpu: bool = False) -> None:
    """Greet, and do what is ordered; this process ends when the parent hangs up.

    Args:
        hears: The pipe from the parent.
        speaks: The one to it.
        gpu: Whether to tell of a GPU, which begins to use it.
    """
    from codonbench.training.determinism import (  # takes a second: PyTorch
        pin_arithmetic,
        torch_facts,
    )

    pin_arithmetic(1)
    parent = Parent(hears, speaks)
    parent.send(Hello(facts=torch_facts(gpu)))
    while True:
        told = parent.hear()
        if isinstance(told, Order):
            _train(parent, told)
        elif isinstance(told, Question):
            _answer(parent, told)


class Parent:
    """The parent, at the other end of two pipes; the referees are there. Whose parent is gone ends.

    Args:
        hears, speaks: The pipes from it and to it.

    Attributes:
        states: The folder where states of runs are kept; None for nowhere.
    """

    def __init__(self, hears: int, speaks: int) -> None:
        self._inbox = Inbox(hears, most_header=sys.maxsize, most=sys.maxsize)
        self._speaks = speaks
        self._sending = self._asked = False
        self.states: Path | None = None

    def asked_to_stop(self, number: int, frame: FrameType | None) -> None:
        """Raise KeyboardInterrupt, once, and not while a message is on its way."""
        if self._asked:
            return
        self._asked = True
        if not self._sending:
            raise KeyboardInterrupt

    def send(self, message: Message) -> None:
        """Send one message whole, which no signal cuts in two."""
        asked, self._sending = self._asked, True
        with _or_die():
            send(self._speaks, pack(message))
        self._sending = False
        if self._asked and not asked:
            raise KeyboardInterrupt

    def hear(self) -> Spoken:
        """Return what it says."""
        with _or_die():
            return unpack_spoken(self._inbox.wait())

    def begin(self, run: int) -> None:
        """Tell that a run begins."""
        self.send(Began(run=run))

    def answer(self, shown: Sequence[Shown]) -> list[Instructions]:
        """Tell what some runs show; return how they go on.

        Until the first time there is nothing to tell once asked to stop, so that SIGTERM is left
        to end this process.
        """
        signal.signal(signal.SIGTERM, self.asked_to_stop)
        self.send(Ask(shown=tuple(shown)))
        told = self.hear()
        assert isinstance(told, Told)
        return list(told.instructions)

    def keep(self, run: int, position: int, write: Callable[[Path], None]) -> None:
        """Leave what a run needs to go on from here where the parent takes it from."""
        assert self.states is not None
        file = f"{run}.state"
        write(self.states / file)
        self.send(Kept(run=run, position=position, file=file))
        self.hear()


@contextmanager
def _or_die() -> Iterator[None]:
    """End this process where its parent turns out to have gone."""
    try:
        yield
    except (EOFError, OSError):
        os._exit(1)


def _train(parent: Parent, order: Order) -> None:
    """Train what is ordered, and tell of it."""
    from codonbench.engines.train import train_runs
    from codonbench.training.determinism import pin_arithmetic, subnormals_as_zero

    parent.states = order.states
    pin_arithmetic(order.requests[0].threads)
    try:
        model = _model(order)
        config = model.Config.model_validate_json(order.config)
        with subnormals_as_zero(), READERS.refusing(order.origin.module):
            for run, result in train_runs(model, config, order.requests, parent, order.every):
                parent.send(_ended(run, result))
                if result.status == "interrupted":  # all there was to tell is told
                    os._exit(0)
    except UsageError as error:
        parent.send(Unusable(error=storable(str(error))))
        return
    except KeyboardInterrupt:
        os._exit(0)
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
    parent.send(Served())


def _model(order: Order) -> type[Model] | type[Estimator]:
    """Return the plugin.

    A class may well be made in its module's hook. So the module is registered as the parent did,
    and the name looked up.
    """
    sys.path += [path for path in order.path if path not in sys.path]
    for name, path in order.files:
        if name not in sys.modules:
            import_file(name, path)
    registry, origin = Registry(), order.origin
    registry.add(importlib.import_module(origin.module), origin.distribution, origin.version)
    model = registry.model(order.model).cls
    assert issubclass(model, Model | Estimator)
    return model


OF_RESULT = tuple(name for name in Ended.model_fields if name not in ("kind", "run"))
"""The fields that `Ended` and `TrainResult` have in common."""


def _ended(run: int, result: TrainResult) -> Ended:
    return Ended(run=run, **{name: getattr(result, name) for name in OF_RESULT})


def _answer(parent: Parent, question: Question) -> None:
    """Tell of a plugin, whatever it does on being loaded."""
    discover(own_points())
    parent.send(Loading())
    with redirect_stdout(sys.stderr):
        try:
            said = _description(question)
        except UsageError as error:
            unknown = isinstance(error, UnknownNameError)
            said = Answer(error=str(error), asker=True, unknown=unknown)
        except (Exception, SystemExit) as error:
            ours = isinstance(error, BenchError)
            said = Answer(error=str(error) if ours else f"{type(error).__name__}: {error}")
    parent.send(said)


def _description(question: Question) -> Answer:
    selection = Selection(question.only, question.off)
    registry = load_registry(None, selection, question.files, question.folders)
    entry = registry.model(question.model)
    if issubclass(entry.cls, Reference):
        raise UsageError(
            f"model {entry.name!r} is computed, not trained; such a row runs without --sandbox"
        )
    owner = f"model {question.model!r}"
    ask = partial(configure, entry.cls.Config, dict(entry.preset), owner=owner)
    return Answer(
        name=entry.name,
        info=entry.cls.info,
        estimator=issubclass(entry.cls, Estimator),
        origin=entry.origin,
        named=ask(overrides={}).model_dump(mode="json"),
        values=ask(overrides=question.overrides).model_dump(mode="json"),
        files=tuple((name, path.resolve()) for name, path in file_modules()),
    )


if __name__ == "__main__":
    from codonbench.execution import worker  # under its own name, as plugins know it

    worker.main()
