"""Which plugins are wanted: ``CODONBENCH_PLUGINS`` and ``-p no:NAME``."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass

VARIABLE = "CODONBENCH_PLUGINS"

BUILT_IN = "codonbench"
"""The distribution whose plugins `VARIABLE` leaves alone: without them there would be no task to
run and no metric to score with, so that an empty list would switch the bench off."""


@dataclass(frozen=True)
class Candidate:
    """A plugin that might be loaded.

    Attributes:
        point: Its entry point's name, or its file's.
        distribution: Whose it is; empty where that is unknown.
        module: The dotted name of its module.
    """

    point: str
    distribution: str
    module: str

    @property
    def built_in(self) -> bool:
        """Whether it comes with codonbench."""
        return plain(self.distribution) == BUILT_IN

    def is_called(self, name: str) -> bool:
        """Return whether `name` is its entry point, its distribution, or its module or a part."""
        return (
            plain(name) in (plain(self.point), plain(self.distribution))
            or self.module == name
            or self.module.startswith(f"{name}.")
        )


@dataclass(frozen=True)
class Selection:
    """Which plugins are wanted; all of them by default.

    Attributes:
        only: Entry points, distributions or modules to load besides the built-in ones; None for
            every one that is installed.
        off: Entry points, distributions or modules not to load.
    """

    only: tuple[str, ...] | None = None
    off: tuple[str, ...] = ()

    def why_not(self, candidate: Candidate) -> str:
        """Return what switches `candidate` off, as it was typed; empty where nothing does."""
        for name in self.off:
            if candidate.is_called(name):
                return f"-p no:{name}"
        if self.only is None or candidate.built_in:
            return ""
        listed = any(candidate.is_called(name) for name in self.only)
        return "" if listed else f"{VARIABLE}={','.join(self.only)}"

    def names_nothing(self, candidates: Iterable[Candidate]) -> list[str]:
        """Return what was typed that fits no candidate: most likely a slip."""
        there = list(candidates)
        wanted = [(f"-p no:{name}", name) for name in self.off]
        wanted += [(f"{VARIABLE}: {name}", name) for name in self.only or ()]
        return [typed for typed, name in wanted if not any(c.is_called(name) for c in there)]


def selection_from_environment(off: Iterable[str] = ()) -> Selection:
    """Return what ``CODONBENCH_PLUGINS`` selects, less `off`.

    Unset, it selects everything; empty, no plugin but the built-in ones; else those of the
    distributions, entry points or modules it lists, separated by commas, and the built-in ones.
    """
    listed = os.environ.get(VARIABLE)
    if listed is None:
        return Selection(off=tuple(off))
    only = tuple(name.strip() for name in listed.split(",") if name.strip())
    return Selection(only, tuple(off))


def plain(name: str) -> str:
    """Return a name as packaging tools compare it: ``My_Model.x`` is ``my-model-x``."""
    return re.sub(r"[-_.]+", "-", name).lower()
