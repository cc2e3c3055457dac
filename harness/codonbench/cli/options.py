"""Command-line options: those that commands share, and those made from the fields of a schema."""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable, Iterable, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union, get_args, get_origin

import typer

from codonbench.errors import ConfigError

if TYPE_CHECKING:
    from pydantic import BaseModel
    from pydantic.fields import FieldInfo

RESULTS = Path("runs")
"""Where runs go unless told otherwise; official records are in a folder that has to be named."""


def board_folder(results: Path) -> Path:
    """Return where the board of a folder of records goes by default.

    Above a folder called ``results``, as in ``leaderboard/results``; else in a folder ``board``
    within it.
    """
    return results.parent if results.name == "results" else results / "board"


ResultsOption = Annotated[Path, typer.Option("--results", "-r", help="Folder of records.")]

PluginOption = Annotated[
    list[Path] | None,
    typer.Option("--plugin", help="A Python file that registers plugins; may be repeated."),
]

PluginsDirOption = Annotated[
    list[Path] | None,
    typer.Option(
        "--plugins-dir",
        help="A folder of such files, each *.py not beginning with _; may be repeated.",
    ),
]

DataOption = Annotated[
    str | None,
    typer.Option("--data", "-d", help="Where the data are, if their recorded name is no path."),
]

SwitchOption = Annotated[
    list[str] | None,
    typer.Option(
        "-p",
        metavar="no:NAME",
        is_eager=True,  # what --help lists depends on it
        help="Do not load the entry point, module or distribution NAME; may be repeated.",
    ),
]

SWITCHES_HELP = """\
CODONBENCH_PLUGINS says which plugins to load beside the built-in ones:
  unset     all that are installed
  empty     none; the built-in ones stay, or there were no task to run
  a,b       those of the distributions or entry points a and b
Files given with --plugin and --plugins-dir are loaded whatever it says."""


def hoist(arguments: Sequence[str]) -> list[str]:
    """Return a line with ``--debug`` and ``-p no:NAME`` first, wherever they stood.

    Both are thought of last, at the end of a line that has failed.
    """
    first: list[str] = []
    rest: list[str] = []
    words = iter(arguments)
    for word in words:
        if word == "--":
            rest += [word, *words]
        elif word == "-p":
            first += [word, next(words, "")]
        elif word == "--debug" or word.startswith("-pno:"):
            first.append(word)
        else:
            rest.append(word)
    return first + rest


def with_options_of(
    *schemas: type[BaseModel],
    names: Mapping[str, Sequence[str]],
    defaults: Mapping[str, Any],
    more: Mapping[str, Mapping[str, Any]],
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Give a command an option for each described field of some schemas.

    The command is called with ``values``: what was given or stands by default, by field name.
    Fields without a description are not asked for. On the command line several numbers are text,
    as in ``0-9``, and a table is ``FIELD=VALUE``, repeated.

    Args:
        schemas: Whose fields.
        names: Of options that are not called as their fields are.
        defaults: What stands by default where that is not the field's own.
        more: Further arguments of `typer.Option`, by field.
    """

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        own = inspect.signature(command, eval_str=True).parameters
        asked = {
            name: _parameter(
                field,
                names.get(name, (f"--{name.replace('_', '-')}",)),
                name=name,
                default=defaults.get(name, field.get_default(call_default_factory=True)),
                **more.get(name, {}),
            )
            for schema in schemas
            for name, field in schema.model_fields.items()
            if field.description
        }

        def wrapped(**given: Any) -> Any:
            values = {name: given.pop(name, one.default) for name, one in asked.items()}
            return command(**given, values=values)

        parameters = [*(p for p in own.values() if p.name != "values"), *asked.values()]
        wrapped.__doc__, wrapped.__name__ = command.__doc__, command.__name__
        wrapped.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        wrapped.__annotations__ = {p.name: p.annotation for p in parameters}
        return wrapped

    return decorate


def _parameter(
    field: FieldInfo, names: Sequence[str], *, name: str, default: Any, **more: Any
) -> inspect.Parameter:
    kind = _plain(field.annotation)
    if field.is_required() or default in ((), {}):
        default = None
    if get_origin(field.annotation) is dict:
        more["metavar"] = "FIELD=VALUE"
    option = typer.Option(
        *names, help=field.description, show_default=default not in (None, False), **more
    )
    kind = kind if default is not None else kind | None
    place = inspect.Parameter.KEYWORD_ONLY
    return inspect.Parameter(name, place, default=default, annotation=Annotated[kind, option])


def _plain(annotation: Any) -> Any:
    """Return the type that typer reads for that of a field."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin in (Union, types.UnionType):  # with None
        return _plain(inner[0])
    if origin is tuple and inner[0] is Path:
        return list[Path]
    if origin is dict:
        return list[str]
    return str if origin in (tuple, Literal) else annotation


def extra_options(arguments: Iterable[str], known: Iterable[str]) -> dict[str, str]:
    """Return options of a task that were given by their own names: ``--window-size 2``.

    Whether the task has such options is for the task to say.

    Args:
        arguments: What the command's own options leave.
        known: The command's own options, for those who have mistyped one. A task's option that
            is called nearly so has to be given by ``--task-set``.

    Raises:
        ConfigError: Names an argument that is no option, or is nearly one of the command's.
    """
    found: dict[str, str] = {}
    words = iter(arguments)
    for word in words:
        name, separator, value = word.removeprefix("--").partition("=")
        close = get_close_matches(f"--{name}", known, n=1, cutoff=0.8)
        if not word.startswith("--") or not name or close:
            hint = f"did you mean {close[0]!r}" if close else "'bench run --help' lists options"
            raise ConfigError(
                f"no option {word!r}; {hint}; options of the task are --NAME VALUE "
                "or --task-set NAME=VALUE"
            )
        value = value if separator else next(words, "")
        if not value or value.startswith("--"):
            raise ConfigError(f"option {word!r} lacks its value")
        if name.replace("-", "_") in found:
            raise ConfigError(f"option '--{name}' is given twice")
        found[name.replace("-", "_")] = value
    return found
