"""What plugins that are not trusted register: a worker process imports and describes them.

The worker loads plugins of one owner alone. For each model it describes, a stand-in is made here,
with name, facts and presets; and once the model is asked for, the values of its configuration.
Tasks, metrics, protocols, hooks and computed rows would run in this process, which holds targets
and records; they are not loaded, and named with the option that trusts them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ConfigDict

from codonbench.contracts import BaseConfig, Estimator, Model, ModelConfig, TaskView
from codonbench.contracts.base import Origin
from codonbench.contracts.model import GradientConfig
from codonbench.errors import ConfigError, PluginError, UsageError
from codonbench.execution.pool import WorkerProcess, launch_worker
from codonbench.execution.process import importable
from codonbench.execution.worker import (
    Answer,
    Configure,
    Configured,
    Described,
    Failed,
    Message,
    Question,
    ToWorker,
)
from codonbench.plugins.beside import modules_beside
from codonbench.plugins.entries import ModelEntry, hash_of
from codonbench.plugins.failures import Failure, describe_failure
from codonbench.plugins.registry import Refused, Registry, why_refused
from codonbench.plugins.selection import Candidate
from codonbench.records.files import printable_lines

AskPlugin = Callable[[str, ToWorker, Callable[[], None]], Message]
"""Puts a question to a worker of an owner's own, once it has come up, which is told then; raises
PluginError where it has no answer."""

_CONFIGS: dict[str, type[BaseConfig]] = {
    "by gradient": GradientConfig,
    "in batches": ModelConfig,
    "at once": BaseConfig,
}

AnswerT = TypeVar("AnswerT", Answer, Configured)


def ask_new_worker(owner: str, message: ToWorker, up: Callable[[], None]) -> Message:
    """Put a question to a worker that is started for it, and ended."""
    worker = WorkerProcess(lambda states: launch_worker(states, describe=True))
    try:
        return worker.ask(message, up)
    finally:
        worker.end()


def describe(registry: Registry, wanted: Iterable[Candidate], ask: AskPlugin) -> None:
    """Enter what plugins that are not trusted register; note their failures and do not raise them.

    Args:
        registry: Gets the entries; the plugins are removed from its `undescribed`.
        wanted: The plugins to describe.
        ask: Puts questions to them.
    """
    ordered = sorted(wanted, key=lambda candidate: registry.undescribed.index(candidate))
    for owner, group in groupby(ordered, key=lambda candidate: candidate.owner):
        candidates = tuple(group)
        for candidate in candidates:
            registry.undescribed.remove(candidate)
        registry.described[owner] = candidates
        begun = partial(registry.begin, candidates[0])
        try:
            _enter(
                registry,
                candidates,
                _answer_of(ask(owner, _question(registry, owner), begun), Answer),
            )
        except PluginError as error:
            registry.failures.append(describe_failure(error, candidates[0]))


def _question(registry: Registry, owner: str) -> Question:
    return Question(
        path=tuple(importable()),
        candidates=registry.described[owner],
        off=registry.selection.off,
    )


def _answer_of(message: Message, kind: type[AnswerT]) -> AnswerT:
    if not isinstance(message, kind):
        raise PluginError(f"answers with {message.kind!r} when asked what it registers")
    return message


def _enter(registry: Registry, candidates: tuple[Candidate, ...], answer: Answer) -> None:
    """Enter the described plugins into the registry."""
    known = len(registry.refused)
    for failed in answer.failures:
        registry.failures.append(_failure(failed, candidates))
    registry.remarks += map(printable_lines, answer.remarks)
    for kind, name in answer.others:
        registry.refused.append(Refused(kind, name, candidates[0]))
    for model in answer.models:
        candidate = _whose(model.module, candidates)
        if model.trained == "not":
            names = (model.info.name, *model.presets)
            registry.refused += (Refused("model", name, candidate) for name in names)
            continue
        origin = Origin(
            distribution=candidate.distribution,
            version=candidate.version,
            module=model.module,
            source_sha256=hash_of(_sources(model, candidate)),
        )
        cls, file, version = (
            _class_of(model, candidate),
            model.sources[0],
            model.info.version,
        )
        for name, preset in {model.info.name: {}, **model.presets}.items():
            entry = ModelEntry(name, origin, file, cls, preset, candidate, version=version)
            registry.claim(registry.models, entry, "model")
    if answer.models and candidates[0].is_one_file:
        registry.remarks += (f"not loaded: {refused.why}" for refused in registry.refused[known:])


def _whose(module: str, candidates: tuple[Candidate, ...]) -> Candidate:
    """Return the plugin that a module is, or is a part of.

    Raises:
        PluginError: It is none of theirs.
    """
    for candidate in candidates:
        if f"{module}.".startswith(f"{candidate.module}."):
            return candidate
    raise PluginError(f"says that it comes from {module!r}, where it does not")


def _failure(failed: Failed, candidates: tuple[Candidate, ...]) -> Failure:
    try:
        candidate = _whose(failed.module, candidates)
    except PluginError:
        candidate = candidates[0]
    return Failure(
        **vars(replace(candidate, module=failed.module, file=failed.file)),
        line=failed.line,
        error=printable_lines(failed.error),
        hint=printable_lines(failed.hint),
        details=printable_lines(failed.details),
        usage=failed.usage,
    )


def _sources(model: Described, candidate: Candidate) -> tuple[str, ...]:
    """Return the files that a model is made of, which this process hashes.

    Raises:
        PluginError: Its own files are not among them, or one is not importable here.
    """
    own = []
    if candidate.is_one_file:
        file = Path(candidate.file)
        own = [candidate.file, *map(str, modules_beside(file).values())]
    if missing := [path for path in own if path not in model.sources]:
        raise PluginError(f"model {model.info.name!r} leaves out {missing[0]}, of which it is made")
    places = [Path(place) for place in (*importable(), *(str(Path(f).parent) for f in own[:1]))]
    for source in model.sources:
        path = Path(source).resolve()
        if path.is_file() and not any(path.is_relative_to(place.resolve()) for place in places):
            raise PluginError(f"model {model.info.name!r} names {source}, which is not its own")
    return model.sources


def _class_of(model: Described, candidate: Candidate) -> Any:
    """Return a class with the plugin's declarations and none of its code."""
    base: Any = _CONFIGS[model.trained]

    class DescribedConfig(base):  # type: ignore[misc]  # mypy wants a base that it can see
        """A configuration that was validated where the plugin is."""

        model_config = ConfigDict(extra="allow")

    class DescribedModel(Model):
        """A plugin that this process does not import."""

        info = model.info
        Config = DescribedConfig
        presets = model.presets
        needs = model.needs
        encoding = ""

        def build(self, task: TaskView) -> Any:
            raise UsageError(f"model {model.info.name!r} {why_refused(candidate)}")

    class DescribedEstimator(Estimator):
        """The same for one that is fitted."""

        info = model.info
        Config = DescribedConfig
        presets = model.presets
        needs = model.needs
        encoding = ""
        fit = predict = DescribedModel.build  # type: ignore[assignment]

    return DescribedEstimator if model.trained == "at once" else DescribedModel


def configure_untrusted(
    registry: Registry, name: str, overrides: dict[str, str], owner: str, ask: AskPlugin
) -> None:
    """Put the requested configuration into the entry of a model that is not imported here.

    Args:
        registry: Has the entry.
        name: Name of the model or preset.
        overrides: Fields, as typed.
        owner: Owner of the configuration, for messages.
        ask: Sends the question to a worker.

    Raises:
        ConfigError: The request is invalid.
        PluginError: The plugin has no answer, or says what cannot be.
    """
    entry = registry.model(name)
    assert entry.untrusted is not None
    question = Configure(
        question=_question(registry, entry.owner), model=name, overrides=overrides, owner=owner
    )
    begun = partial(registry.begin, entry.untrusted)
    try:
        answer = _answer_of(ask(entry.owner, question, begun), Configured)
    except PluginError as error:
        raise PluginError(f"model {name!r}: {error}") from error
    if answer.error:
        raise ConfigError(printable_lines(answer.error))
    named = registry.models.get(answer.name)
    if named is None or named.cls is not entry.cls:
        raise PluginError(f"model {name!r} says that it is {answer.name!r}, which it is not")
    registry.models[name] = replace(
        named, configured=(answer.values, answer.changes), fields=answer.fields
    )
