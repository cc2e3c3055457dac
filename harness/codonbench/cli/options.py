"""Command-line options that commands share or that a schema gives, and the plugins they select."""

from __future__ import annotations

import inspect
import sys
import threading
import types
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from contextvars import ContextVar
from difflib import get_close_matches
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union, get_args, get_origin

import typer

from codonbench.cli.console import say
from codonbench.errors import ConfigError, UsageError
from codonbench.plugins.selection import Candidate, Selection, selection_from_environment

if TYPE_CHECKING:
    from pydantic import BaseModel
    from pydantic.fields import FieldInfo

    from codonbench.execution.describe import AskPlugin
    from codonbench.plugins.failures import Failure
    from codonbench.plugins.registry import Registry

RESULTS = Path("runs")
"""Where runs go by default; the folder of official records has to be named."""

ResultsOption = Annotated[Path, typer.Option("--results", "-r", help="Folder of records.")]

PluginOption = Annotated[
    list[Path] | None,
    typer.Option("--plugin", help="A Python file that registers plugins; may be repeated."),
]

PluginsDirOption = Annotated[
    list[Path] | None,
    typer.Option(
        "--plugins-dir",
        help="A folder of such files (*.py, except names that begin with _); may be repeated.",
    ),
]

DataOption = Annotated[
    str | None,
    typer.Option("--data", "-d", help="The path of the data, if their recorded name is not one."),
]

TaskSettingsOption = Annotated[
    list[str] | None,
    typer.Option("--task-set", metavar="FIELD=VALUE", help="As for 'bench run'; repeated."),
]

_debug: ContextVar[bool] = ContextVar("debug", default=False)
_off: ContextVar[tuple[str, ...]] = ContextVar("off", default=())
_trusted: ContextVar[tuple[str, ...] | None] = ContextVar("trusted", default=())
_LONG = 10.0  # seconds after which a plugin that still loads is named


def note(
    *,
    debug: bool = False,
    switches: Sequence[str] = (),
    trusted: tuple[str, ...] | None = (),
) -> None:
    """Note the options that stand before a command, for `debug` and `selection`.

    Args:
        debug: Whether to show tracebacks.
        switches: Plugins to switch off: ``no:NAME``.
        trusted: Plugins that this process may import; None for all.

    Raises:
        UsageError: A switch is not ``no:NAME``.
    """
    for switch in switches:
        if not switch.removeprefix("no:") or not switch.startswith("no:"):
            raise UsageError(f"-p {switch!r}: expected no:NAME, which switches a plugin off")
    _debug.set(debug)
    _off.set(tuple(switch.removeprefix("no:") for switch in switches))
    _trusted.set(trusted)


def debug() -> bool:
    """Return whether tracebacks are requested."""
    return _debug.get()


def selection(trusted: Sequence[str] = ()) -> Selection:
    """Return which plugins this line and its environment select; it trusts `trusted`, too."""
    known = _trusted.get()
    return selection_from_environment(_off.get(), None if known is None else (*known, *trusted))


def load_plugins(
    files: Sequence[Path] | None = None,
    folders: Sequence[Path] | None = None,
    asking: Callable[[Registry], AskPlugin] | None = None,
    trusted: Sequence[str] = (),
    *,
    listing: str = "",
) -> Registry:
    """Return the registry; name on standard error each plugin that is missing from it.

    Args:
        files: Python files that register more.
        folders: Folders of such files.
        asking: As for `survey_plugins`.
        trusted: Likewise.
        listing: ``models``, ``tasks`` or ``metrics`` where all of them are to be listed.

    Raises:
        UsageError: A file or folder is not there, or nothing of a file may be loaded here.
        NameClashError: Two plugins register one name.
        PluginError: One of `files` does not load.
    """
    registry = survey_plugins(files, folders, asking, trusted, installed=listing == "models")
    if listing:
        len(getattr(registry, listing))  # those that wait are imported
    registry.check_files(files or ())
    print_failures(registry.failures)
    return registry


def print_failures(failures: Iterable[Failure]) -> None:
    """Name on standard error what did not load."""
    for failure in failures:
        say(
            f"plugin {failure.whose} did not load: {failure.why}; 'bench plugins' says more",
            style="yellow",
        )


def files_of(model: str | None, files: Sequence[Path] | None) -> tuple[Path, ...]:
    """Return the plugin files that are given, and with them the one that stands for a model."""
    own = (Path(model),) if model is not None and model.endswith(".py") else ()
    return tuple(dict.fromkeys((*(files or ()), *own)))


def name_of(model: str, registry: Registry) -> str:
    """Return the name of a model, which may be given as the file that it is alone in.

    Raises:
        ConfigError: The file registers no model, or several.
    """
    return registry.model_of_file(Path(model)) if model.endswith(".py") else model


def survey_plugins(
    files: Sequence[Path] | None,
    folders: Sequence[Path] | None,
    asking: Callable[[Registry], AskPlugin] | None = None,
    trusted: Sequence[str] = (),
    *,
    installed: bool,
) -> Registry:
    """Return the registry with all that is wrong noted in it, and nothing else raised.

    Args:
        files: Python files that register more.
        folders: Folders of such files.
        asking: Given the registry so far, returns what asks untrusted plugins what they register;
            by default a process is started for each.
        trusted: Further plugins that this process may import, by name or path.
        installed: Whether to ask untrusted distributions, too, and not only files.

    Raises:
        UsageError: A file or folder is not there.
    """
    from codonbench.plugins.discovery import discover  # `bench --help` need not

    # What a plugin prints on loading is no result.
    with redirect_stdout(sys.stderr), _slow_ones_named() as begun:
        registry = discover(None, selection(trusted), files or (), folders or (), begun)
        untrusted = [each for each in registry.undescribed if installed or each.is_one_file]
        if untrusted:
            from codonbench.execution.describe import ask_new_worker, describe

            describe(registry, untrusted, asking(registry) if asking else ask_new_worker)
    for remark in registry.remarks:
        say(remark, style="yellow")
    return registry


@contextmanager
def _slow_ones_named() -> Iterator[Callable[[Candidate], None]]:
    """Yield what to call with each plugin; one that takes long is named, as it cannot be ended."""
    latest: list[Candidate] = []
    over = threading.Event()

    def look() -> None:
        shown = None
        while not over.wait(_LONG):
            if latest and latest[-1] != shown:
                shown = latest[-1]
                is_file = shown.distribution.endswith(".py")
                name = shown.distribution if is_file else shown.module
                say(f"still loading {name}; Ctrl-C ends it", style="yellow")

    threading.Thread(target=look, daemon=True).start()
    try:
        yield latest.append
    finally:
        over.set()


def insist_on(extra: str, *modules: str) -> None:
    """Make sure that the modules of an optional extra are installed.

    Raises:
        UsageError: One is not; the message says how to install it.
    """
    for module in modules:
        if find_spec(module) is None:
            raise UsageError(
                f"this needs {module}, which is not installed: pip install 'codonbench[{extra}]'"
            )


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
        fields = {
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
            values = {name: given.pop(name, one.default) for name, one in fields.items()}
            return command(**given, values=values)

        parameters = [*(p for p in own.values() if p.name != "values"), *fields.values()]
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
    if origin in (Union, types.UnionType, Annotated):  # with None, or with bounds
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
        arguments: Arguments not parsed by the command's own options.
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
            raise ConfigError(
                f"option {word!r} is none of bench's and, as one of the task's, "
                "--NAME VALUE, lacks its value; 'bench run --help' lists options"
            )
        if name.replace("-", "_") in found:
            raise ConfigError(f"option '--{name}' is given twice")
        found[name.replace("-", "_")] = value
    return found
