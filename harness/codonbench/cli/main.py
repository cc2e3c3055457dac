"""Where `bench` begins: argv in, exit code out."""

from __future__ import annotations

import io
import sys
from typing import Annotated

import typer

from codonbench import __version__
from codonbench.cli import audit, board, check, data, listing, new, records, score
from codonbench.cli.endings import EXIT_CODES_HELP, open_standard_streams
from codonbench.cli.group import BenchGroup
from codonbench.cli.loading import switch_off
from codonbench.cli.options import SWITCHES_HELP, SwitchOption, hoist

app = typer.Typer(
    name="bench",
    cls=BenchGroup,
    help="Benchmarks of genomic sequence models: train, score, rank, repeat.",
    epilog=f"{EXIT_CODES_HELP}\n\n{SWITCHES_HELP}",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.command("run")
def _run() -> None:
    """Train a model, score it, and show where it stands."""
    # BenchGroup calls codonbench.cli.run instead, which takes long to import.


for command in (
    *(records.show, score.score, board.leaderboard, board.site, audit.verify, audit.audit),
    *(records.export, records.validate, records.keygen, records.sign),
    *(new.new, check.check, listing.ls, listing.plugins),
):
    app.command(command.__name__)(command)
app.add_typer(data.app, name="data")


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"codonbench {__version__}")
        raise typer.Exit


@app.callback()
def options(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    switches: SwitchOption = None,
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Print and exit."),
    ] = False,
) -> None:
    """Options of every command; --debug and -p may stand anywhere on the line."""
    switch_off(switches or [])


def main() -> None:
    """Run the command line and exit with its code."""
    open_standard_streams()
    arguments = hoist(sys.argv[1:])
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # bars and dots on a terminal without Unicode
            stream.reconfigure(errors="replace")
    app(arguments, prog_name="bench")


if __name__ == "__main__":
    main()
