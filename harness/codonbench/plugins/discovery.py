"""Where plugins are found: entry points, single files and folders of files; each loaded once."""

from __future__ import annotations

import importlib
import importlib.util
import pkgutil
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from difflib import get_close_matches
from functools import partial
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType

from codonbench import __version__
from codonbench.errors import PluginError, UsageError
from codonbench.plugins.beside import HELPERS, READERS, check_size
from codonbench.plugins.registry import Registry, WaitingModule
from codonbench.plugins.selection import (
    BUILT_IN,
    FILE,
    GROUP,
    Candidate,
    Selection,
    in_order,
    selection_from_environment,
)

_OWN = ("supervised", "folds", "sample_efficiency", "linear_probe", "zero_shot")
"""The protocols that the core registers itself, whichever plugins there are."""


def load_registry(
    points: Iterable[EntryPoint] | None = None, selection: Selection | None = None
) -> Registry:
    """Return the registry of all installed plugins that are wanted.

    An entry point that names a package loads each module in it whose name does not begin with
    ``_``, so that adding a plugin to the built-in packages is adding a file, and what need not
    be loaded to list a plugin (PyTorch and what is made of it) can stand beside it.

    Args:
        points: As for `discover`.
        selection: As for `discover`.

    Raises:
        NameClashError: Two plugins register one name.
    """
    registry = discover(points, selection)
    registry.check_files(())
    return registry


def discover(
    points: Iterable[EntryPoint] | None = None,
    selection: Selection | None = None,
    files: Sequence[Path] = (),
    folders: Sequence[Path] = (),
    begun: Callable[[Candidate], None] = lambda candidate: None,
) -> Registry:
    """Return the registry of all that was found, failures and clashes noted in it, not raised.

    Plugins that the selection does not trust are noted in it as `undescribed`, and not imported.

    Args:
        points: Entry points to load; those of the group ``codonbench`` by default.
        selection: Plugins to load; by default those of ``CODONBENCH_PLUGINS``.
        files: Python files that register more.
        folders: Folders of such files: every ``*.py`` in them whose name begins with no ``_``.
        begun: Called with each plugin whose code is about to run.

    Raises:
        UsageError: One of `files` is no file, or one of `folders` no folder.
    """
    check_paths(files, folders)
    wanted = selection_from_environment() if selection is None else selection
    registry = Registry(begun, wanted)
    for name in _OWN:
        file = Path(__file__).parents[1] / "protocols" / f"{name}.py"
        module = f"codonbench.protocols.{name}"
        own = Candidate("", BUILT_IN, module, __version__, str(file))
        registry.waiting.append(WaitingModule(own, ("protocols",), partial(_load, registry, own)))
    chosen = entry_points(group=GROUP) if points is None else points
    seen = []
    for point, candidate in in_order(chosen):
        seen.append(candidate)
        if _is_off(candidate, wanted, registry):
            continue
        if wanted.trusts(candidate):
            seen += _load_point(registry, point, candidate, wanted)
        elif candidate not in registry.undescribed:
            registry.undescribed.append(candidate)
    for folder in folders:
        if not any(_files_in([folder])):
            registry.remarks.append(f"--plugins-dir {folder} holds no file like mymodel.py")
    # A file asked for by name is no installed plugin: CODONBENCH_PLUGINS does not speak of it.
    typed = Selection(off=wanted.off)
    for candidate in map(Candidate.of_file, (*files, *_files_in(folders))):
        seen.append(candidate)
        if _is_off(candidate, typed, registry) or not _may_be_read(candidate, registry):
            continue
        if wanted.trusts(candidate):
            _load_file(registry, candidate)
        elif candidate not in registry.undescribed:
            registry.undescribed.append(candidate)
    for slip in wanted.names_nothing(seen):
        registry.remarks.append(f"{slip} fits no plugin; 'bench plugins' shows what there is")
    return registry


def own_points() -> list[EntryPoint]:
    """Return the entry points of codonbench's own plugins."""
    return [point for point in entry_points(group=GROUP) if Candidate.of(point).built_in]


def load_only(candidates: Iterable[Candidate], selection: Selection) -> Registry:
    """Return the registry of some plugins and no others; nothing is raised, as in `discover`."""
    wanted = set(candidates)
    points = [p for p in entry_points(group=GROUP) if Candidate.of(p) in wanted]
    files = [Path(candidate.file) for candidate in wanted if candidate.is_one_file]
    return discover(points, selection, files)


def check_paths(files: Iterable[Path], folders: Iterable[Path]) -> None:
    """Raise UsageError where a plugin file is no file, or a folder of them no folder."""
    for path in files:
        if not path.is_file():
            if path.is_dir():
                hint = "; a folder of them is given with --plugins-dir"
            else:
                beside = [str(path.with_name(each.name)) for each in path.parent.glob("*.py")]
                close = get_close_matches(str(path), beside, n=1)
                hint = f"; did you mean {close[0]}?" if close else ""
            raise UsageError(f"no file {str(path)!r}: expected a Python file{hint}")
    for path in folders:
        if not path.is_dir():
            raise UsageError(f"--plugins-dir {path}: expected a folder of Python files")


def import_file(name: str, path: Path) -> ModuleType:
    """Import a Python file as the module `name`, and what it imports from beside it.

    Raises:
        PluginError: It is none, or a module beside it has the name of another plugin's.
        Whatever running it raises.
    """
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise PluginError(f"{path.name!r} is no Python file; expected a name like mymodel.py")
    HELPERS.add(path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # pickle and inspect look a class up there
    try:
        with READERS.noting(name, path):
            spec.loader.exec_module(module)
    except BaseException:
        sys.modules.pop(name, None)
        raise
    return module


def own_files_only(module: str) -> AbstractContextManager[None]:
    """Refuse to the model of a one-file plugin what it does not declare; others may read all.

    Args:
        module: The module that registered the model.

    Raises:
        ConfigError: It has read such a file as it was imported, or does so now.
    """
    return READERS.refusing(module) if module.startswith(FILE) else nullcontext()


def file_modules() -> list[tuple[str, Path]]:
    """Return name and path of each module that was made of a single file in this process."""
    return [
        (name, Path(module.__file__))
        for name, module in sys.modules.items()
        if name.startswith(FILE) and module.__file__ is not None
    ]


def _is_off(candidate: Candidate, wanted: Selection, registry: Registry) -> bool:
    """Return whether `candidate` is not wanted, and note so."""
    reason = wanted.why_not(candidate)
    if reason:
        owner = f" of {candidate.distribution}" if candidate.distribution else ""
        registry.switched_off.append(f"{candidate.module}{owner} ({reason})")
    return bool(reason)


def _may_be_read(candidate: Candidate, registry: Registry) -> bool:
    """Return whether a file may be read, and note where it is too long."""
    with registry.contain(candidate):
        check_size(Path(candidate.file))
        return True
    return False


def _load_point(
    registry: Registry, point: EntryPoint, candidate: Candidate, wanted: Selection
) -> Iterator[Candidate]:
    """Register what an entry point leads to; yield the public modules of a package it names.

    A package whose ``registers`` says of which kinds its modules are has them wait until one is
    asked for.
    """
    failures = len(registry.failures)
    root = _import(registry, candidate, point)
    if root is None:
        return
    offers = _add(registry, root, candidate)
    kinds = tuple(getattr(root, "registers", ()))
    for info in pkgutil.iter_modules(getattr(root, "__path__", [])):
        if info.name.startswith("_"):  # not a plugin: what its neighbours import
            continue
        inner = replace(candidate, module=f"{root.__name__}.{info.name}")
        yield inner
        if _is_off(inner, wanted, registry):
            offers = True  # for all we know
        elif kinds:
            file = Path(root.__path__[0], info.name, "__init__.py")
            inner = replace(inner, file=str(file if info.ispkg else f"{file.parent}.py"))
            registry.waiting.append(WaitingModule(inner, kinds, partial(_load, registry, inner)))
            offers = True
        elif (module := _import(registry, inner)) is not None:
            offers |= _add(registry, module, inner)
    if not offers and failures == len(registry.failures):
        registry.refuse_empty(root, replace(candidate, file=root.__file__ or ""))


def _load(registry: Registry, candidate: Candidate) -> None:
    if (module := _import(registry, candidate)) is not None:
        _add(registry, module, candidate)


def _add(registry: Registry, module: ModuleType, candidate: Candidate) -> bool:
    """Register a module; return whether it offers anything."""
    owner, version = candidate.distribution, candidate.version
    return registry.add(module, owner, version, point=candidate.point)


def _import(
    registry: Registry, candidate: Candidate, point: EntryPoint | None = None
) -> ModuleType | None:
    """Return the module, or None and a failure noted."""
    with registry.contain(replace(candidate, file=_source_of(candidate.module))):
        if point is not None and ":" in point.value:
            raise PluginError(
                f"entry point {point.name} = {point.value!r}; expected the name of a module: "
                f"{point.name} = {candidate.module!r}"
            )
        return importlib.import_module(candidate.module)
    return None


def _source_of(module: str) -> str:
    """Return the source file of a module that was not imported yet; empty where there is none."""
    parent = module.rpartition(".")[0]
    if parent and parent not in sys.modules:  # to look further would import it
        return ""
    try:
        spec = importlib.util.find_spec(module)
    except (ImportError, ValueError, AttributeError):
        return ""
    return (spec.origin or "") if spec is not None and spec.has_location else ""


def _files_in(folders: Iterable[Path]) -> Iterator[Path]:
    """Yield the plugin files of each folder in the order of their names."""
    for folder in folders:
        found = filter(Path.is_file, folder.glob("*.py"))
        yield from sorted(file for file in found if not file.name.startswith("_"))


def _load_file(registry: Registry, candidate: Candidate) -> None:
    """Register what a file offers, once however often it is named; contain its failure."""
    name, failures = candidate.module, len(registry.failures)
    plugins = registry.manager.get_plugins()
    if candidate.file in {getattr(module, "__file__", None) for module in plugins}:
        return
    while registry.manager.has_plugin(name):  # a file of the same name in another folder
        name += "_"
    with registry.contain(candidate):
        module = import_file(name, Path(candidate.file))
        if not _add(registry, module, candidate) and failures == len(registry.failures):
            registry.refuse_empty(module, candidate)
