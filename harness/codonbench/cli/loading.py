"""The plugins, loaded for a command; one that did not load is said so, not passed over."""

from __future__ import annotations

import sys
from contextlib import redirect_stdout

from codonbench.cli.console import say
from codonbench.registry import Registry, load_registry


def load_plugins() -> Registry:
    """Return the registry; name on standard error each plugin that is missing from it.

    Raises:
        NameClashError: Two plugins register one name.
    """
    with redirect_stdout(sys.stderr):  # what a plugin prints on loading is no result
        registry = load_registry()
    for failure in registry.failures:
        whose = f" of {failure.distribution}" if failure.distribution else ""
        say(
            f"plugin {failure.module}{whose} did not load: {failure.error}; "
            "'bench plugins --debug' says more",
            style="yellow",
        )
    return registry
