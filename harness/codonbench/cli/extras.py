"""What an optional extra brings, asked for before it is needed."""

from __future__ import annotations

from importlib.util import find_spec


def insist_on(extra: str, *modules: str) -> None:
    """Make sure that the modules of an extra are installed.

    Raises:
        UsageError: One is not; the message says how to install it.
    """
    from codonbench.errors import UsageError

    for module in modules:
        if find_spec(module) is None:
            raise UsageError(
                f"this needs {module}, which is not installed: pip install 'codonbench[{extra}]'"
            )
