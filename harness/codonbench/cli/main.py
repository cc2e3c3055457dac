"""Where `bench` begins: argv in, exit code out; its commands, and those that plugins add.

    [project.entry-points."codonbench.commands"]
    plot = "my_package.commands.plot:plot"

The name is the command's, the object a function as `typer.Typer.command` takes it, or a Typer
application. It is imported when its command is called, and for ``bench --help``: so its module
imports what is heavy within the function. Commands of others are imported only where ``--trust``
says so.
"""

from __future__ import annotations

import errno
import gc
import inspect
import io
import os
import re
import sys
import traceback
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import EntryPoint, entry_points
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

from codonbench import __version__
from codonbench.cli import DONE, INTERRUPTED, MEANINGS, UNUSABLE
from codonbench.cli.options import note
from codonbench.errors import BenchError, ConfigError, PluginError, UsageError
from codonbench.plugins.selection import Candidate, in_order, selection_from_environment

GROUP = "codonbench.commands"

SUMMARIES = {
    "run": "Train a model, score it, and show its rank.",
    "tune": "Tune a model's hyperparameters on training and validation items; write a preset file.",
    "show": "Show a run: its settings, its metrics, and what its task adds.",
    "score": "Score stored trajectories with the current metrics; exit 1 if one cannot be scored.",
    "explain": "Show what a trained model relies on: letters, motifs, embeddings.",
    "leaderboard": "Write the board to README.md, as Markdown, and to leaderboard.json.",
    "curves": "Show scores by the number of training examples, and the examples to reach row zero.",
    "compare": "Compare two models on the same seeds and test items: difference, interval, p.",
    "site": "Write the board as a web page that opens from disk.",
    "verify": "Repeat recorded runs and compare them with their records; exit 1 if one differs.",
    "audit": "Repeat a random sample of finished runs; exit 1 if one differs from its record.",
    "export": "Write the records as a table: one row per run, one column per metric.",
    "submit": "Write a submission: a model's checked records and the text of a pull request.",
    "validate": "Check records against format, checksum and rules; exit 1 if one is invalid.",
    "keygen": "Make a pair of Ed25519 keys for 'bench sign'.",
    "sign": "Sign your own records: each gets a signature beside it, RECORD.sig.",
    "new": "Write a plugin project for your own model, metric or task, with passing tests.",
    "check": "Check a model before it is run, and say what is wrong with it.",
    "ls": "List models, tasks, metrics, or the rows of the official board.",
    "plugins": "List plugins, their commands, and those that failed to load; exit 1 if any failed.",
    "data": "Download data, list them, check them.",
    "cluster": "Print a script that starts a cluster for bench run --on.",
    "audit-data": "Audit data for leaks: copies across splits, and rules that need no model.",
}
"""Our own commands, in the order of the help, which says this of them and imports none."""

_MODULES = {
    "records": ("show", "export", "validate", "keygen", "sign"),
    "board": ("leaderboard", "compare", "site", "curves"),
    "repeat": ("verify", "audit"),
    "listing": ("ls", "plugins"),
}
"""The modules of several commands; each other command has one of its own name."""


class BenchGroup(TyperGroup):
    """The commands of `bench`, and those of plugins, which are loaded when they are called.

    Exceptions become exit codes here, before Typer handles them.
    """

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names of all commands: ours in their order, then those of plugins."""
        return list(commands(ctx.params.get("switches")))

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return a command; None where there is none of that name. Ours are not loaded for it."""
        if cmd_name in SUMMARIES:
            return TyperCommand(cmd_name, help=SUMMARIES[cmd_name])
        point = commands(ctx.params.get("switches")).get(cmd_name)
        trusted = tuple(ctx.params.get("trusted") or ())
        return None if point is None else load_command(point, trusted)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Return the command that is to be invoked."""
        name, command, rest = super().resolve_command(ctx, args)
        if name in SUMMARIES:
            command = load_command(own_commands()[name])
        return name, command, rest

    def make_context(self, *args: Any, **kwargs: Any) -> Any:
        """Read the options that come before the command; answer --help and --version."""
        with _errors_as_exit_codes(debug=False):
            return super().make_context(*args, **kwargs)

    def invoke(self, ctx: Any) -> Any:
        """Run the command; raise typer.Exit where it does not end well."""
        with _errors_as_exit_codes(debug=bool(ctx.params.get("debug"))):
            return super().invoke(ctx)


_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
"""Of a command; what is called otherwise could not be typed, or would steer the terminal."""

_OF_THE_DISK = {"ENOSPC", "EDQUOT", "EACCES", "EPERM", "EROFS", "EFBIG", "ENAMETOOLONG"}


@contextmanager
def _errors_as_exit_codes(*, debug: bool) -> Iterator[None]:
    """Say in one sentence what went wrong, after its traceback where `debug`."""
    try:
        try:
            yield
        finally:
            sys.stdout.flush()  # here, where a full disk or a closed pipe can still be reported
    except BrokenPipeError:  # as in `bench ls models | head`
        _discard_output()
        raise typer.Exit(DONE) from None
    except KeyboardInterrupt as error:
        raise _exit(error, "interrupted", INTERRUPTED, debug) from error
    except BenchError as error:
        raise _exit(error, str(error), error.exit_code, debug) from error
    except OSError as error:
        if errno.errorcode.get(error.errno or 0) not in _OF_THE_DISK:
            raise
        if error.filename is None:
            _discard_output()
        sentence = f"{error.filename or 'standard output'}: {error.strerror}"
        raise _exit(error, sentence, UNUSABLE, debug) from error


def _exit(error: BaseException, sentence: str, code: int, debug: bool) -> typer.Exit:
    from codonbench.records.files import printable_lines  # `bench --help` need not

    if debug:
        sys.stderr.write(printable_lines("".join(traceback.format_exception(error))))
    message = sentence.strip() or f"{type(error).__name__}, without a message"
    sys.stderr.write(f"bench: {printable_lines(message)}\n")
    return typer.Exit(code)


def _discard_output() -> None:
    """Let what is still buffered go nowhere, or Python complains of it on its way out."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def own_commands() -> dict[str, EntryPoint]:
    """Return our own commands by name, in the order of the help."""
    modules = {name: module for module, names in _MODULES.items() for name in names}
    places = {n: f"codonbench.cli.{modules.get(n, n)}:{n}".replace("-", "_") for n in SUMMARIES}
    return {name: EntryPoint(name, place, GROUP) for name, place in places.items()}


def commands(switches: Iterable[str] | None = None) -> dict[str, EntryPoint]:
    """Return all commands by name: ours, and those of plugins, which cannot take a name of ours.

    Args:
        switches: Values of ``-p``: ``no:NAME``.
    """
    found = own_commands()
    wanted = selection_from_environment([s.removeprefix("no:") for s in switches or ()], ())
    for point, candidate in in_order(entry_points(group=GROUP)):
        if _NAME.fullmatch(point.name) and not wanted.why_not(candidate):
            found.setdefault(point.name, point)
    return found


def load_command(point: EntryPoint, trusted: Sequence[str] = ()) -> Any:
    """Return a command; a plugin's that does not load, as one that says so.

    Args:
        point: Entry point of the command.
        trusted: Whose may be imported beside our own and those that the settings name.
    """
    candidate = Candidate.of(point)
    wanted = selection_from_environment((), trusted)
    if point.name not in SUMMARIES and not wanted.trusts(candidate):
        return _refusing(point.name, candidate)
    try:
        loaded = point.load()
        app = loaded if isinstance(loaded, typer.Typer) else _app_of(point.name, loaded)
        command = get_command(app)
        command.name = point.name
        _unwrap(command)
        return command
    except Exception as error:
        if point.name in SUMMARIES:
            raise
        cause = error

    def fail() -> None:
        raise PluginError(
            f"command {point.name!r} of {Candidate.of(point).distribution} ({point.value}) "
            f"did not load: {cause!r}; -p no:{point.name} leaves it out"
        ) from cause

    fail.__doc__ = _printable(f"Did not load: {cause!r}")
    return get_command(_app_of(point.name, fail, any_words=True))


def _unwrap(command: Any) -> None:
    """Join the lines of each paragraph of a command's help: the terminal wraps them.

    Typer keeps line breaks behind the first paragraph, which in a narrower terminal leave words
    on lines of their own. As in click, a paragraph with a backspace stays as it is.
    """
    if command.help:
        paragraphs = inspect.cleandoc(command.help).split("\n\n")
        command.help = "\n\n".join(p if "\b" in p else p.replace("\n", " ") for p in paragraphs)
    for below in getattr(command, "commands", {}).values():
        _unwrap(below)


def _refusing(name: str, candidate: Candidate) -> Any:
    """Return a command that fails with the reason why it is not loaded."""

    def refuse() -> None:
        from codonbench.plugins.registry import Refused  # `bench --help` need not

        raise UsageError(Refused("command", name, candidate).why)

    of = candidate.distribution
    refuse.__doc__ = _printable(f"Of {of}; needs --trust {of}.")
    return get_command(_app_of(name, refuse, any_words=True))


def _printable(text: str) -> str:
    """Return a plugin's text, safe to print."""
    from codonbench.records.files import printable  # `bench --help` need not

    return printable(text)


def _app_of(name: str, function: Any, *, any_words: bool = False) -> typer.Typer:
    settings: dict[str, Any] = {"help_option_names": ["-h", "--help"]}
    if any_words or name == "run":  # a task has options, too
        settings |= {"allow_extra_args": True, "ignore_unknown_options": True}
    app = typer.Typer(add_completion=False)
    app.command(name, cls=OneOfEach, context_settings=settings)(function)
    return app


class OneOfEach(TyperCommand):
    """A command that refuses an option of `_ONE` given twice, where it would take the last."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read its options.

        Raises:
            ConfigError: One of these is given twice, where the command takes one.
        """
        *_, given = self.make_parser(ctx).parse_args([*args])
        for each in given:
            if each.name in _ONE and not each.multiple and given.count(each) > 1:
                runs = ctx.command.name == "run" and each.name != "suite"
                hint = "; a list of runs is a suite, see --suite" if runs else ""
                raise ConfigError(f"{each.opts[0]} is given twice, and one is taken{hint}")
        return super().parse_args(ctx, args)


_ONE = ("model", "task", "data", "suite", "preset_file")
"""Options that may not be given twice. Of others the last counts, as in other programs."""


_HELP = """\
Exit codes:
{codes}

CODONBENCH_PLUGINS says which plugins to load beside the built-in ones:
  unset     all that are installed
  empty     none
  a,b       those of the distributions or entry points a and b
Files given with --plugin and --plugins-dir are loaded whatever it says.
Models of others are loaded in separate processes; their tasks, metrics and commands
only if --trust NAME, or the settings, allow it: see docs/security.md."""

app = typer.Typer(
    name="bench",
    cls=BenchGroup,
    help="Benchmarks of genomic sequence models: train, score, rank, repeat.",
    epilog=_HELP.format(codes="\n".join(f"{code:>3}  {says}" for code, says in MEANINGS.items())),
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"codonbench {__version__}")
        raise typer.Exit


@app.callback()
def options(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    switches: Annotated[
        list[str] | None,
        typer.Option(
            "-p",
            metavar="no:NAME",
            is_eager=True,  # what --help lists depends on it
            help="Do not load the entry point, module or distribution NAME; may be repeated.",
        ),
    ] = None,
    trusted: Annotated[
        list[str] | None,
        typer.Option(
            "--trust",
            metavar="NAME",
            is_eager=True,
            help="Trust the distribution or file NAME: load its plugins in this process; "
            "may be repeated.",
        ),
    ] = None,
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Print and exit."),
    ] = False,
) -> None:
    """Options of every command; --debug, -p and --trust may stand anywhere on the line."""
    note(debug=debug, switches=switches or (), trusted=tuple(trusted or ()))


def _hoisted(arguments: Sequence[str]) -> list[str]:
    """Return a line with ``--debug``, ``-p`` and ``--trust`` first, wherever they stood.

    They are thought of last, at the end of a line that has failed.
    """
    first: list[str] = []
    rest: list[str] = []
    words = iter(arguments)
    for word in words:
        if word == "--":
            rest += [word, *words]
        elif word in ("-p", "--trust"):
            first += [word, next(words, "")]
        elif word == "--debug" or word.startswith(("-pno:", "--trust=")):
            first.append(word)
        else:
            rest.append(word)
    return first + rest


def _open_standard_streams() -> None:
    """Open what of standard input, output and error is closed, so that no file takes its number."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest number that is free: this one
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, "w" if number else "r"))


def main() -> None:
    """Run the command line and exit with its code."""
    # NumPy starts a thread a core as it is imported, a tenth of what `bench ls` takes.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    # pydantic imports plugins of its own from every distribution, also from those not trusted.
    os.environ["PYDANTIC_DISABLE_PLUGINS"] = "__all__"
    # A search for cyclic garbage after every 700 new objects is a twentieth of `bench ls`. All
    # objects are looked through about as often as by default, every 200,000.
    gc.set_threshold(50_000, 2, 2)
    _open_standard_streams()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # bars and dots on a terminal without Unicode
            stream.reconfigure(errors="replace")
    app(_hoisted(sys.argv[1:]), prog_name="bench")


if __name__ == "__main__":
    main()
