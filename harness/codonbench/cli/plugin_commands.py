"""Commands that plugins add to `bench`: entry points of the group ``codonbench.commands``.

    [project.entry-points."codonbench.commands"]
    plot = "my_package.commands.plot:plot"

The name is the command's, the object a function as `typer.Typer.command` takes it, or a Typer
application. It is imported when its command is called, and for ``bench --help``: so its module
imports what is heavy within the function.
"""

from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points
from typing import Any

import typer
from typer.main import get_command

from codonbench.errors import PluginError
from codonbench.plugins.selection import Candidate, selection_from_environment

GROUP = "codonbench.commands"


def plugin_commands(switches: list[str] | None) -> dict[str, EntryPoint]:
    """Return the commands of the plugins that are wanted, by name; the built-in one has it.

    Args:
        switches: What ``-p`` was given: ``no:NAME``.
    """
    off = [switch.removeprefix("no:") for switch in switches or ()]
    wanted = selection_from_environment(off)
    points = sorted(entry_points(group=GROUP), key=lambda p: (not _candidate(p).built_in, p.value))
    found: dict[str, EntryPoint] = {}
    for point in points:
        if not wanted.why_not(_candidate(point)):
            found.setdefault(point.name, point)
    return found


def load_command(point: EntryPoint) -> Any:
    """Return a plugin's command.

    Raises:
        PluginError: It cannot be imported, or is no command.
    """
    try:
        loaded = point.load()
        app = loaded if isinstance(loaded, typer.Typer) else _app_of(point.name, loaded)
        command = get_command(app)
    except Exception as error:
        raise PluginError(
            f"command {point.name!r} of {_candidate(point).distribution} ({point.value}) "
            f"did not load: {error!r}; -p no:{point.name} leaves it out"
        ) from error
    command.name = point.name
    return command


def broken_command(name: str, error: PluginError) -> Any:
    """Return a command that stands for one that did not load: its help says why."""

    def fail() -> None:
        raise error

    fail.__doc__ = f"Did not load: {error.__cause__!r}"
    return get_command(_app_of(name, fail))


def _app_of(name: str, function: Any) -> typer.Typer:
    app = typer.Typer(
        add_completion=False, context_settings={"help_option_names": ["-h", "--help"]}
    )
    app.command(name)(function)
    return app


def _candidate(point: EntryPoint) -> Candidate:
    owner = point.dist.name if point.dist is not None else ""
    return Candidate(point.name, owner, point.module)
