"""What an exit code of `bench` means.

Codes 1, 2 and 3 are also those of the exceptions in `codonbench.errors`.
"""

from __future__ import annotations

from types import MappingProxyType

DONE, FAILED, UNUSABLE, STALE, INTERRUPTED = 0, 1, 2, 3, 130

MEANINGS = MappingProxyType(
    {
        DONE: "all went well; never succeeding is a result, not a failure",
        FAILED: "a run ended in error, a plugin failed, or what was checked is not sound",
        UNUSABLE: "what was asked for cannot be done as asked",
        STALE: "--check of bench leaderboard, reproduce or score: something is out of date",
        INTERRUPTED: "Ctrl-C; the run in progress left a record with status interrupted",
    }
)


def as_help() -> str:
    """Return the table, for the end of ``bench --help``."""
    lines = [f"{code:>3}  {meaning}" for code, meaning in MEANINGS.items()]
    return "\n".join(("Exit codes:", *lines))
