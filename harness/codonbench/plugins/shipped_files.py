"""TOML files that installed plugin packages ship, found without importing the packages.

A package that an entry point of the group ``codonbench`` names ships suites in its folder
``suites``, or in the folder ``suites`` of a package in it; and likewise what else plugins read.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from importlib.machinery import PathFinder
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from codonbench.errors import ConfigError, NameClashError, StoreError, UnknownNameError
from codonbench.plugins.selection import GROUP
from codonbench.records.files import MAX_BYTES, parse_tables


def shipped_files(
    folder: str, kind: str, points: Iterable[EntryPoint] | None = None
) -> dict[str, Path]:
    """Return the TOML files in a folder of installed packages, by name without ending.

    Args:
        folder: Its name inside the packages: ``suites``.
        kind: What such a file is called in messages: ``suite``.
        points: Entry points to look at; those of the group ``codonbench`` by default.

    Raises:
        NameClashError: Two packages ship files of one name.
    """
    chosen = entry_points(group=GROUP) if points is None else points
    found: dict[str, Path] = {}
    for module in sorted({point.module for point in chosen}):
        for path in _beside(module, folder):
            if path.stem in found:
                raise NameClashError(
                    f"{kind} {path.stem!r} is shipped twice: {found[path.stem]} and {path}"
                )
            found[path.stem] = path
    return dict(sorted(found.items()))


def _beside(module: str, folder: str) -> list[Path]:
    """Return the files in a folder of a package, without importing it or what it lies in."""
    top, *inner = module.split(".")
    try:
        spec = find_spec(top)
        for name in inner:
            spec = PathFinder.find_spec(name, spec.submodule_search_locations) if spec else None
    except (ImportError, ValueError):  # a broken plugin, which the registry reports
        return []
    places = (spec.submodule_search_locations if spec else None) or []
    patterns = (f"{folder}/*.toml", f"*/{folder}/*.toml")
    return sorted(path for place in places for p in patterns for path in Path(place).glob(p))


def find_file(name: str, folder: str, kind: str) -> Path:
    """Return a file given as a path or as a shipped name.

    Raises:
        UnknownNameError: It is neither; lists what is shipped.
    """
    if Path(name).is_file():
        return Path(name)
    shipped = shipped_files(folder, kind)
    if name in shipped:
        return shipped[name]
    close = difflib.get_close_matches(name, shipped, n=1)
    hint = f"did you mean {close[0]!r}? " if close else ""
    raise UnknownNameError(
        f"no {kind} {name!r}: neither a TOML file nor shipped; {hint}"
        f"shipped are {', '.join(shipped) or 'none'}"
    )


def read_tables(path: Path, kind: str) -> dict[str, Any]:
    """Return the tables of a TOML file.

    Raises:
        ConfigError: It cannot be read, or is not TOML, which says where, or no regular file.
    """
    try:
        if path.exists() and not path.is_file():  # to read a pipe would wait for a writer
            raise ConfigError(f"{kind} {path} is no regular file; give the path of a TOML file")
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise ConfigError(f"{kind} {path} holds more than {MAX_BYTES:,} bytes; cut it in parts")
        return parse_tables(content.decode("utf-8"))
    except OSError as error:
        raise ConfigError(f"{kind} {path} cannot be read: {error.strerror}") from error
    except ValueError as error:  # neither UTF-8 nor TOML, or a number of thousands of digits
        raise ConfigError(f"{kind} {path} is not TOML: {error}") from error
    except StoreError as error:
        raise ConfigError(f"{kind} {path} {error}") from error
