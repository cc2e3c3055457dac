"""Which plugins are loaded, and which of them this process may import.

``CODONBENCH_PLUGINS`` and ``-p no:NAME`` say the first, ``--trust NAME`` and the settings the
second.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.metadata import Distribution, EntryPoint
from pathlib import Path

from codonbench.errors import ConfigError, StoreError
from codonbench.plugins.beside import MOST_SOURCE

GROUP = "codonbench"
VARIABLE = "CODONBENCH_PLUGINS"

_OURS = ("codonbench_models", "codonbench_datasets", "codonbench_metrics")

BUILT_IN = "codonbench"
"""The distribution whose plugins `VARIABLE` leaves alone: without them there would be no task to
run and no metric to score with, so that an empty list would switch the bench off."""

FILE = "codonbench_file_"
"""What the name of a module that a single file makes begins with."""


@dataclass(frozen=True)
class Candidate:
    """A plugin that might be loaded.

    Attributes:
        point: Its entry point's name, or its file's.
        distribution: Its distribution; empty if unknown.
        module: The dotted name of its module.
        version: The distribution's.
        file: Its source file; empty if unknown.
    """

    point: str
    distribution: str
    module: str
    version: str = ""
    file: str = ""

    @classmethod
    def of(cls, point: EntryPoint) -> Candidate:
        """Return the plugin that an entry point leads to."""
        owner, version = _named(point.dist)
        module = re.split(r"[:\[]", point.value)[0].strip()
        if plain(owner) == BUILT_IN and module.partition(".")[0] not in _OURS:
            owner = version = ""  # it goes by our name
        return cls(point.name, owner, module, version)

    @classmethod
    def of_file(cls, file: Path) -> Candidate:
        """Return the plugin that a Python file holds."""
        return cls(file.stem, file.name, FILE + file.stem, file=str(file.resolve()))

    @property
    def is_one_file(self) -> bool:
        """Whether it is a file that was named, and not installed."""
        return self.module.startswith(FILE)

    @property
    def built_in(self) -> bool:
        """Whether it comes with codonbench."""
        return plain(self.distribution) == BUILT_IN and not self.is_one_file

    @property
    def owner(self) -> str:
        """Whose it is: plugins of one owner trust one another, and may share a process."""
        return self.file if self.is_one_file else self.distribution or self.module

    def is_trusted_as(self, name: str) -> bool:
        """Return whether `name` is its distribution; or of a file its name, or its path."""
        if self.is_one_file:
            return name == self.distribution or Path(name).resolve() == Path(self.file)
        named = bool(self.distribution) and not name.endswith(".py")  # which is a file's name
        return named and plain(name) == plain(self.distribution)

    def is_called(self, name: str) -> bool:
        """Return whether `name` is its entry point, its distribution, or its module or a part."""
        return (
            plain(name) in (plain(self.point), plain(self.distribution))
            or self.module == name
            or self.module.startswith(f"{name}.")
        )

    def may_offer(self, name: str) -> bool:
        """Return whether this plugin is likely to be the one that offers `name`.

        Its source contains `name`, or `name` is or begins with the name of the plugin, its module
        or its file. A guess, for plugins that are not imported.
        """
        wanted = plain(name)
        called = {self.point, self.distribution, Path(self.file).stem, *self.module.split(".")}
        if any(wanted == c or wanted.startswith(f"{c}-") for c in map(plain, called) if c):
            return True
        return self.source_has(rf"(?<![\w.-]){re.escape(name.replace('_', '-'))}(?![\w-])")

    def source_has(self, pattern: str) -> bool:
        """Return whether a regular expression matches in its source, with ``-`` for each ``_``."""
        return _source_has(Path(self.file), pattern)


@cache
def _source_has(file: Path, pattern: str) -> bool:
    files = file.parent.glob("*.py") if file.name == "__init__.py" else [file]
    return any(re.search(pattern, _text(file)) for file in files if file.is_file())


@cache
def _text(file: Path) -> str:
    with file.open(encoding="utf-8", errors="replace") as source:
        return source.read(MOST_SOURCE).replace("_", "-")


@dataclass(frozen=True)
class Selection:
    """Which plugins are wanted; all of them by default.

    Attributes:
        only: Entry points, distributions or modules to load besides the built-in ones; None for
            every one that is installed.
        off: Entry points, distributions or modules not to load.
        trusted: Distributions and files to be imported by this process, besides the built-in
            ones; None for every one that is wanted.
    """

    only: tuple[str, ...] | None = None
    off: tuple[str, ...] = ()
    trusted: tuple[str, ...] | None = None

    def trusts(self, candidate: Candidate) -> bool:
        """Return whether this process may import `candidate`."""
        named = self.trusted is None or any(map(candidate.is_trusted_as, self.trusted))
        return named or candidate.built_in

    def why_not(self, candidate: Candidate) -> str:
        """Return what switches `candidate` off, as it was typed; empty where nothing does."""
        for name in self.off:
            if candidate.is_called(name):
                return f"-p no:{name}"
        if self.only is None or candidate.built_in or any(map(candidate.is_called, self.only)):
            return ""
        return f"{VARIABLE}={','.join(self.only)}"

    def names_nothing(self, candidates: Sequence[Candidate]) -> list[str]:
        """Return what was typed that fits no candidate: most likely a slip."""
        wanted = [(f"-p no:{name}", name) for name in self.off]
        wanted += [(f"{VARIABLE}: {name}", name) for name in self.only or ()]
        return [
            typed
            for typed, name in wanted
            if not any(c.is_called(name) or name.startswith(f"{c.module}.") for c in candidates)
        ]


def selection_from_environment(
    off: Iterable[str] = (), trusted: Iterable[str] | None = None
) -> Selection:
    """Return what ``CODONBENCH_PLUGINS`` selects, less `off`.

    Unset, it selects everything; empty, no plugin but the built-in ones; else those of the
    distributions, entry points or modules it lists, separated by commas, and the built-in ones.

    Args:
        off: Plugins not to load.
        trusted: Distributions and files that this process may import, besides those that the
            settings name; None for all.

    Raises:
        ConfigError: The settings are wrong.
    """
    listed = os.environ.get(VARIABLE)
    names = (name.strip() for name in (listed or "").split(","))
    only = None if listed is None else tuple(filter(None, names))
    if trusted is not None:
        trusted = (*trusted, *trusted_by_settings())
    return Selection(only, tuple(off), trusted)


def settings_file() -> Path:
    """Return where this user's settings are: ``trust = ["NAME", ...]``."""
    from platformdirs import user_config_path

    return user_config_path("codonbench", appauthor=False) / "settings.toml"


def trusted_by_settings() -> tuple[str, ...]:
    """Return the distributions and files that the settings trust; none without settings.

    Raises:
        ConfigError: They are not TOML, or say anything else.
    """
    path = settings_file()
    try:
        text = path.read_text(encoding="utf-8")
        from codonbench.records.files import parse_tables  # takes a while: pydantic

        settings = parse_tables(text)
    except FileNotFoundError:
        return ()
    except (OSError, ValueError, StoreError) as error:
        raise ConfigError(f"settings {path}: {error}") from error
    names = settings.pop("trust", [])
    if settings or not isinstance(names, list) or not all(isinstance(n, str) for n in names):
        raise ConfigError(f'settings {path}: expected trust = ["NAME", ...] and nothing else')
    return tuple(names)


@lru_cache(maxsize=64)  # a distribution parses its metadata each time it is asked
def _named(distribution: Distribution | None) -> tuple[str, str]:
    """Return a distribution's name and version; empty if its metadata lack them."""
    try:
        metadata = distribution.metadata  # type: ignore[union-attr]
        return str(metadata["Name"] or ""), str(metadata["Version"] or "")
    except Exception:  # they are missing or damaged, each Python says so in its own way
        return "", ""


def plain(name: str) -> str:
    """Return a name as packaging tools compare it: ``My_Model.x`` is ``my-model-x``."""
    return re.sub(r"[-_.]+", "-", name).lower()


def in_order(points: Iterable[EntryPoint]) -> list[tuple[EntryPoint, Candidate]]:
    """Return entry points, built-in ones first, so that no other plugin takes a name of theirs."""
    found = [(point, Candidate.of(point)) for point in points]
    return sorted(found, key=lambda pair: (not pair[1].built_in, pair[0].name, pair[0].value))
