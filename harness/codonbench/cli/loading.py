"""The plugins, loaded for a command; one that did not load is said so, not passed over."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import redirect_stdout
from pathlib import Path

from codonbench.cli.console import say
from codonbench.cli.switches import selection
from codonbench.discovery import discover, insist_on_file, insist_on_unique_names, own_points
from codonbench.registry import Registry


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
    with redirect_stdout(sys.stderr):  # what a plugin prints on loading is no result
        points = own_points() if own_only else None
        registry = discover(points, selection(), files or (), folders or ())
    for remark in registry.remarks:
        say(remark, style="yellow")
    return registry
