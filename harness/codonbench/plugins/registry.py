"""Plugins by name: what each module registers, each failure kept to itself."""

from __future__ import annotations

import difflib
import shlex
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping
from contextlib import chdir, contextmanager, redirect_stdout
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import pluggy

from codonbench.contracts import ENCODINGS, BaseConfig, Ceiling, Metric, Task, TaskSpec
from codonbench.contracts.run_spec import configure
from codonbench.errors import (
    BenchError,
    ConfigError,
    NameClashError,
    PluginError,
    UnknownNameError,
    UnmetNeedError,
    UsageError,
)
from codonbench.plugins import hookspecs
from codonbench.plugins.entries import (
    KINDS,
    EncodingEntry,
    Entry,
    Kind,
    MetricEntry,
    ModelEntry,
    ProtocolEntry,
    TaskEntry,
    check_hooks,
    networks_in,
)
from codonbench.plugins.failures import Failure, describe_failure, file_of, place
from codonbench.plugins.selection import Candidate, Selection

if TYPE_CHECKING:
    from codonbench.protocols.referee import Protocol

EntryT = TypeVar("EntryT", bound=Entry)
PluginT = TypeVar("PluginT")
P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True)
class Refused:
    """What an untrusted plugin registers that would run in the process that has the targets.

    Attributes:
        kind: ``task``, ``metric``, ``protocol``; ``model`` of one that is computed; or ``hook``.
        name: Its name.
        candidate: Whose it is.
    """

    kind: str
    name: str
    candidate: Candidate

    @property
    def what(self) -> str:
        """Kind and name."""
        return f"{self.kind} {self.name!r}"

    @property
    def why(self) -> str:
        """Why it is not there, and what allows it."""
        return f"{self.what} {why_refused(self.candidate)}"


def why_refused(candidate: Candidate) -> str:
    """Return why a plugin is not imported here, and which option allows it."""
    owner = candidate.distribution or candidate.module
    return (
        f"of {owner} would run in this process, beside what is right and what is recorded: read "
        f"it, and allow it by --trust {shlex.quote(owner)}"
    )


class Entries(MutableMapping[str, EntryT]):
    """Entries by name; to look one up, or to go through all, imports what may offer it.

    Args:
        enter: Imports what waits and may offer a name; None for all that there is.
    """

    def __init__(self, enter: Callable[[str | None], None]) -> None:
        self.known: dict[str, EntryT] = {}
        self._enter = enter

    def __getitem__(self, name: str) -> EntryT:
        words = [] if name in self.known else name.split("-")
        while words and name not in self.known:  # lstm-64-weighted, lstm-64, lstm
            self._enter("-".join(words))
            words.pop()
        return self.known[name]

    def __setitem__(self, name: str, entry: EntryT) -> None:
        self.known[name] = entry

    def __delitem__(self, name: str) -> None:
        del self.known[name]

    def __iter__(self) -> Iterator[str]:
        self._enter(None)
        return iter(self.known)

    def __len__(self) -> int:
        return sum(1 for _ in self)


class Plugins(Mapping[str, PluginT]):
    """The plugins themselves, by name.

    Args:
        entries: Their entries.
        plugin: Returns that of an entry.
    """

    def __init__(self, entries: Entries[EntryT], plugin: Callable[[EntryT], PluginT]) -> None:
        self._entries = entries
        self._plugin: Callable[[Any], PluginT] = plugin

    def __getitem__(self, name: str) -> PluginT:
        return self._plugin(self._entries[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)


@dataclass(frozen=True)
class WaitingModule:
    """A module that is imported once something that it may register is requested.

    Attributes:
        candidate: Whose it is.
        kinds: Kinds that its package declares: ``models``, ``tasks``.
        load: Imports and registers it.
    """

    candidate: Candidate
    kinds: tuple[str, ...]
    load: Callable[[], object]


class Registry:
    """Every plugin that loaded, by kind and name, and every one that did not.

    Args:
        begun: Called with each plugin whose code is about to run.
        selection: Which plugins are loaded, and which of them this process may import.

    Attributes:
        models, tasks, metrics, protocols, encodings: Entries by name.
        waiting: Modules of packages that declare their kinds, until these are requested.
        undescribed: Untrusted plugins: this process does not import them, and has to ask another
            process what they register.
        described: Those that a process has described, by owner.
        refused: Their plugins that would run in this process.
        failures: What did not load, and why.
        clashes: Names that two plugins claim; the first to come has it.
        switched_off: What was left out on request, and by what: ``mylstm of my-shop (-p no:...)``.
        remarks: What else the user should know.
        manager: pluggy's, for the lifecycle hooks.
    """

    def __init__(
        self,
        begun: Callable[[Candidate], None] = lambda candidate: None,
        selection: Selection | None = None,
    ) -> None:
        self._begun = begun
        self.selection = selection or Selection()
        self.undescribed: list[Candidate] = []
        self.described: dict[str, tuple[Candidate, ...]] = {}
        self.refused: list[Refused] = []
        self.waiting: list[WaitingModule] = []
        self._entering = False
        self.models: Entries[ModelEntry] = Entries(partial(self._enter, "models"))
        self.tasks: Entries[TaskEntry] = Entries(partial(self._enter, "tasks"))
        self.metrics: Entries[MetricEntry] = Entries(partial(self._enter, "metrics"))
        self.protocols: Entries[ProtocolEntry] = Entries(partial(self._enter, "protocols"))
        self.encodings: Entries[EncodingEntry] = Entries(partial(self._enter, "encodings"))
        self.failures: list[Failure] = []
        self.clashes: list[NameClashError] = []
        self.switched_off: list[str] = []
        self.remarks: list[str] = []
        self.manager = pluggy.PluginManager("codonbench")
        self.manager.add_hookspecs(hookspecs)

    def add(self, module: ModuleType, distribution: str, version: str, *, point: str = "") -> bool:
        """Register all that a module offers, note failures and clashes; return whether it offers.

        That is what its hooks register, and of each kind that it has no hook of the classes
        that it defines. A module that two entry points name is registered once.

        Args:
            module: The module.
            distribution: Its distribution.
            version: The distribution's.
            point: The name of the entry point that led to it.
        """
        file = getattr(module, "__file__", None) or ""
        candidate = Candidate(point, distribution, module.__name__, version, file)
        if not self.manager.is_registered(module):
            self._register(module, candidate)
        own = any(True for kind in KINDS for _ in kind.classes_of(module))
        return own or bool(self.manager.get_hookcallers(module))

    def _register(self, module: ModuleType, candidate: Candidate) -> None:
        failures = len(self.failures)
        with self.contain(candidate):
            check_hooks(module)
            self.manager.register(module, name=module.__name__)
            self.manager.check_pending()
        if len(self.failures) > failures:
            # Left in place, its misspelt hook would be found again with every later plugin.
            if self.manager.is_registered(module):
                self.manager.unregister(module)
            return
        others = self.manager.get_plugins() - {module}
        for kind in KINDS:

            def register(plugin: object, kind: Kind = kind) -> None:
                for entry in kind.entries(plugin, module, candidate):
                    self.claim(getattr(self, f"{kind.name}s"), entry, kind.name)

            if hasattr(module, kind.hook):
                with self.contain(candidate):
                    if self.manager.subset_hook_caller(kind.hook, others)(register=register):
                        raise PluginError(
                            f"{kind.hook} returns a value, which is ignored; it takes "
                            "`register` as argument, and calls it with each"
                        )
                continue
            for cls in kind.classes_of(module):
                with self.contain(candidate):
                    register(kind.plugin(cls))

    def _enter(self, kind: str, name: str | None = None) -> None:
        """Import what waits and may offer plugins of a kind: all of them, or one by name."""
        own = (each for each in self.waiting if kind in each.kinds)
        self._load(each for each in own if name is None or each.candidate.may_offer(name))

    def enter_all(self) -> None:
        """Import all that waits, to be listed or to have its failures known."""
        self._load(self.waiting)

    def _load(self, wanted: Iterable[WaitingModule]) -> None:
        chosen = list(wanted)
        self.waiting = [each for each in self.waiting if each not in chosen]
        was, self._entering = self._entering, True
        with redirect_stdout(sys.stderr):  # what a plugin prints on loading is no result
            for each in chosen:
                each.load()
        self._entering = was

    def refuse_empty(self, module: ModuleType, candidate: Candidate) -> None:
        """Note as a failure that a module registers nothing, and what its classes lack."""
        lacks = [reason for kind in KINDS for reason in kind.bases_in(module)]
        networks = networks_in(module)
        with self.contain(candidate):
            if networks and not lacks:
                raise PluginError(
                    "registers nothing; add a function that returns its torch.nn.Module, "
                    f"def my_model(task): return {networks[-1]}(...), and above it the line "
                    '@codonbench.model(encoding="symbol_onehot")'
                )
            raise PluginError(
                f"registers nothing{''.join(f'; {reason}' for reason in lacks)}; expected a class "
                "that extends codonbench.Model, Estimator, Reference, Task, Metric or Encoding, a "
                "function marked with @codonbench.model(...) or @codonbench.estimator(...), or a "
                "hook marked with @hookimpl"
            )

    def check_files(self, files: Iterable[Path]) -> None:
        """Make sure that plugin files, which were named, loaded, and no names clash.

        Raises:
            PluginError: One of `files` did not load.
            UsageError: One of them may not be loaded here, as it is not trusted, or no record
                could hold its description of itself.
            NameClashError: Two plugins register one name.
        """
        by_name = {path.name: path for path in files}
        serve = {entry.untrusted for entry in self.models.known.values()}
        for refused in self.refused:
            if refused.candidate.distribution in by_name and refused.candidate not in serve:
                raise UsageError(refused.why)
        for failure in self.failures:
            if failure.distribution in by_name and not isinstance(failure.cause, UnmetNeedError):
                path = by_name[failure.distribution]
                kind = UsageError if failure.usage else PluginError
                raise kind(f"plugin file {path}: {failure.why}") from failure.cause
        if self.clashes:
            first, *others = self.clashes
            more = f" ('bench plugins' shows {len(others)} more such names)" if others else ""
            raise NameClashError(f"{first}{more}")

    def add_model(self, cls: object) -> str:
        """Register a class that no module registers; return its model's name.

        Raises:
            PluginError: It is no model, or one that could never be run.
            NameClashError: Its name is taken by another.
        """
        module = ModuleType(str(getattr(cls, "__module__", "")))
        found = KINDS[0].entries(cls, module, Candidate("", "", module.__name__))
        entries = [entry for entry in found if isinstance(entry, ModelEntry)]
        for entry in entries:
            taken = self.models.get(entry.name)
            if taken is None or taken.cls is not entry.cls:
                self.claim(self.models, entry, "model")
        if self.clashes:
            raise self.clashes[0]
        return entries[0].name

    def model_of_file(self, file: Path) -> str:
        """Return the name of the one model that a plugin file registers.

        Raises:
            ConfigError: It registers none or several.
        """
        known = self.models.known.values()
        own = {e.cls.info.name for e in known if e.origin.distribution == file.name}
        if len(own) != 1:
            raise ConfigError(
                f"{file} registers {', '.join(sorted(own)) or 'none'}; expected one model: name "
                "one, and give the file as a plugin"
            )
        return own.pop()

    def begin(self, candidate: Candidate) -> None:
        """Say which plugin's code is about to run."""
        self._begun(candidate)

    @contextmanager
    def contain(self, candidate: Candidate) -> Iterator[None]:
        """Note what a plugin's code raises as its failure, and go on.

        Even ``sys.exit`` is caught; only Ctrl-C is not. The current folder, to which paths of
        results and data are relative, is as before.
        """
        self.begin(candidate)
        try:
            with chdir("."):
                yield
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            self.failures.append(describe_failure(error, candidate))

    def model(self, name: str) -> ModelEntry:
        """Return the model or preset called `name`.

        Raises:
            UnknownNameError: There is none.
            PluginError: There is none, but a plugin that seems to offer it did not load.
        """
        return self._find(self.models, name, "model")

    def configured(
        self, name: str, overrides: Mapping[str, str], owner: str = ""
    ) -> tuple[ModelEntry, BaseConfig, dict[str, Any]]:
        """Return a model by its one name, its configuration, and where that departs from the name.

        A configuration that has several names, as ``lstm`` and ``lstm-64``, goes by the one whose
        own configuration differs from it in the fewest fields, so that equal runs are one row.
        Among equally close names a preset comes before its model, unless none of the preset's
        values is left; among presets, the requested one.

        Args:
            name: Of the requested model or preset.
            overrides: Text by field name, as `codonbench.contracts.run_spec.configure` takes it.
            owner: Owner of the configuration, for messages; the model's by default.

        Raises:
            ConfigError: A field is wrong.
            UsageError: The model is not imported here, and no worker has described it.
            UnknownNameError, PluginError: As `model` does.
        """
        requested, owner = self.model(name), owner or f"model {name!r}"
        if requested.untrusted is not None:
            if requested.configured is None:
                raise UsageError(Refused("model", name, requested.untrusted).why)
            values, changes = map(dict, requested.configured)
            return requested, configure(requested.cls.Config, values, {}, owner), changes
        config = configure(requested.cls.Config, dict(requested.preset), dict(overrides), owner)
        values = config.model_dump(mode="json")
        found = []
        names = [entry for entry in self.models.known.values() if entry.cls is requested.cls]
        for entry in sorted(names, key=lambda e: (not e.preset, e.name != requested.name)):
            try:
                named = configure(entry.cls.Config, dict(entry.preset), {}, owner)
            except ConfigError:  # a field without a default
                continue
            own = named.model_dump(mode="json")
            changes = {f: v for f, v in values.items() if v != own[f]}
            nothing_kept = bool(entry.preset) and entry.preset.keys() <= changes.keys()
            found.append((len(changes), nothing_kept, entry, changes))
        *_, entry, changes = min(found, key=lambda each: each[:2], default=(requested, values))
        return entry, config, changes

    def task(self, name: str | None) -> TaskEntry:
        """Return the task called `name`, None for the default; raises as `model` does."""
        return self.default_task() if name is None else self._find(self.tasks, name, "task")

    def default_task(self) -> TaskEntry:
        """Return the task that is meant where none is named.

        Raises:
            UnknownNameError: No task declares itself the default, or more than one.
        """
        declares = r"\bdefault\b[^=\n]*= *True"
        self._load(
            w for w in self.waiting if "tasks" in w.kinds and w.candidate.source_has(declares)
        )
        declared = [entry for entry in self.tasks.known.values() if entry.task.default]
        if len(declared) == 1:
            return declared[0]
        names = " and ".join(repr(entry.name) for entry in declared) or "no task"
        raise UnknownNameError(
            f"{names} declare{'' if declared[1:] else 's'} itself the default; "
            f"name one with --task: {', '.join(sorted(self.tasks)) or 'none is installed'}"
        )

    @property
    def known_tasks(self) -> Mapping[str, Task]:
        """The tasks themselves, by name."""
        return Plugins(self.tasks, lambda entry: entry.task)

    @property
    def known_metrics(self) -> Mapping[str, Metric]:
        """The metrics themselves, by name."""
        return Plugins(self.metrics, lambda entry: entry.metric)

    @property
    def known_protocols(self) -> Mapping[str, Protocol]:
        """The protocols themselves, by name."""
        return Plugins(self.protocols, lambda entry: entry.protocol)

    def protocol(self, name: str) -> Protocol:
        """Return the protocol called `name`; raises as `model` does."""
        return self._find(self.protocols, name, "protocol").protocol

    def metrics_of(self, task: TaskSpec) -> list[Metric]:
        """Return the metrics that can be computed for a task, in the order of their names.

        Raises:
            PluginError: One of them fails to say.
        """
        found = []
        for _, entry in sorted(self.metrics.items()):
            try:
                if entry.metric.serves(task):
                    found.append(entry.metric)
            except Exception as error:
                raise PluginError(f"metric {entry.name!r} failed: {error!r}") from error
        return found

    def ask(self, hook: str, **facts: object) -> list[Any]:
        """Call a hook of every plugin that has it; return their answers, less those None.

        Raises:
            PluginError: One of them failed; names it.
        """
        self._load(w for w in self.waiting if w.candidate.may_offer(hook))
        answers = []
        for impl in getattr(self.manager.hook, hook).get_hookimpls():
            try:
                with chdir("."):
                    answers.append(impl.function(*(facts[name] for name in impl.argnames)))
            except Exception as error:
                where = place(error.__traceback__, impl.function.__code__.co_filename)
                raise PluginError(
                    f"plugin {impl.plugin_name} failed in {hook}: {error!r}{where}"
                ) from error
        return [answer for answer in answers if answer is not None]

    @property
    def untrusted(self) -> str:
        """Plugins not loaded because they are not trusted, to end a sentence; or nothing."""
        names = sorted({c.distribution or c.module for c in self.undescribed})
        if not names:
            return ""
        return f"; not loaded, as not trusted: --trust {' --trust '.join(names)}"

    def claim(self, table: Entries[Any], entry: Entry, kind: str) -> None:
        """Enter something under its name in the table of its kind, or note that it is taken."""
        known = table.known if self._entering else table
        taken = known.setdefault(entry.name, entry)
        if taken == entry:
            if isinstance(entry, EncodingEntry):  # the process that trains has no registry
                ENCODINGS[entry.name] = entry.encoding
            return
        self.clashes.append(
            NameClashError(
                f"{kind} {entry.name!r} is registered twice: by {_whose(taken)} and by "
                f"{_whose(entry)}; rename one of them, or switch one off: "
                f"-p no:{_switch(taken, entry)}"
            )
        )

    def _find(self, table: Entries[EntryT], name: str, kind: str) -> EntryT:
        if name in table or name in list(table):
            return table[name]
        for failure in self.failures:
            if failure.may_offer(name):
                raise PluginError(
                    f"no {kind} {name!r}: the plugin that seems to offer it did not load, "
                    f"{failure.whose}: {failure.why}; {failure.hint}"
                ) from failure.cause
        for refused in self.refused:
            if (refused.kind, refused.name) == (kind, name):
                raise UsageError(refused.why)
        lower = {known.lower(): known for known in table}
        close = [lower[known] for known in difflib.get_close_matches(name.lower(), lower, n=3)]
        files = [name, name.replace("-", "_")] if kind == "model" else []
        close = [file.name for file in Path().glob("*.py") if file.stem in files] + close
        hint = f"did you mean {' or '.join(repr(c) for c in close)}? " if close else ""
        off = f"; switched off: {', '.join(self.switched_off)}" if self.switched_off else ""
        raise UnknownNameError(
            f"unknown {kind} {name!r}; {hint}'bench ls {kind}s' lists all {len(table)}{off}"
            f"{self.untrusted}"
        )


_ANSWERS: dict[str, tuple[type, ...]] = {
    "remarks": (tuple, list),
    "flags": (tuple, list),
    "row_notes": (tuple, list),
    "ending": (str,),
    "motifs": (Mapping,),
    "ceiling": (Ceiling, type(None)),
}
"""What a task's methods return."""


def ask_task(method: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Return what a task answers: one of its methods of `_ANSWERS`.

    Raises:
        PluginError: It failed, or returned something else.
    """
    task, name = method.__self__, method.__name__  # type: ignore[attr-defined]
    try:
        answer = method(*args, **kwargs)
    except BenchError:
        raise
    except Exception as error:
        where = place(error.__traceback__, file_of(type(task)))
        raise PluginError(f"task {task.name!r}: {name} failed: {error!r}{where}") from error
    if not isinstance(answer, _ANSWERS[name]):
        expected = " or ".join(kind.__name__ for kind in _ANSWERS[name])
        given = type(answer).__name__
        raise PluginError(f"task {task.name!r}: {name} returned {given}, expected {expected}")
    return answer


def _whose(entry: Entry) -> str:
    origin = entry.origin
    return " ".join(filter(None, (origin.distribution, origin.version, f"({origin.module})")))


def _switch(first: Entry, second: Entry) -> str:
    """Return the shortest name that switches off one of two plugins and not the other."""
    if first.origin.distribution == second.origin.distribution or not second.origin.distribution:
        return second.origin.module
    return second.origin.distribution
