"""Where `bench` begins and ends: argv in, exit code out, exceptions turned into sentences."""

from __future__ import annotations

import errno
import os
import sys
from typing import Annotated

import typer

from codonbench import __version__
from codonbench.cli import audit, board, data, listing, run, show
from codonbench.cli.exit_codes import DONE, INTERRUPTED, UNUSABLE
from codonbench.errors import BenchError

app = typer.Typer(
    name="bench",
    help="How many training pairs does a model need to decipher the genetic code?",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("run")(run.run)
app.command("show")(show.show)
app.command("leaderboard")(board.leaderboard)
app.command("verify")(audit.verify)
app.command("audit")(audit.audit)
app.command("ls")(listing.ls)
app.command("plugins")(listing.plugins)
app.add_typer(data.app, name="data")


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"codonbench {__version__}")
        raise typer.Exit


@app.callback()
def options(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Print and exit."),
    ] = False,
) -> None:
    """Options that come before the command."""


def main() -> None:
    """Run the command line and exit with its code."""
    debug = "--debug" in sys.argv
    if debug:  # accepted anywhere, because it is added to a command that has just failed
        sys.argv = [sys.argv[0], "--debug", *(a for a in sys.argv[1:] if a != "--debug")]
    try:
        code = app(standalone_mode=True)
    except KeyboardInterrupt:
        _say("interrupted")
        code = INTERRUPTED
    except BrokenPipeError:  # the reader of our output has gone, as in `bench ls models | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = DONE
    except BenchError as error:
        if debug:
            raise
        _say(str(error))
        code = error.exit_code
    except OSError as error:
        if debug or error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS):
            raise
        _say(f"{error.filename or 'a file'}: {error.strerror}")
        code = UNUSABLE
    sys.exit(code)


def _say(message: str) -> None:
    sys.stderr.write(f"bench: {message}\n")


if __name__ == "__main__":
    main()
