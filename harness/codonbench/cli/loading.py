"""The plugins, loaded for a command; one that did not load is said so, not passed over."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import redirect_stdout
from pathlib import Path

from codonbench.cli.console import say
from codonbench.registry import Registry, add_file, load_registry


def load_plugins(files: Sequence[Path] | None = None) -> Registry:
    """Return the registry; name on standard error each plugin that is missing from it.

    Args:
        files: Python files that register more.

    Raises:
        NameClashError: Two plugins register one name.
        PluginError: One of `files` does not load.
    """
    with redirect_stdout(sys.stderr):  # what a plugin prints on loading is no result
        registry = load_registry()
        for file in files or ():
            add_file(registry, file)
    for failure in registry.failures:
        whose = f" of {failure.distribution}" if failure.distribution else ""
        say(
            f"plugin {failure.module}{whose} did not load: {failure.error}; "
            "'bench plugins --debug' says more",
            style="yellow",
        )
    return registry
