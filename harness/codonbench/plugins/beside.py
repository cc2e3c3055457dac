"""The files that belong to a one-file plugin: modules beside it that it imports, files it declares.

They are found by reading the source without running it, so that a sandbox can be shown these files
before the plugin is imported there.
"""

from __future__ import annotations

import ast
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.machinery import ModuleSpec
from importlib.util import find_spec, spec_from_file_location
from pathlib import Path, PurePath
from typing import Any

from codonbench.errors import ConfigError, PluginError

MOST_SOURCE = 2 * 2**20
"""Bytes of a plugin's file, and of each module beside it."""


def parts_of(file: Path) -> list[Path]:
    """Return the files that belong to a one-file plugin, in the order in which they are named."""
    modules = [file, *modules_beside(file).values()]
    declared = [file.parent / name for module in modules for name in declared_in(module)]
    return list(dict.fromkeys([*modules[1:], *filter(Path.is_file, declared)]))


def check_inside(parts: Iterable[Path], folder: Path) -> None:
    """Raise ConfigError where one of a plugin's files is a link that leads out of its folder.

    A sandbox would show the target of the link, such as a private key.
    """
    for part in parts:
        if not part.resolve().is_relative_to(folder.resolve()):
            raise ConfigError(
                f"--sandbox: {part} is a link to {part.resolve()}, which is not the plugin's to "
                "read; put the file itself in its place"
            )


def modules_beside(file: Path) -> dict[str, Path]:
    """Return by name the modules beside a file that it imports, and those that these import.

    Of a package all modules. One that is installed, or comes with Python, goes before one beside
    the file.
    """
    found: dict[str, Path] = {}
    waiting = [file]
    while waiting:
        for name in _imported_in(waiting.pop(0)):
            both = file.with_name(f"{name}.py"), file.with_name(name) / "__init__.py"
            path = next((each for each in both if each != file and each.is_file()), None)
            if path is not None and name not in found and _only_there(name, path):
                new = _of_package(path.parent) if path.stem == "__init__" else {name: path}
                found |= new
                waiting += new.values()
    return found


def _of_package(folder: Path) -> dict[str, Path]:
    """Return the modules of a package by name, itself first."""
    found = {}
    for path in sorted(filter(Path.is_file, folder.rglob("*.py"))):
        parts = path.relative_to(folder.parent).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return dict(sorted(found.items()))


def _imported_in(file: Path) -> Iterator[str]:
    """Yield the first word of each module that a file's import statements name."""
    for node in _nodes(file):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0]


def _only_there(name: str, path: Path) -> bool:
    """Return whether no other module of that name can be imported."""
    if name in HELPERS.paths:  # from another folder, `HELPERS` will say so
        return True
    try:
        spec = find_spec(name)
    except (ImportError, ValueError):
        return False
    return spec is None or spec.origin == str(path)


def declared_in(file: Path) -> Iterator[str]:
    """Yield the names in each ``files = (...)`` of a class, or ``files=(...)`` of a decorator."""
    for node in _nodes(file):
        if isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            named = any(isinstance(each, ast.Name) and each.id == "files" for each in targets)
        else:
            named = isinstance(node, ast.keyword) and node.arg == "files"
        if named and isinstance(value := getattr(node, "value", None), ast.Tuple | ast.List):
            words = [each.value for each in value.elts if isinstance(each, ast.Constant)]
            yield from (word for word in words if isinstance(word, str) and is_below(word))


def _nodes(file: Path) -> Iterator[ast.AST]:
    try:
        check_size(file)
        yield from ast.walk(ast.parse(file.read_bytes()))
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
        return  # importing it will say why


def check_size(file: Path) -> None:
    """Raise PluginError where a source is too long: to parse it takes 100 times its size."""
    if (size := file.stat().st_size) > MOST_SOURCE:
        raise PluginError(
            f"{file.name} holds {size:,} bytes, and a plugin's source {MOST_SOURCE:,} at most; "
            "keep weights and tables in a file beside it, and declare that: files = (...)"
        )


def is_below(name: object) -> bool:
    """Return whether a name leads to a file in its folder or below, and to none that is hidden."""
    parts = PurePath(name).parts if isinstance(name, str) else ()
    return bool(parts) and not any(part.startswith((".", os.sep)) for part in parts)


@dataclass(eq=False)
class _Helpers:
    """Finds the modules beside one-file plugins, after all other finders.

    Attributes:
        paths: Path of each, by name.
    """

    paths: dict[str, Path] = field(default_factory=dict)

    def add(self, file: Path) -> None:
        """Have the modules beside a file that it imports found, and imported anew.

        Raises:
            PluginError: A file in another folder has a module of that name.
        """
        for name, path in modules_beside(file).items():
            if self.paths.setdefault(name, path) != path:
                raise PluginError(
                    f"{file.name} imports {path}, and another plugin {self.paths[name]}; a process "
                    f"can have one module {name!r}: rename one of the two"
                )
            sys.modules.pop(name, None)
        if self not in sys.meta_path:
            sys.meta_path.append(self)

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        """Return where a module is, as `importlib` asks."""
        file = self.paths.get(name)
        if file is None:
            return None
        inner = [str(file.parent)] if file.stem == "__init__" else None
        return spec_from_file_location(name, file, submodule_search_locations=inner)


HELPERS = _Helpers()


_WRITES = os.O_WRONLY | os.O_TRUNC


@dataclass(eq=False)
class _Readers:
    """Refuses models of one-file plugins what they read beside their file and do not declare.

    Such a file could be replaced, and the run would keep its name. What the plugin's code opens
    as it is imported is noted, for it may be a task's; where it opens one as a model of it is
    trained, a ConfigError says how to declare it.
    """

    _owners: dict[str, tuple[str, list[Path]]] = field(default_factory=dict)
    _read: dict[str, str] = field(default_factory=dict)
    _refused: set[str] = field(default_factory=set)

    @contextmanager
    def noting(self, name: str, file: Path) -> Iterator[None]:
        """Note what a plugin's file, imported as the module `name`, reads meanwhile."""
        if not self._owners:
            sys.addaudithook(self._look)
        owner = name, [file, *parts_of(file)]
        self._owners |= dict.fromkeys([name, *modules_beside(file)], owner)
        self._read[name] = ""
        try:
            yield
        finally:
            if not self._read[name]:
                del self._read[name]

    @contextmanager
    def refusing(self, name: str) -> Iterator[None]:
        """Refuse to the plugin of module `name` what it does not declare.

        Raises:
            ConfigError: It has read such a file as it was imported.
        """
        if why := self._read.get(name):
            raise ConfigError(why)
        self._refused.add(name)
        try:
            yield
        finally:
            self._refused.discard(name)

    def _look(self, event: str, given: tuple[Any, ...]) -> None:
        if event != "open" or not isinstance(given[0], str | bytes) or given[2] & _WRITES:
            return
        path = Path(os.fsdecode(given[0])).absolute()
        frame = sys._getframe().f_back  # there is none where Python shows the last traceback
        while frame is not None:
            name, parts = self._owners.get(frame.f_globals.get("__name__", ""), ("", []))
            refused, noted = name in self._refused, self._read.get(name) == ""
            if (refused or noted) and _is_beside(path, parts):
                file, other = parts[0].name, path.relative_to(parts[0].parent).as_posix()
                why = (
                    f"{file} reads {other}, which is not declared, so the run would go by the same "
                    f"name with another {other}; write files = ({other!r},) in the model's class, "
                    f"or files=({other!r},) in its decorator"
                )
                if refused:
                    raise ConfigError(why)
                self._read[name] = why
            frame = frame.f_back


def _is_beside(path: Path, parts: list[Path]) -> bool:
    """Return whether a file is in a plugin's folder or below, and no part of it.

    What is hidden there, or is installed there, is no matter of the plugin.
    """
    folder = parts[0].parent
    if (
        path in parts
        or not path.is_relative_to(folder)
        or not is_below(str(path.relative_to(folder)))
    ):
        return False
    installed = [Path(each) for each in (sys.prefix, *sys.path) if Path(each) != folder]
    if any(each.is_relative_to(folder) and path.is_relative_to(each) for each in installed):
        return False
    if path.suffix in (".py", ".pyc"):
        return path.suffix == ".py" and path.parent == folder and path.is_file()
    return path.is_file()


READERS = _Readers()
