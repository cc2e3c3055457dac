"""What an exit code of `bench` means.

Codes 1, 2 and 3 are also those of the exceptions in `codonbench.errors`.
"""

DONE = 0
"""All went well. A model that never deciphers is a result, not a failure."""

FAILED = 1
"""A run ended in status ``error``, or a plugin failed."""

UNUSABLE = 2
"""What was asked for cannot be done as asked."""

STALE = 3
"""Committed output is not what the records give (``--check``)."""

INTERRUPTED = 130
"""Ctrl-C; the run in progress left a record with status ``interrupted``."""
