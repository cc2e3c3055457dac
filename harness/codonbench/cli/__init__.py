"""The command line: argv in, text and an exit code out; a file a command group.

Exit codes 1, 2 and 3 are also those of the exceptions in `codonbench.errors`.
"""

from types import MappingProxyType

DONE, FAILED, UNUSABLE, STALE, INTERRUPTED = 0, 1, 2, 3, 130

MEANINGS = MappingProxyType(
    {
        DONE: "all went well; never succeeding is a result, not a failure",
        FAILED: "a run ended in error, a plugin failed, or what was checked is not sound",
        UNUSABLE: "the request cannot be carried out",
        STALE: "--check of bench leaderboard, reproduce or score: something is out of date",
        INTERRUPTED: "Ctrl-C; the run in progress left a record with status interrupted",
    }
)
