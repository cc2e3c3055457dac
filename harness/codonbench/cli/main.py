"""Where `bench` begins: argv in, exit code out."""

from __future__ import annotations

import io
import sys
from typing import Annotated

import typer

from codonbench import __version__
from codonbench.cli import (
    audit,
    board,
    check,
    data,
    exit_codes,
    export,
    listing,
    new,
    plugins,
    run,
    score,
    show,
    sign,
    site,
    validate,
)
from codonbench.cli.endings import BenchGroup
from codonbench.cli.switches import SWITCHES_HELP, SwitchOption, hoist, switch_off

app = typer.Typer(
    name="bench",
    cls=BenchGroup,
    help="Benchmarks of genomic sequence models: train, score, rank, repeat.",
    epilog=f"{exit_codes.as_help()}\n\n{SWITCHES_HELP}",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
_OPEN = {"allow_extra_args": True, "ignore_unknown_options": True}  # a task has options, too
app.command("run", context_settings=_OPEN)(run.run)
app.command("show")(show.show)
app.command("score")(score.score)
app.command("leaderboard")(board.leaderboard)
app.command("site")(site.site)
app.command("verify")(audit.verify)
app.command("audit")(audit.audit)
app.command("export")(export.export)
app.command("validate")(validate.validate)
app.command("keygen")(sign.keygen)
app.command("sign")(sign.sign)
app.command("new")(new.new)
app.command("check")(check.check)
app.command("ls")(listing.ls)
app.command("plugins")(plugins.plugins)
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
    arguments = hoist(sys.argv[1:])
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # bars and dots on a terminal without Unicode
            stream.reconfigure(errors="replace")
    app(arguments, prog_name="bench")


if __name__ == "__main__":
    main()
