"""Asking about a plugin without importing it: a sandboxed process does, and tells in JSON.

What a plugin's module does on being imported, it does in there. The parent makes a stand-in of
what it is told: a name, facts, and a configuration's values, all validated.
"""

from __future__ import annotations

import pickle
import sys
from collections.abc import Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from functools import partial
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from pydantic import ConfigDict, Field, JsonValue, model_validator

from codonbench.contracts import Frozen, Model, ModelConfig, ModelInfo, Name, Reference, TaskView
from codonbench.contracts.origin import Origin
from codonbench.contracts.run_spec import configure
from codonbench.errors import BenchError, PluginError, UnknownNameError, UsageError
from codonbench.execution.inbox import Inbox
from codonbench.execution.sandbox import Limits, start
from codonbench.plugins.discovery import (
    discover,
    file_modules,
    insist_on_file,
    insist_on_unique_names,
    own_points,
    owners,
)
from codonbench.plugins.entries import ModelEntry
from codonbench.plugins.selection import Selection
from codonbench.records.printable import harmless

_MOST = 1 << 20  # bytes of an answer
_PATIENCE = 60.0  # seconds for one, and for coming up


@dataclass(frozen=True)
class Question:
    """Which plugin is asked about.

    Attributes:
        model: Its name, or a preset's.
        overrides: Of its configuration, as typed.
        files, folders: Where plugins are that are not installed.
        selection: Which plugins are wanted.
    """

    model: str
    overrides: dict[str, str]
    files: tuple[Path, ...]
    folders: tuple[Path, ...]
    selection: Selection


class Answer(Frozen):
    """What a plugin says of itself.

    Attributes:
        name: What it is registered under.
        info, origin: Who it is, and where it comes from.
        named, values: Its configuration without the overrides, and with them.
        files: Name and path of each module that is no installed one.
        error: What is wrong with it, or with what was asked; the rest is empty then.
        asker: Whether that is for who asked to mend.
        unknown: Whether there is no such model.
    """

    name: Name | None = None
    info: ModelInfo | None = None
    origin: Origin | None = None
    named: dict[str, JsonValue] = Field(default_factory=dict)
    values: dict[str, JsonValue] = Field(default_factory=dict)
    files: tuple[tuple[str, Path], ...] = ()
    error: str = ""
    asker: bool = False
    unknown: bool = False


def inquire(
    question: Question, limits: Limits, hidden: Sequence[Path], timeout: float | None = None
) -> tuple[ModelEntry, tuple[tuple[str, Path], ...]]:
    """Return a stand-in for a model that nobody imports here, and its modules' names and paths.

    Args:
        question: Which model, and where it may be.
        limits: What the process that is asked may use up.
        hidden: Files and folders to show it nothing of.
        timeout: Seconds that the plugin may take to load; 60 at most.

    Raises:
        UnknownNameError: There is no such model.
        UsageError: No sandbox can be had, or something is wrong with what was asked.
        PluginError: The plugin does not load, or says what cannot be.
    """
    ours, theirs = Pipe()
    shown = (*question.files, *question.folders)
    module = "codonbench.execution.describe"
    process = start(module, (), theirs, readable=shown, hidden=hidden, limits=limits)
    theirs.close()
    try:
        ours.send_bytes(pickle.dumps(question))
        inbox = Inbox(ours, _MOST)
        _hear(inbox, question, _PATIENCE)  # it is there
        said = _hear(inbox, question, min(timeout or _PATIENCE, _PATIENCE))
        answer = Answer.model_validate_json(said)
    except (EOFError, OSError, ValueError) as error:
        raise PluginError(f"model {question.model!r} does not load in the sandbox") from error
    finally:
        process.kill()
        process.join()
        ours.close()
    if answer.error:
        at_fault = UsageError if answer.asker else PluginError
        raise (UnknownNameError if answer.unknown else at_fault)(harmless(answer.error))
    _check(question, answer)
    return _stand_in(question, answer), answer.files


def _hear(inbox: Inbox, question: Question, seconds: float) -> bytes:
    """Return the next thing said.

    Raises:
        PluginError: Nothing was in time.
    """
    try:
        return inbox.wait(seconds)
    except TimeoutError as error:
        raise PluginError(f"model {question.model!r} does not load within {seconds:g} s") from error


def _check(question: Question, answer: Answer) -> None:
    """Hold what a plugin says of where it comes from to what is known without asking it.

    Raises:
        PluginError: It says what cannot be.
    """
    origin = answer.origin
    known = owners(question.files, question.folders)
    if origin is None or not any(
        (origin.distribution, origin.version) == (distribution, version)
        and origin.module.startswith(module)
        for distribution, version, module in known
    ):
        raise PluginError(f"model {question.model!r} says that it comes from where it does not")
    there = {file.resolve() for folder in question.folders for file in folder.glob("*.py")}
    there |= {path.resolve() for path in question.files}
    if any(path not in there for _, path in answer.files):
        raise PluginError(f"model {question.model!r} names a file that nobody asked for")


def _stand_in(question: Question, answer: Answer) -> ModelEntry:
    """Return an entry that answers as the plugin would, and runs none of its code."""
    if answer.info is None or answer.origin is None or answer.name != question.model:
        raise PluginError(f"model {question.model!r} says nothing of itself")
    said: ModelInfo = answer.info

    class StandInConfig(ModelConfig):
        """The configuration that was asked for, validated in the sandbox."""

        model_config = ConfigDict(extra="allow")

        @model_validator(mode="before")
        @classmethod
        def _as_told(cls, given: Any) -> Any:
            return answer.values if given else answer.named

    class StandIn(Model):
        """A plugin that lives in a sandbox only."""

        info = said
        Config = StandInConfig
        encoding = ""

        def build(self, task: TaskView) -> Any:
            raise PluginError(f"model {question.model!r} is not to be built outside its sandbox")

    return ModelEntry(question.model, answer.origin, "", StandIn)


def main() -> None:
    """Answer one question; the program of the process in the sandbox."""
    connection = Connection(int(sys.argv[1]))
    question: Question = pickle.loads(connection.recv_bytes())
    discover(own_points())  # PyTorch loads, which is not the plugin's time
    connection.send_bytes(b"")
    with redirect_stdout(sys.stderr):
        try:
            answer = _answer(question)
        except UsageError as error:
            unknown = isinstance(error, UnknownNameError)
            answer = Answer(error=str(error), asker=True, unknown=unknown)
        except (Exception, SystemExit) as error:
            told = (
                str(error) if isinstance(error, BenchError) else f"{type(error).__name__}: {error}"
            )
            answer = Answer(error=told)
    connection.send_bytes(answer.model_dump_json().encode())


def _answer(question: Question) -> Answer:
    files, folders = question.files, question.folders
    registry = discover(selection=question.selection, files=files, folders=folders)
    for file in files:
        insist_on_file(registry, file)
    insist_on_unique_names(registry)
    entry = registry.model(question.model)
    if issubclass(entry.cls, Reference):
        raise UsageError(
            f"model {entry.name!r} is computed, not trained; such a row runs without --sandbox"
        )
    owner = f"model {question.model!r}"
    ask = partial(configure, entry.cls.Config, dict(entry.preset), owner=owner)
    named, values = ask(overrides={}), ask(overrides=question.overrides)
    return Answer(
        name=entry.name,
        info=entry.cls.info,
        origin=entry.origin,
        named=named.model_dump(mode="json"),
        values=values.model_dump(mode="json"),
        files=tuple((name, path.resolve()) for name, path in file_modules()),
    )


if __name__ == "__main__":
    main()
