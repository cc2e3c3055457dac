"""A JSON file that nobody vouches for, read without following where it leads."""

from __future__ import annotations

import json
import math
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from codonbench.contracts.base import MAX_NUMBER
from codonbench.errors import StoreError

MAX_BYTES = 256 * 1024
"""Fifty times a record's usual size."""

MAX_DEPTH = 16
"""A record nests four levels; a model's configuration may add a few."""


def read_json(path: Path) -> Any:
    """Return the JSON in a file, decoded by rules that leave no two readings of it.

    Symbolic links are not followed and devices not opened. Text that is too long, not UTF-8,
    nested too deeply, or that gives a key twice or a number that is no number, is refused.

    Raises:
        StoreError: Says what is wrong with the file, without naming it.
    """
    value = _decode(_read(path))
    check_numbers_and_depth(value)
    return value


def _read(path: Path) -> bytes:
    try:
        facts = path.lstat()
        if stat.S_ISLNK(facts.st_mode):
            raise StoreError("is a symbolic link; a record is a file of its own")
        if not stat.S_ISREG(facts.st_mode):
            raise StoreError("is not a regular file")
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise StoreError(f"cannot be read: {error.strerror}") from error
    if len(content) > MAX_BYTES:
        raise StoreError(f"holds {facts.st_size:,} bytes; a record has at most {MAX_BYTES:,}")
    return content


def _decode(content: bytes) -> Any:
    try:
        return json.loads(
            content.decode("utf-8"), object_pairs_hook=_without_twins, parse_constant=_refuse
        )
    except UnicodeDecodeError as error:
        raise StoreError(f"is not UTF-8: byte {error.start} is {error.reason}") from error
    except RecursionError as error:
        raise StoreError(_TOO_DEEP) from error
    except ValueError as error:
        raise StoreError(f"is not JSON: {error}") from error


def _without_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object; a key given twice is read one way here and another way there."""
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twin = next(name for name in names if names.count(name) > 1)
        raise StoreError(f"gives {twin!r} twice")
    return found


def _refuse(constant: str) -> None:
    raise StoreError(f"holds {constant}, which is no number")


_TOO_DEEP = f"is nested deeper than {MAX_DEPTH} levels"


def check_numbers_and_depth(value: Any) -> None:
    """Raise where a decoded value is nested too deeply or holds a number that is out of range.

    Walks level by level, so that no nesting can exhaust the stack.

    Raises:
        StoreError: Says what is wrong with the value, without naming it.
    """
    level = [("", value)]
    for _ in range(MAX_DEPTH):
        for where, item in level:
            if isinstance(item, int | float) and not _is_sane(item):
                raise StoreError(f"{where.strip('.')} is out of the range of numbers")
        level = [child for where, item in level for child in _children(where, item)]
        if not level:
            return
    raise StoreError(_TOO_DEEP)


def _is_sane(number: int | float) -> bool:
    if isinstance(number, int):
        return abs(number) < MAX_NUMBER
    return math.isfinite(number)  # 1e999 decodes to infinity


def _children(where: str, item: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(item, dict):
        yield from ((f"{where}.{name}", child) for name, child in item.items())
    elif isinstance(item, list):
        yield from ((f"{where}.{i}", child) for i, child in enumerate(item))
