"""`bench check`: is a model what the contract asks? In words, within seconds, on a CPU."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any

import typer

from codonbench.cli.endings import FAILED
from codonbench.cli.loading import load_plugins, selection, switch_off
from codonbench.cli.options import PluginOption, PluginsDirOption

if TYPE_CHECKING:
    from codonbench.testing.apart import Send
    from codonbench.testing.checks import Facts, Finding, Report

_MARKS = MappingProxyType(
    {
        "passed": ("✓", "green"),
        "failed": ("✗", "bold red"),
        "warning": ("!", "yellow"),
        "skipped": ("–", "dim"),
    }
)
_WIDTH = 15  # of the column of names


@dataclass(frozen=True)
class _Request:
    """What the other process needs to know; plain values, so that it can be sent as JSON."""

    model: str
    task: str | None
    data: str | None
    overrides: dict[str, str]
    files: tuple[Path, ...]
    folders: tuple[Path, ...]
    switches: tuple[str, ...]


def check(
    model: Annotated[str, typer.Option("--model", "-m", help="A model or preset.")],
    plugin: PluginOption = None,
    plugins_dir: PluginsDirOption = None,
    task: Annotated[
        str | None,
        typer.Option("--task", "-t", help="A task; without it, the one that is the default."),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(help="Its data, a name or a path; without it, its default, offline."),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="FIELD=VALUE", help="Override a field of the model."),
    ] = None,
    timeout: Annotated[
        float, typer.Option(min=0.1, help="Seconds after which the checks are given up.")
    ] = 120,
    report: Annotated[
        Path | None, typer.Option(help="Write a Markdown report, fit for a pull request.")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the report as one JSON object and nothing else.")
    ] = False,
) -> None:
    """Check a model before it is run: say in words what is wrong with it.

    Its module is built, probed and trained for some batches on the CPU, in a
    process of its own, which is ended should it hang. Exit 1 if a check fails.
    """
    from codonbench.contracts.run_spec import parse_settings
    from codonbench.errors import UsageError

    if report is not None and (report.is_dir() or not report.parent.is_dir()):
        raise UsageError(f"--report {report}: give a file's name in a folder that exists")
    overrides = parse_settings(settings or [], "--set")
    files, folders = tuple(plugin or ()), tuple(plugins_dir or ())
    if data is not None and Path(data).exists():
        data = str(Path(data).absolute())
    switches = tuple(f"no:{name}" for name in selection().off)
    request = _Request(model, task, data, overrides, files, folders, switches)
    found = _watched(request, timeout, show=not as_json)
    if as_json:
        typer.echo(found.model_dump_json())
    if report is not None:
        _write(report, found, _command(request))
    if not found.ok:
        raise typer.Exit(FAILED)


class _Heard:
    """What the other process has told so far, shown as it comes: a line a finding.

    Args:
        model: The name that is checked.
        show: Whether anything is to be shown.

    Attributes:
        facts, parameters, findings: As in a `Report`.
    """

    def __init__(self, model: str, show: bool) -> None:
        from codonbench.cli.console import messages

        self.status = messages().status("loading the plugins")
        self.facts: Facts | None = None
        self.parameters: int | None = None
        self.findings: list[Finding] = []
        self._model = model
        self._show = show
        self._titles: dict[str, str] = {}
        self._begun = "loading the plugins"

    def take(self, kind: str, content: Any) -> None:
        """Take in one message.

        Raises:
            BenchError: The message is that the checks cannot be made.
        """
        from codonbench import errors
        from codonbench.testing.checks import Facts, Finding

        match kind:
            case "error":
                name, message = content
                raise getattr(errors, name, errors.PluginError)(message)
            case "checks":
                self._titles = dict(content)
            case "facts":
                self.facts = Facts.model_validate_json(content)
                self._print(_heading(self.facts), "bold")
            case "begun":
                self._begun = content
                self.status.update(f"checking: {content}")
            case "finding":
                self._add(Finding.model_validate_json(content))
            case "parameters":
                self.parameters = content

    def give_up(self, how: str) -> None:
        """Fail the check that was begun, and skip those after it.

        Raises:
            PluginError: None was, or all is told.
        """
        from codonbench.errors import PluginError
        from codonbench.testing.checks import Finding

        words = f"{how}; last check begun: {self._begun}"
        # The checks come in order, so the one at fault is the first that is missing.
        missing = list(self._titles.items())[len(self.findings) :]
        if not missing:
            raise PluginError(f"checking {self._model!r} {words}")
        (at_fault, title), *later = missing
        self._add(Finding(id=at_fault, title=title, status="failed", words=words))
        for check, title in later:
            why = f"{at_fault!r} did not finish"
            self._add(Finding(id=check, title=title, status="skipped", words=why))

    def report(self) -> Report:
        """Print the summary and return all that was found."""
        from codonbench.testing.checks import Report, summary

        assert self.facts is not None
        self._print(summary(self.findings), "bold")
        return Report(facts=self.facts, parameters=self.parameters, findings=tuple(self.findings))

    def _add(self, finding: Finding) -> None:
        """Keep a finding and print it: what is wrong on a line below it."""
        self.findings.append(finding)
        mark, style = _MARKS[finding.status]
        brief = finding.status in ("passed", "skipped")
        words = f": {finding.words}" if brief and finding.words else ""
        self._print(f"{mark} {finding.id:<{_WIDTH}}", style, finding.title, words)
        if finding.words and not brief:
            self._print(finding.words, style, indent=4)

    def _print(
        self, text: str, style: str, plain: str = "", dim: str = "", indent: int = 0
    ) -> None:
        from rich.padding import Padding
        from rich.text import Text

        from codonbench.cli.console import output

        if self._show:
            line = Text.assemble((text, style), plain, (dim, "dim"))
            output().print(Padding(line, (0, 0, 0, indent), expand=False) if indent else line)


def _heading(facts: Facts) -> str:
    of = f" of {facts.distribution} {facts.distribution_version}".rstrip()
    version = f"version {facts.version}{of if facts.distribution else ''}"
    own = f" ({facts.name}, {version})" if facts.name != facts.model else f", {version},"
    return f"{facts.model}{own} on {facts.task}, data {facts.data}"


def _watched(request: _Request, timeout: float, show: bool) -> Report:
    """Have the checks made in another process; show each finding as it comes."""
    from codonbench.testing.apart import Stopped, run_apart

    heard = _Heard(request.model, show)
    with heard.status:
        try:
            for kind, content in run_apart(_examine, (request, timeout)):
                heard.take(kind, content)
        except Stopped as how:
            heard.give_up(str(how))
    return heard.report()


def _examine(send: Send, argument: Any) -> None:
    """Load the plugins and make the checks: in the other process."""
    from pydantic import TypeAdapter

    from codonbench.contracts.run_spec import configure
    from codonbench.errors import BenchError
    from codonbench.plugins.discovery import discover, own_points
    from codonbench.plugins.failures import place
    from codonbench.testing.apart import CLOCK
    from codonbench.testing.checks import last_line
    from codonbench.testing.models import checks_of, findings, subject_of
    from codonbench.testing.subject import facts_of
    from codonbench.training.determinism import pin_arithmetic

    request, timeout = TypeAdapter(_Request).validate_python(argument[0]), argument[1]
    pin_arithmetic(1)  # this and our own plugins load PyTorch, which is not the plugin's time
    discover(own_points())
    send((CLOCK, timeout))
    try:
        switch_off(request.switches)
        registry = load_plugins(request.files, request.folders)
        entry, task = registry.model(request.model), registry.task(request.task).task
        owner = f"model {request.model!r}"
        config = configure(entry.cls.Config, dict(entry.preset), request.overrides, owner)
        subject = subject_of(entry.cls, config, task, request.data)
        facts = facts_of(request.model, subject, entry.origin)
    except BenchError as error:
        send(("error", (type(error).__name__, str(error))))
        return
    except Exception as error:
        where = place(error.__traceback__, "")
        words = f"checking {request.model!r} on {request.task!r}: {last_line(error)}{where}"
        send(("error", ("PluginError", words)))
        return
    send(("facts", facts.model_dump_json()))
    send(("checks", [(each.id, each.title) for each in checks_of(subject)]))
    send((CLOCK, timeout))
    for finding in findings(subject, lambda check: send(("begun", check))):
        send(("finding", finding.model_dump_json()))
    send(("parameters", subject.parameters))


def _write(path: Path, report: Report, command: str) -> None:
    from codonbench.cli.console import say

    path.write_text(report.markdown(command), encoding="utf-8")
    say(f"report written to {path}")


def _command(request: _Request) -> str:
    """Return the command that makes the report again; files by their names alone."""
    words = ["bench", "check", "--model", request.model]
    if request.task is not None:
        words += ["--task", request.task]
    if request.data is not None:
        words += ["--data", Path(request.data).name]
    for file in request.files:
        words += ["--plugin", file.name]
    for folder in request.folders:
        words += ["--plugins-dir", folder.name]
    for name, value in request.overrides.items():
        words += ["--set", f"{name}={value}"]
    return shlex.join(words)
