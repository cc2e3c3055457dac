"""How a command ends: exceptions turned into one sentence and an exit code."""

from __future__ import annotations

import errno
import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import typer
from typer.core import TyperGroup

from codonbench.cli.exit_codes import DONE, INTERRUPTED, UNUSABLE
from codonbench.cli.plugin_commands import broken_command, load_command, plugin_commands
from codonbench.errors import BenchError, PluginError

_THE_DISK = (
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EACCES,
    errno.EPERM,
    errno.EROFS,
    errno.EFBIG,
    errno.ENAMETOOLONG,
)


class BenchGroup(TyperGroup):
    """The commands of `bench`, and those of plugins, which are loaded when they are called.

    Their exceptions end here, before Typer has a say in them.
    """

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names of all commands: ours in their order, then those of plugins."""
        ours = super().list_commands(ctx)
        return [*ours, *(n for n in plugin_commands(ctx.params.get("switches")) if n not in ours)]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return a command; None where there is none of that name."""
        ours = super().get_command(ctx, cmd_name)
        if ours is not None:
            return ours
        point = plugin_commands(ctx.params.get("switches")).get(cmd_name)
        if point is None:
            return None
        try:
            return load_command(point)
        except PluginError as error:
            return broken_command(cmd_name, error)

    def make_context(self, *args: Any, **kwargs: Any) -> Any:
        """Read the options that come before the command; answer --help and --version."""
        with _endings(debug=False):
            return super().make_context(*args, **kwargs)

    def invoke(self, ctx: Any) -> Any:
        """Run the command; raise typer.Exit where it does not end well."""
        with _endings(debug=bool(ctx.params.get("debug"))):
            return super().invoke(ctx)


@contextmanager
def _endings(*, debug: bool) -> Iterator[None]:
    """Say in one sentence what went wrong, after its traceback where `debug`."""
    try:
        try:
            yield
        except typer.Exit:
            sys.stdout.flush()
            raise
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


def _end(error: BaseException, sentence: str, code: int, debug: bool) -> typer.Exit:
    if debug:
        traceback.print_exception(error)
    sys.stderr.write(f"bench: {sentence}\n")
    return typer.Exit(code)


def _discard_output() -> None:
    """Let what is still buffered go nowhere, or Python complains of it on its way out."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
