"""Plugins by name: found through entry points, loaded once, each failure kept to itself."""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import pkgutil
import sys
import traceback
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import Any, TypeVar

import pluggy

from codonbench import hookspecs
from codonbench.contracts import Metric, Model, Reference, Task
from codonbench.errors import NameClashError, PluginError, UnknownNameError
from codonbench.origin import Origin, describe_origin

GROUP = "codonbench"

_FILE_MODULE = "codonbench_file_"  # what the names of modules from `add_file` begin with

ModelClass = type[Model] | type[Reference]
EntryT = TypeVar("EntryT", bound="Entry")


@dataclass(frozen=True)
class Entry:
    """Something registered under a name."""

    name: str
    origin: Origin
    file: str


@dataclass(frozen=True)
class ModelEntry(Entry):
    """A model, or one of its presets.

    Attributes:
        cls: The plugin's class.
        preset: Configuration values the name stands for.
    """

    cls: ModelClass
    preset: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True)
class TaskEntry(Entry):
    """A task."""

    task: Task


@dataclass(frozen=True)
class MetricEntry(Entry):
    """A metric."""

    metric: Metric


@dataclass(frozen=True)
class Failure:
    """A plugin that did not load.

    Attributes:
        module: What was being loaded.
        distribution: Whose it is.
        error: What the traceback ends with, on one line.
        details: All of it.
    """

    module: str
    distribution: str
    error: str
    details: str


class Registry:
    """Every plugin that loaded, by kind and name, and every one that did not.

    Attributes:
        models, tasks, metrics: Entries by name.
        failures: What did not load, and why.
        manager: pluggy's, for the lifecycle hooks.
    """

    def __init__(self) -> None:
        self.models: dict[str, ModelEntry] = {}
        self.tasks: dict[str, TaskEntry] = {}
        self.metrics: dict[str, MetricEntry] = {}
        self.failures: list[Failure] = []
        self.manager = pluggy.PluginManager("codonbench")
        self.manager.add_hookspecs(hookspecs)

    def add(self, module: ModuleType, distribution: str, version: str) -> None:
        """Register everything that a module's hooks offer; contain its failure.

        A module that two entry points name is registered once.

        Raises:
            NameClashError: A name is taken already.
        """
        if self.manager.is_registered(module):
            return
        try:
            self.manager.register(module, name=module.__name__)
            self.manager.check_pending()
        except Exception as error:  # a plugin may do anything; say which one did
            # Left in place, its misspelt hook would be found again with every later plugin.
            if self.manager.is_registered(module):
                self.manager.unregister(module)
            self._fail(module.__name__, distribution, error)
            return

        def add_to(kind: str, table: dict[str, Any], make: Callable[..., Any]) -> Any:
            def register(plugin: Any) -> None:
                for entry in make(plugin, module, distribution, version):
                    self._claim(table, entry, kind)

            return register

        for hook, table, make in (
            ("register_models", self.models, _model_entries),
            ("register_tasks", self.tasks, _task_entries),
            ("register_metrics", self.metrics, _metric_entries),
        ):
            kind = hook.removeprefix("register_").removesuffix("s")
            others = [p for p in self.manager.get_plugins() if p is not module]
            try:
                call = self.manager.subset_hook_caller(hook, others)
                call(register=add_to(kind, table, make))
            except NameClashError:
                raise
            except (Exception, SystemExit) as error:  # as above
                self._fail(module.__name__, distribution, error)

    def model(self, name: str) -> ModelEntry:
        """Return the model or preset called `name`, or raise UnknownNameError."""
        return _find(self.models, name, "model", "models")

    def task(self, name: str) -> TaskEntry:
        """Return the task called `name`, or raise UnknownNameError."""
        return _find(self.tasks, name, "task", "tasks")

    def tell(self, hook: str, **facts: object) -> None:
        """Call a lifecycle hook of every plugin that has it.

        Raises:
            PluginError: One of them failed; names it.
        """
        for impl in getattr(self.manager.hook, hook).get_hookimpls():
            try:
                impl.function(*(facts[name] for name in impl.argnames))
            except Exception as error:
                raise PluginError(
                    f"plugin {impl.plugin_name} failed in {hook}: {error!r}"
                ) from error

    def _claim(self, table: dict[str, Any], entry: Entry, kind: str) -> None:
        taken = table.get(entry.name)
        if taken is not None:
            raise NameClashError(
                f"{kind} {entry.name!r} is registered twice: by {_whose(taken)} and by "
                f"{_whose(entry)}; rename or uninstall one of them"
            )
        table[entry.name] = entry

    def _fail(self, module: str, distribution: str, error: BaseException) -> None:
        last = _last_line(error)
        details = "".join(traceback.format_exception(error))
        self.failures.append(Failure(module, distribution, last, details))


def load_registry(points: Iterable[EntryPoint] | None = None) -> Registry:
    """Return the registry of all installed plugins.

    An entry point that names a package loads each module in it, so that adding a plugin to
    the built-in packages is adding a file.

    Args:
        points: Entry points to load; those of the group ``codonbench`` by default.

    Raises:
        NameClashError: Two plugins register one name.
    """
    registry = Registry()
    chosen = entry_points(group=GROUP) if points is None else points
    for point in sorted(chosen, key=lambda p: (p.name, p.value)):
        owner, version = ("", "") if point.dist is None else (point.dist.name, point.dist.version)
        root = _import(registry, point.module, owner)
        if root is None:
            continue
        registry.add(root, owner, version)
        for info in pkgutil.iter_modules(getattr(root, "__path__", [])):
            module = _import(registry, f"{root.__name__}.{info.name}", owner)
            if module is not None:
                registry.add(module, owner, version)
    return registry


def add_file(registry: Registry, path: Path) -> None:
    """Register what one Python file offers; its name stands for the distribution.

    Raises:
        PluginError: The file cannot be run, or what it registers is no plugin. It was asked for
            by name, so nothing is contained.
        NameClashError: A name is taken already.
    """
    name = f"{_FILE_MODULE}{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    try:
        if spec is None or spec.loader is None or not path.is_file():
            raise FileNotFoundError(f"no Python file {str(path)!r}")
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module  # pickle and inspect look a class up there
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        raise PluginError(f"plugin file {path}: {_last_line(error)}") from error
    failed, before = len(registry.failures), _size(registry)
    registry.add(module, path.name, "")
    for failure in registry.failures[failed:]:
        raise PluginError(f"plugin file {path}: {failure.error}")
    if _size(registry) == before:
        raise PluginError(
            f"plugin file {path} registers nothing: it needs a function register_models(register), "
            "register_tasks or register_metrics, marked with @hookimpl"
        )


def file_modules() -> list[tuple[str, Path]]:
    """Return name and path of each module that `add_file` has loaded in this process."""
    return [
        (name, Path(module.__file__))
        for name, module in sys.modules.items()
        if name.startswith(_FILE_MODULE) and module.__file__ is not None
    ]


def _size(registry: Registry) -> int:
    return len(registry.models) + len(registry.tasks) + len(registry.metrics)


def _last_line(error: BaseException) -> str:
    return " ".join(traceback.format_exception_only(error)[-1].split())


def _import(registry: Registry, name: str, distribution: str) -> ModuleType | None:
    """Return the module, or None and a failure noted."""
    try:
        return importlib.import_module(name)
    except (Exception, SystemExit) as error:  # a plugin may even call sys.exit at import
        registry._fail(name, distribution, error)
        return None


def _find(table: dict[str, EntryT], name: str, kind: str, kinds: str) -> EntryT:
    if name in table:
        return table[name]
    close = difflib.get_close_matches(name, table, n=3)
    hint = f"did you mean {' or '.join(repr(c) for c in close)}? " if close else ""
    raise UnknownNameError(
        f"unknown {kind} {name!r}; {hint}'bench ls {kinds}' lists all {len(table)}"
    )


def _model_entries(
    cls: ModelClass, module: ModuleType, distribution: str, version: str
) -> list[ModelEntry]:
    origin, file = describe_origin(cls, module, distribution, version)
    entries = [ModelEntry(cls.info.name, origin, file, cls)]
    for preset, values in cls.presets.items():
        entries.append(ModelEntry(preset, origin, file, cls, MappingProxyType(dict(values))))
    return entries


def _task_entries(
    task: Task, module: ModuleType, distribution: str, version: str
) -> list[TaskEntry]:
    origin, file = describe_origin(type(task), module, distribution, version)
    return [TaskEntry(task.name, origin, file, task)]


def _metric_entries(
    metric: Metric, module: ModuleType, distribution: str, version: str
) -> list[MetricEntry]:
    origin, file = describe_origin(type(metric), module, distribution, version)
    return [MetricEntry(metric.name, origin, file, metric)]


def _whose(entry: Entry) -> str:
    origin = entry.origin
    return f"{origin.distribution} {origin.version} ({origin.module})".strip()
