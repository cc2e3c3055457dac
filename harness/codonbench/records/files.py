"""Files written atomically, untrusted files read strictly, and text made safe to print.

And where downloads and boards lie by default.
"""

from __future__ import annotations

import errno
import json
import math
import os
import re
import stat
import tomllib
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import suppress
from glob import escape
from pathlib import Path
from secrets import token_hex
from typing import Any

from codonbench.contracts.base import MAX_NUMBER, MOST_WORDS
from codonbench.errors import ConfigError, StoreError

MAX_BYTES = 256 * 1024
"""Of a record's file: fifty times its usual size."""

_MOST_STORED = MAX_BYTES // 2
"""Bytes of what a record holds before its run; its metrics and how it ended come later."""

_UNREADABLE = "its record could not be read again:"

MAX_DEPTH = 16
"""A record nests four levels; a model's configuration may add a few."""

LONGEST = 300
"""Characters of a value that are shown; a hostile one should not fill the screen."""

LONGEST_LINE = 120
"""Characters of one line of text that is shown among others."""

_MOST_DOTS = 2_000  # on one line; a dotted key takes memory by the square of its parts

_COMMAND = re.compile(r"##(?=\w*\[)|(?<!\S)::|::(?=.*::)")
"""What the log of a CI build takes for the beginning of a command."""

_TOO_DEEP = f"is nested deeper than {MAX_DEPTH} levels"


def read_json(path: Path) -> Any:
    """Return the JSON in a file, decoded by rules that leave no two readings of it.

    Symbolic links are not followed and devices not opened. Text that is too long, not UTF-8,
    nested too deeply, or that gives a key twice or a number that is no number, is refused.

    Raises:
        StoreError: Says what is wrong with the file, without naming it.
    """
    return decoded(read_content(path)[0])


def as_text(content: Mapping[str, Any]) -> bytes:
    """Return a record's content as the file holds it: for people, and for diffs."""
    return (json.dumps(content, indent=1, sort_keys=True) + "\n").encode()


def check_storable(owner: str, content: Mapping[str, Any]) -> None:
    """Make sure that a record with this content could be read again.

    Args:
        owner: Owner of the content, for the message: ``model 'lstm'``.
        content: Some of a record's fields, as JSON values.

    Raises:
        ConfigError: It could not; says why.
    """
    try:
        text = as_text(content)
        if len(text) > _MOST_STORED:
            raise StoreError(f"takes {len(text):,} bytes; at most {_MOST_STORED:,} are stored")
        json.dumps(decoded(text), ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        half = ascii(error.object[error.start])
        raise ConfigError(f"{owner}: {_UNREADABLE} holds {half}, half a surrogate pair") from error
    except (StoreError, ValueError, TypeError, RecursionError) as error:
        raise ConfigError(f"{owner}: {_UNREADABLE} {error}") from error


def read_content(path: Path) -> tuple[bytes, os.stat_result]:
    """Return what is in a file, as `read_json` reads it, and the facts of that very file.

    Raises:
        StoreError: Says what is wrong with the file, without naming it.
    """
    try:
        facts = path.lstat()
        if stat.S_ISLNK(facts.st_mode):
            raise StoreError("is a symbolic link; a record is a file of its own")
        if not stat.S_ISREG(facts.st_mode):
            raise StoreError("is not a regular file")
        with path.open("rb") as file:
            facts = os.fstat(file.fileno())
            content = file.read(min(facts.st_size, MAX_BYTES) + 1)
    except OSError as error:
        raise StoreError(f"cannot be read: {error.strerror}") from error
    if len(content) > MAX_BYTES:
        raise StoreError(f"holds {facts.st_size:,} bytes; a record has at most {MAX_BYTES:,}")
    return content, facts


def identity(facts: os.stat_result) -> str:
    """Return what changes when a file is written again."""
    return f"{facts.st_mtime_ns} {facts.st_ctime_ns} {facts.st_size}"


def decoded(content: bytes) -> Any:
    """Return the content of JSON, as `read_json` does."""
    try:
        text = content.decode("utf-8")
        value = json.loads(text, parse_constant=_refuse, object_pairs_hook=_without_duplicates)
        check_numbers_and_depth(value)
    except UnicodeDecodeError as error:
        raise StoreError(f"is not UTF-8: byte {error.start} is {error.reason}") from error
    except RecursionError as error:
        raise StoreError(_TOO_DEEP) from error
    except ValueError as error:
        raise StoreError(f"is not JSON: {error}") from error
    return value


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object; refuse a key given twice, of which parsers take one or the other."""
    found = dict(pairs)
    if len(found) < len(pairs):
        counts = Counter(name for name, _ in pairs)
        raise StoreError(f"gives {next(name for name in counts if counts[name] > 1)!r} twice")
    return found


def _refuse(constant: str) -> None:
    raise StoreError(f"holds {constant}, which is no number")


def parse_tables(text: str) -> dict[str, Any]:
    """Return the content of TOML.

    Raises:
        ValueError: It is no TOML.
        StoreError: It is nested too deeply, or has a number that is out of range.
    """
    try:
        if sum(line.count(".") ** 2 for line in text.split("\n")) > _MOST_DOTS**2:
            raise RecursionError
        tables = tomllib.loads(text)
    except RecursionError as error:
        raise StoreError("is nested too deeply") from error
    check_numbers_and_depth(tables)
    return tables


def check_numbers_and_depth(value: Any) -> None:
    """Raise where a decoded value is nested too deeply or holds a number that is out of range.

    Walks level by level, so that no nesting can exhaust the stack.

    Raises:
        StoreError: Says what is wrong with the value, without naming it.
    """
    level: list[tuple[str, Any]] = [("", {"": value})]
    for _ in range(MAX_DEPTH + 1):
        below = []
        for where, item in level:
            for name, child in item.items() if isinstance(item, dict) else enumerate(item):
                kind = type(child)
                if kind is dict or kind is list:
                    below.append((f"{where}.{name}", child))
                elif (kind is int and not abs(child) < MAX_NUMBER) or (
                    kind is float and not math.isfinite(child)  # 1e999 decodes to infinity
                ):
                    place = f"{where}.{name}".strip(".")
                    raise StoreError(f"{place} is out of the range of numbers")
        if not below:
            return
        level = below
    raise StoreError(_TOO_DEEP)


def shipped(path: str) -> Path | None:
    """Return a file of the checkout that comes with codonbench; None where it is not there.

    Args:
        path: In the checkout. A wheel has it beside this package, under the last part of its name.
    """
    package = Path(__file__).parents[1]
    places = (package / Path(path).name, package.parents[1] / path)
    return next((place for place in places if place.is_file()), None)


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file under a temporary name, flush it to the disk, rename it, flush the folder.

    Raises:
        StoreError: The folder cannot be written, or the disk is full.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _write(path, content)
    except OSError as error:
        raise store_error("file", path, error) from error


def _write(path: Path, content: bytes) -> None:
    temporary = path.with_name(f"{_temporary_prefix(path)}{token_hex(8)}.tmp")
    try:
        with temporary.open("xb") as file:
            file.write(content)
            file.flush()
            flush_to_disk(file.fileno())
        temporary.replace(path)
        flush_folder(path.parent)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def try_folder(path: Path) -> None:
    """Write a file into a folder as a record will be, and remove it.

    Raises:
        OSError: It cannot be done there.
    """
    probe = path / f".probe-{token_hex(8)}"
    _write(probe, b"?")
    probe.unlink()


def _temporary_prefix(path: Path) -> str:
    return f".{path.name[:120]}."


def sweep(path: Path, names: Iterable[str] | None = None) -> None:
    """Remove the temporary files of killed writers of a file; only its owner may call this.

    What cannot be removed stays, and does no harm.

    Args:
        path: The file.
        names: Of what to look among in its folder; all that is there by default.
    """
    prefix = _temporary_prefix(path)
    if names is None:
        names = [left.name for left in path.parent.glob(f"{escape(prefix)}*.tmp")]
    for name in names:
        if name.startswith(prefix) and name.endswith(".tmp"):
            with suppress(OSError):
                (path.parent / name).unlink()


def flush_folder(path: Path) -> None:
    """Make sure that a name just given in a folder outlasts a power cut."""
    if os.name == "nt":  # which cannot open a folder, and flushes it by itself
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        flush_to_disk(handle)
    finally:
        os.close(handle)


def flush_to_disk(handle: int) -> None:
    """Have an open file or folder outlast a power cut, where its file system knows how to.

    Network and FUSE mounts may refuse, of folders above all; what was written is there all the
    same.
    """
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno in (errno.EIO, errno.ENOSPC, errno.EDQUOT):
            raise


def store_error(what: str, path: Path, error: OSError) -> StoreError:
    """Return the error for a file or folder that cannot be written."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StoreError(f"{what} {path}: no space left; free some or choose another folder")
    reason = error.strerror or str(error)
    return StoreError(f"{what} {path} cannot be written: {reason}; choose another folder")


def printable(text: str, longest: int = LONGEST) -> str:
    """Return text on one line that cannot steer a terminal, nor the log of a build.

    Such a log takes ``##[...]``, ``##vso[...]`` and the like anywhere for a command, and ``::...``
    where a line begins, which may be wherever text is wrapped.
    """
    plain = "".join(
        c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text[: longest + 1]
    )
    plain = _COMMAND.sub(_broken, plain)
    return plain if len(plain) <= longest else f"{plain[:longest]}..."


def _broken(command: re.Match[str]) -> str:
    return {"##": "## ", "::": ": :"}[command[0]]


def printable_lines(text: str) -> str:
    """Return text that keeps its lines, each as `printable` leaves it, cut where overlong."""
    return "\n".join(printable(line, MOST_WORDS) for line in text.split("\n"))


def plain_json(text: str) -> str:
    """Return JSON of the same content that neither steers a terminal nor the log of a build."""
    plain = (c if c.isprintable() or c == "\n" else json.dumps(c)[1:-1] for c in text)
    return "".join(plain).replace("##", "#\\u0023")


def storable(text: str) -> str:
    """Return text that every reader of a record takes: not overlong, no lone surrogate."""
    whole = text.encode("utf-8", errors="replace").decode("utf-8")
    return whole if len(whole) <= MOST_WORDS else f"{whole[: MOST_WORDS - 3]}..."


def visible(text: str, longest: int = LONGEST_LINE) -> str:
    """Return text on one line, cut where it is overlong, and free of what cannot be seen.

    Control and formatting characters go: line breaks, escape sequences, zero-width and
    right-to-left marks. Of marks that pile up on one letter the first two stay. What would be a
    command to the log of a build is broken as `printable` does it.
    """
    if len(text) <= longest and text.isascii() and text.isprintable():  # as most are
        return _COMMAND.sub(_broken, " ".join(text.split()))
    kept: list[str] = []
    for c in text:
        category = unicodedata.category(c)
        if category.startswith(("C", "Z")):
            kept.append(" ")
        elif not (category.startswith("M") and _are_marks(kept[-2:])):
            kept.append(c)
        if len(kept) > 4 * longest:  # enough to cut from: spaces may yet melt into one
            break
    line = _COMMAND.sub(_broken, " ".join("".join(kept).split()))
    is_cut = len(line) > longest or len(kept) > 4 * longest
    return line[: longest - 1] + "…" if is_cut else line


def _are_marks(characters: list[str]) -> bool:
    return len(characters) == 2 and all(unicodedata.category(c)[0] == "M" for c in characters)


def board_folder(results: Path) -> Path:
    """Return where the board of a folder of records goes by default.

    Above a folder called ``results``, as in ``leaderboard/results``; else in a folder ``board``
    within it.
    """
    return results.parent if results.name == "results" else results / "board"


def cache_folder() -> Path:
    """Return where downloads are kept.

    ``CODONBENCH_CACHE`` where that is set, else the platform's own cache folder.
    """
    chosen = os.environ.get("CODONBENCH_CACHE")
    if chosen:
        return Path(chosen)
    from platformdirs import user_cache_path

    return user_cache_path("codonbench", appauthor=False)


def is_offline(requested: bool) -> bool:
    """Return whether network access is forbidden, by option or by ``CODONBENCH_OFFLINE``."""
    return requested or os.environ.get("CODONBENCH_OFFLINE", "") not in ("", "0")
