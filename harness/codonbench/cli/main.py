"""Where `bench` begins: argv in, exit code out."""

from __future__ import annotations

import io
import sys
from typing import Annotated

import typer

from codonbench import __version__
from codonbench.cli import audit, board, check, data, exit_codes, listing, run, show
from codonbench.cli.endings import BenchGroup

app = typer.Typer(
    name="bench",
    cls=BenchGroup,
    help="How many training pairs does a model need to decipher the genetic code?",
    epilog=exit_codes.as_help(),
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("run")(run.run)
app.command("show")(show.show)
app.command("leaderboard")(board.leaderboard)
app.command("verify")(audit.verify)
app.command("audit")(audit.audit)
app.command("check")(check.check)
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
    """Options of every command; --debug may stand anywhere on the line."""


def main() -> None:
    """Run the command line and exit with its code."""
    arguments = [a for a in sys.argv[1:] if a != "--debug"]
    if len(arguments) < len(sys.argv[1:]):  # it is added to the end of a line that has failed
        arguments.insert(0, "--debug")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # bars and dots on a terminal without Unicode
            stream.reconfigure(errors="replace")
    app(arguments, prog_name="bench")


if __name__ == "__main__":
    main()
