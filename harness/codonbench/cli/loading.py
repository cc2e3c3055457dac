"""The plugins, loaded for a command; one that did not load is said so, not passed over."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from pathlib import Path

from codonbench.cli.console import say
from codonbench.cli.switches import selection
from codonbench.plugins.discovery import (
    discover,
    insist_on_file,
    insist_on_unique_names,
    own_points,
)
from codonbench.plugins.registry import Registry
from codonbench.plugins.selection import Candidate

_LONG = 10.0  # seconds after which a plugin that still loads is named


def load_plugins(
    files: Sequence[Path] | None = None,
    folders: Sequence[Path] | None = None,
    *,
    own_only: bool = False,
) -> Registry:
    """Return the registry; name on standard error each plugin that is missing from it.

    Args:
        files: Python files that register more.
        folders: Folders of such files.
        own_only: Load nothing but codonbench's own plugins.

    Raises:
        UsageError: A file or folder is not there.
        NameClashError: Two plugins register one name.
        PluginError: One of `files` does not load.
    """
    registry = survey_plugins(files, folders, own_only=own_only)
    for file in files or ():
        insist_on_file(registry, file)
    insist_on_unique_names(registry)
    for failure in registry.failures:
        place = f" ({failure.place})" if failure.place else ""
        say(
            f"plugin {failure.whose} did not load: {failure.error}{place}; "
            "'bench plugins' says more",
            style="yellow",
        )
    return registry


def survey_plugins(
    files: Sequence[Path] | None = None,
    folders: Sequence[Path] | None = None,
    *,
    own_only: bool = False,
) -> Registry:
    """Return the registry with all that is wrong noted in it, and nothing raised.

    Raises:
        UsageError: A file or folder is not there.
    """
    # What a plugin prints on loading is no result.
    with redirect_stdout(sys.stderr), _what_takes_long_named() as begun:
        points = own_points() if own_only else None
        registry = discover(points, selection(), files or (), folders or (), begun)
    for remark in registry.remarks:
        say(remark, style="yellow")
    return registry


@contextmanager
def _what_takes_long_named() -> Iterator[Callable[[Candidate], None]]:
    """Yield who is to be told of each plugin; one that hangs is named, as it cannot be ended."""
    latest: list[Candidate] = []
    over = threading.Event()

    def look() -> None:
        said = None
        while not over.wait(_LONG):
            for candidate in latest[-1:]:
                if candidate != said:
                    is_file = candidate.distribution.endswith(".py")
                    name = candidate.distribution if is_file else candidate.module
                    say(f"still loading {name}; Ctrl-C ends it", style="yellow")
                    said = candidate

    threading.Thread(target=look, daemon=True).start()
    try:
        yield latest.append
    finally:
        over.set()
