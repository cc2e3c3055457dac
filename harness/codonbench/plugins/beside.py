"""What lies beside a plugin's file and is part of it: modules that it imports, files it declares.

Found by reading the source and running none of it, so that a sandbox can be shown these files
before the plugin is imported there.
"""

from __future__ import annotations

import ast
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.machinery import ModuleSpec
from importlib.util import find_spec, spec_from_file_location
from pathlib import Path, PurePath
from typing import Any

from codonbench.errors import ConfigError, PluginError


def parts_of(file: Path) -> list[Path]:
    """Return the files that belong to a one-file plugin, in the order in which they are named."""
    modules = [file, *modules_beside(file).values()]
    declared = [file.parent / name for module in modules for name in declared_in(module)]
    return list(dict.fromkeys([*modules[1:], *filter(Path.is_file, declared)]))


def modules_beside(file: Path) -> dict[str, Path]:
    """Return by name the modules beside a file that it imports, and those that these import.

    One that is installed, or comes with Python, goes before one beside the file.
    """
    found: dict[str, Path] = {}
    waiting = [file]
    while waiting:
        for name in _imported_in(waiting.pop(0)):
            path = file.with_name(f"{name}.py")
            if name not in found and path != file and path.is_file() and _only_there(name, path):
                found[name] = path
                waiting.append(path)
    return found


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
        yield from ast.walk(ast.parse(file.read_bytes()))
    except (OSError, SyntaxError, ValueError, RecursionError):
        return  # importing it will say why


def is_below(name: object) -> bool:
    """Return whether a name leads to a file in its folder or below, and to none that is hidden."""
    parts = PurePath(name).parts if isinstance(name, str) else ()
    return bool(parts) and not any(part.startswith((".", os.sep)) for part in parts)


@dataclass(eq=False)
class _Helpers:
    """Finds the modules beside one-file plugins, once nothing else is found.

    Attributes:
        paths: Where each is, by name.
    """

    paths: dict[str, Path] = field(default_factory=dict)

    def add(self, file: Path) -> None:
        """Have what a file imports from beside it found, and imported anew.

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
        return None if file is None else spec_from_file_location(name, file)


HELPERS = _Helpers()


_WRITES = os.O_WRONLY | os.O_TRUNC


def refuse_the_undeclared(file: Path) -> None:
    """Have this process read no file in the folder of a one-file plugin that is no part of it.

    Such a file could be exchanged, and the run would still go by the same name. Whatever opens one
    to read it gets a ConfigError that says how to declare it.
    """
    known = {file, *parts_of(file)}

    def look(event: str, given: tuple[Any, ...]) -> None:
        if event != "open" or not isinstance(given[0], str | bytes) or given[2] & _WRITES:
            return
        path = Path(os.fsdecode(given[0])).absolute()
        if path.parent != file.parent or path in known or path.suffix in (".py", ".pyc"):
            return
        if path.is_file():
            name = path.name
            raise ConfigError(
                f"{file.name} reads {name}, which is not declared, so the run would go by the same "
                f"name with another {name}; write files = ({name!r},) in the model's class, or "
                f"files=({name!r},) in its decorator"
            )

    sys.addaudithook(look)
