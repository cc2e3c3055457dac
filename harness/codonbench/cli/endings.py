"""How a command ends: exit codes, and exceptions turned into one sentence and such a code.

Codes 1, 2 and 3 are also those of the exceptions in `codonbench.errors`.
"""

from __future__ import annotations

import errno
import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from types import MappingProxyType

import typer

from codonbench.errors import BenchError

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

EXIT_CODES_HELP = "\n".join(["Exit codes:", *(f"{k:>3}  {v}" for k, v in MEANINGS.items())])

_THE_DISK = (
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EACCES,
    errno.EPERM,
    errno.EROFS,
    errno.EFBIG,
    errno.ENAMETOOLONG,
)


@contextmanager
def endings(*, debug: bool) -> Iterator[None]:
    """Say in one sentence what went wrong, after its traceback where `debug`."""
    try:
        try:
            yield
        finally:
            sys.stdout.flush()  # here, where a full disk or a reader gone can still be told of
    except BrokenPipeError:  # as in `bench ls models | head`
        _discard_output()
        raise typer.Exit(DONE) from None
    except KeyboardInterrupt as error:
        raise _end(error, "interrupted", INTERRUPTED, debug) from error
    except BenchError as error:
        raise _end(error, str(error), error.exit_code, debug) from error
    except OSError as error:
        if error.errno not in _THE_DISK:
            raise
        if error.filename is None:
            _discard_output()
        sentence = f"{error.filename or 'standard output'}: {error.strerror}"
        raise _end(error, sentence, UNUSABLE, debug) from error


def open_standard_streams() -> None:
    """Open what of standard input, output and error is closed, so that no file takes its number."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest number that is free: this one
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, "w" if number else "r"))


def _end(error: BaseException, sentence: str, code: int, debug: bool) -> typer.Exit:
    if debug:
        traceback.print_exception(error)
    sys.stderr.write(f"bench: {sentence}\n")
    return typer.Exit(code)


def _discard_output() -> None:
    """Let what is still buffered go nowhere, or Python complains of it on its way out."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
