"""The plugins, loaded for a command; one that did not load is said so, not passed over."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from contextvars import ContextVar
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from codonbench.errors import UsageError
from codonbench.plugins.selection import Candidate, Selection, selection_from_environment

if TYPE_CHECKING:
    from codonbench.plugins.registry import Registry

_LONG = 10.0  # seconds after which a plugin that still loads is named
_off: ContextVar[tuple[str, ...]] = ContextVar("off", default=())


def switch_off(switches: Sequence[str]) -> None:
    """Note what ``-p`` switches off, for `selection`.

    Raises:
        UsageError: One of them is not ``no:NAME``.
    """
    for switch in switches:
        if not switch.removeprefix("no:") or not switch.startswith("no:"):
            raise UsageError(f"-p {switch!r}: expected no:NAME, which switches a plugin off")
    _off.set(tuple(switch.removeprefix("no:") for switch in switches))


def selection() -> Selection:
    """Return what this line and its environment select."""
    return selection_from_environment(_off.get())


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
    from codonbench.cli.console import say
    from codonbench.plugins.discovery import insist_on_file, insist_on_unique_names

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
    from codonbench.cli.console import say
    from codonbench.plugins.discovery import discover, own_points

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
    from codonbench.cli.console import say

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


def insist_on(extra: str, *modules: str) -> None:
    """Make sure that the modules of an optional extra are installed.

    Raises:
        UsageError: One is not; the message says how to install it.
    """
    for module in modules:
        if find_spec(module) is None:
            raise UsageError(
                f"this needs {module}, which is not installed: pip install 'codonbench[{extra}]'"
            )
