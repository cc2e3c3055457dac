"""Command-line options made from the fields of a schema."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from difflib import get_close_matches
from typing import Annotated, Any, get_args, get_type_hints

import typer
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from codonbench.errors import ConfigError


class Flag:
    """How a field is asked for on the command line, where that does not follow from the field.

    Args:
        names: The option's names, as in ``--set``.
        metavar: What stands for its value in the help.
        kind: Its type on the command line; the field's own by default.
        default: What stands for its default in the help.
        envvar: An environment variable that gives it.
    """

    def __init__(
        self,
        *names: str,
        metavar: str | None = None,
        kind: Any = None,
        default: Any = ...,
        envvar: str | None = None,
    ) -> None:
        self.names = names
        self.metavar = metavar
        self.kind = kind
        self.default = default
        self.envvar = envvar


def with_options_of(
    *schemas: type[BaseModel], **flags: Flag
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Give a command an option for each described field of some schemas.

    The command is called with ``values``: what was given or stands by default, by field name.
    Fields without a description are not asked for.

    Args:
        schemas: Whose fields.
        flags: How some of the fields are asked for.
    """

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        hints = get_type_hints(command, include_extras=True)
        own = inspect.signature(command).parameters.values()
        kept = [p.replace(annotation=hints[p.name]) for p in own if p.name != "values"]
        asked = [
            _parameter(name, field, flags.get(name, Flag()))
            for schema in schemas
            for name, field in schema.model_fields.items()
            if field.description
        ]
        names = [parameter.name for parameter in asked]

        def wrapped(**given: Any) -> Any:
            values = {name: given.pop(name) for name in names}
            return command(**given, values=values)

        wrapped.__doc__ = command.__doc__
        wrapped.__name__ = command.__name__
        wrapped.__signature__ = inspect.Signature([*kept, *asked])  # type: ignore[attr-defined]
        wrapped.__annotations__ = {p.name: p.annotation for p in (*kept, *asked)}
        return wrapped

    return decorate


def _parameter(name: str, field: FieldInfo, flag: Flag) -> inspect.Parameter:
    default = field.get_default(call_default_factory=True) if flag.default is ... else flag.default
    if field.is_required() and flag.default is ...:
        default = None
    kind = flag.kind or _plain(field.annotation)
    names = flag.names or (f"--{name.replace('_', '-')}",)
    option = typer.Option(
        *names,
        help=field.description,
        metavar=flag.metavar,
        envvar=flag.envvar,
        show_default=default not in (None, False),
    )
    return inspect.Parameter(
        name,
        inspect.Parameter.KEYWORD_ONLY,
        default=default,
        annotation=Annotated[kind if default is not None else kind | None, option],
    )


def _plain(annotation: Any) -> Any:
    """Return the type that typer reads: the one beside None, and text for what is a choice."""
    choices = [a for a in get_args(annotation) if a is not type(None)]
    if choices and all(isinstance(choice, str) for choice in choices):
        return str
    if len(choices) == 1 and type(None) in get_args(annotation):
        return _plain(choices[0])
    return annotation


def extra_options(arguments: Iterable[str], known: Iterable[str]) -> dict[str, str]:
    """Return options of a task that were given by their own names: ``--genetic-code 2``.

    Whether the task has such options is for the task to say.

    Args:
        arguments: What the command's own options leave.
        known: The command's own options, for those who have mistyped one.

    Raises:
        ConfigError: Names an argument that is no option, or is nearly one of the command's.
    """
    found: dict[str, str] = {}
    words = iter(arguments)
    for word in words:
        name, separator, value = word.removeprefix("--").partition("=")
        close = get_close_matches(f"--{name}", known, n=1)
        if not word.startswith("--") or not name or close:
            hint = (
                f"; did you mean {close[0]!r}?" if close else "; 'bench run --help' lists options"
            )
            raise ConfigError(f"no option {word!r}{hint}")
        value = value if separator else next(words, "")
        if not value or value.startswith("--"):
            raise ConfigError(f"option {word!r} lacks its value")
        found[name.replace("-", "_")] = value
    return found
