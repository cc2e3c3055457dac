"""Asking about a plugin without importing it: a sandboxed worker does, and tells in JSON.

What a plugin's module does on being imported, it does in there. The parent makes a stand-in of
what it is told: a name, facts, and a configuration's values, all validated.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from functools import partial
from typing import Any

from pydantic import ConfigDict, model_validator

from codonbench.contracts import (
    BaseConfig,
    Estimator,
    Model,
    ModelConfig,
    ModelInfo,
    Reference,
    TaskView,
)
from codonbench.contracts.run_spec import configure
from codonbench.errors import BenchError, PluginError, UnknownNameError, UsageError
from codonbench.execution.messages import Answer, File, Loading, Message, Question
from codonbench.execution.sandbox import Sandbox
from codonbench.execution.worker_process import WorkerProcess, launch_worker
from codonbench.plugins.discovery import (
    discover,
    file_modules,
    load_registry,
    own_points,
    owners,
)
from codonbench.plugins.entries import ModelEntry
from codonbench.plugins.selection import Selection
from codonbench.records.files import harmless

_PATIENCE = 60.0  # seconds for a plugin to load


def inquire(
    question: Question, sandbox: Sandbox, timeout: float | None = None
) -> tuple[ModelEntry, tuple[File, ...]]:
    """Return a stand-in for a model that nobody imports here, and its modules' names and paths.

    Args:
        question: Which model, and where it may be.
        sandbox: Where to hold who is asked, and what it sees.
        timeout: Seconds that the plugin may take to load; 60 at most.

    Raises:
        UnknownNameError: There is no such model.
        UsageError: No sandbox can be had, or something is wrong with what was asked.
        PluginError: The plugin does not load, or says what cannot be.
        WorkerError: There is nobody to be asked.
    """
    told = _told(question, sandbox, min(timeout or _PATIENCE, _PATIENCE))
    if told.error:
        at_fault = UsageError if told.asker else PluginError
        raise (UnknownNameError if told.unknown else at_fault)(harmless(told.error))
    _check(question, told)
    return _stand_in(question, told), told.files


def _told(question: Question, sandbox: Sandbox, seconds: float) -> Answer:
    """Ask in a worker of its own, which is not trained in: it loads all the plugins there are."""
    worker = WorkerProcess(partial(launch_worker, sandbox=sandbox))
    try:
        worker.greeting()
        worker.send(question)
        worker.wait(_PATIENCE)  # our own plugins have loaded, which is not this one's time
        said = worker.wait(seconds)
        if isinstance(said, Answer):
            return said
        raise ValueError(f"says {said.kind!r}")
    except TimeoutError as error:
        words = f"model {question.model!r} does not load within {seconds:g} s"
        raise PluginError(words) from error
    except (EOFError, OSError, ValueError) as error:
        raise PluginError(f"model {question.model!r} does not load in the sandbox") from error
    finally:
        worker.end()


def _check(question: Question, told: Answer) -> None:
    """Hold what a plugin says of where it comes from to what is known without asking it.

    Raises:
        PluginError: It says what cannot be.
    """
    origin = told.origin
    known = owners(question.files, question.folders)
    if origin is None or not any(
        (origin.distribution, origin.version) == (owner.distribution, owner.version)
        and origin.module.startswith(owner.module)
        for owner in known
    ):
        raise PluginError(f"model {question.model!r} says that it comes from where it does not")
    there = {file.resolve() for folder in question.folders for file in folder.glob("*.py")}
    there |= {path.resolve() for path in question.files}
    if any(path not in there for _, path in told.files):
        raise PluginError(f"model {question.model!r} names a file that nobody asked for")


def _stand_in(question: Question, told: Answer) -> ModelEntry:
    """Return an entry that answers as the plugin would, and runs none of its code."""
    if told.info is None or told.origin is None or told.name != question.model:
        raise PluginError(f"model {question.model!r} says nothing of itself")
    said: ModelInfo = told.info

    base: Any = BaseConfig if told.estimator else ModelConfig

    class StandInConfig(base):  # type: ignore[misc]  # mypy wants a base that it can see
        """The configuration that was asked for, validated in the sandbox."""

        model_config = ConfigDict(extra="allow")

        @model_validator(mode="before")
        @classmethod
        def _as_told(cls, given: Any) -> Any:
            return told.values if given else told.named

    class StandIn(Model):
        """A plugin that lives in a sandbox only."""

        info = said
        Config = StandInConfig
        encoding = ""

        def build(self, task: TaskView) -> Any:
            raise PluginError(f"model {question.model!r} is not to be built outside its sandbox")

    class FittedStandIn(Estimator):
        """The same for one that is fitted."""

        info = said
        Config = StandInConfig
        encoding = ""
        fit = predict = StandIn.build  # type: ignore[assignment]

    cls = FittedStandIn if told.estimator else StandIn
    return ModelEntry(question.model, told.origin, "", cls)


def answer(question: Question, send: Callable[[Message], None]) -> None:
    """Tell of a plugin, in the worker."""
    discover(own_points())
    send(Loading())
    with redirect_stdout(sys.stderr):
        try:
            said = _answer(question)
        except UsageError as error:
            unknown = isinstance(error, UnknownNameError)
            said = Answer(error=str(error), asker=True, unknown=unknown)
        except (Exception, SystemExit) as error:
            ours = isinstance(error, BenchError)
            said = Answer(error=str(error) if ours else f"{type(error).__name__}: {error}")
    send(said)


def _answer(question: Question) -> Answer:
    selection = Selection(question.only, question.off)
    registry = load_registry(None, selection, question.files, question.folders)
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
        estimator=issubclass(entry.cls, Estimator),
        origin=entry.origin,
        named=named.model_dump(mode="json"),
        values=values.model_dump(mode="json"),
        files=tuple((name, path.resolve()) for name, path in file_modules()),
    )
