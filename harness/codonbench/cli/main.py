"""Where `bench` begins: argv in, exit code out; its commands, and those that plugins add.

    [project.entry-points."codonbench.commands"]
    plot = "my_package.commands.plot:plot"

The name is the command's, the object a function as `typer.Typer.command` takes it, or a Typer
application. It is imported when its command is called, and for ``bench --help``: so its module
imports what is heavy within the function.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterable
from importlib.metadata import EntryPoint, entry_points
from typing import Annotated, Any

import typer
from typer.core import TyperGroup
from typer.main import get_command

from codonbench import __version__
from codonbench.cli import audit, board, check, data, listing, new, records, score
from codonbench.cli.endings import EXIT_CODES_HELP, endings, open_standard_streams
from codonbench.cli.loading import switch_off
from codonbench.cli.options import SWITCHES_HELP, SwitchOption, hoist
from codonbench.errors import PluginError
from codonbench.plugins.selection import Candidate, selection_from_environment

GROUP = "codonbench.commands"
_OPEN = {"allow_extra_args": True, "ignore_unknown_options": True}  # a task has options, too


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
        return None if point is None else _load(point)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Return the command that is to be invoked; 'run' is imported here, not to be listed."""
        name, command, rest = super().resolve_command(ctx, args)
        if name == "run":
            from codonbench.cli.run import run

            command = get_command(_app_of("run", run, **_OPEN))
        return name, command, rest

    def make_context(self, *args: Any, **kwargs: Any) -> Any:
        """Read the options that come before the command; answer --help and --version."""
        with endings(debug=False):
            return super().make_context(*args, **kwargs)

    def invoke(self, ctx: Any) -> Any:
        """Run the command; raise typer.Exit where it does not end well."""
        with endings(debug=bool(ctx.params.get("debug"))):
            return super().invoke(ctx)


def plugin_commands(switches: Iterable[str] | None) -> dict[str, EntryPoint]:
    """Return the commands of the plugins that are wanted, by name; the built-in one has it.

    Args:
        switches: What ``-p`` was given: ``no:NAME``.
    """
    wanted = selection_from_environment([s.removeprefix("no:") for s in switches or ()])
    points = sorted(entry_points(group=GROUP), key=lambda p: (not _candidate(p).built_in, p.value))
    found: dict[str, EntryPoint] = {}
    for point in points:
        if not wanted.why_not(_candidate(point)):
            found.setdefault(point.name, point)
    return found


def _load(point: EntryPoint) -> Any:
    """Return a plugin's command, or one that says why it did not load."""
    try:
        loaded = point.load()
        app = loaded if isinstance(loaded, typer.Typer) else _app_of(point.name, loaded)
        command = get_command(app)
        command.name = point.name
        return command
    except Exception as error:
        problem, cause = (
            PluginError(
                f"command {point.name!r} of {_candidate(point).distribution} ({point.value}) "
                f"did not load: {error!r}; -p no:{point.name} leaves it out"
            ),
            error,
        )

    def fail() -> None:
        raise problem from cause

    fail.__doc__ = f"Did not load: {cause!r}"
    return get_command(_app_of(point.name, fail))


def _app_of(name: str, function: Any, **settings: bool) -> typer.Typer:
    settings_of_all = {"help_option_names": ["-h", "--help"]}
    app = typer.Typer(add_completion=False)
    app.command(name, context_settings=settings_of_all | settings)(function)
    return app


def _candidate(point: EntryPoint) -> Candidate:
    owner = point.dist.name if point.dist is not None else ""
    return Candidate(point.name, owner, point.module)


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
    # NumPy starts a thread a core as it is imported, a tenth of what `bench ls` takes.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    open_standard_streams()
    arguments = hoist(sys.argv[1:])
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # bars and dots on a terminal without Unicode
            stream.reconfigure(errors="replace")
    app(arguments, prog_name="bench")


if __name__ == "__main__":
    main()
