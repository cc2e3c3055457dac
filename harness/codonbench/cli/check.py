"""`bench check`: is a model what the contract asks? In words, within seconds, on a CPU."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from codonbench.cli.exit_codes import FAILED
from codonbench.cli.folders import PluginOption, PluginsDirOption
from codonbench.cli.switches import switch_off, switched_off

if TYPE_CHECKING:
    from codonbench.cli.findings import Display
    from codonbench.testing.apart import Send
    from codonbench.testing.findings import Facts, Finding, Report


@dataclass(frozen=True)
class _Request:
    """What the other process needs to know; plain values, so that it can be sent."""

    model: str
    task: str | None
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
    request = _Request(model, task, overrides, files, folders, tuple(switched_off()))
    found = _watched(request, timeout, show=not as_json)
    if as_json:
        typer.echo(found.model_dump_json())
    if report is not None:
        _write(report, found, _command(request))
    if not found.ok:
        raise typer.Exit(FAILED)


@dataclass
class _Heard:
    """What the other process has told so far.

    Attributes:
        display: Shows it as it comes.
        titles: Of all checks, by id.
        facts, parameters, findings: As in a `Report`.
        begun: What was begun last.
    """

    display: Display
    titles: dict[str, str] = field(default_factory=dict)
    facts: Facts | None = None
    parameters: int | None = None
    findings: list[Finding] = field(default_factory=list)
    begun: str = "loading the plugins"

    def take(self, kind: str, content: Any) -> None:
        """Take in one message.

        Raises:
            BenchError: The message is that the checks cannot be made.
        """
        from codonbench.testing.findings import Facts, Finding

        match kind:
            case "error":
                raise _error(*content)
            case "checks":
                self.titles = dict(content)
            case "facts":
                self.facts = Facts.model_validate_json(content)
                self.display.begin(self.facts)
            case "begun":
                self.begun = content
                self.display.working(content)
            case "finding":
                self.add(Finding.model_validate_json(content))
            case "parameters":
                self.parameters = content

    def add(self, finding: Finding) -> None:
        """Keep and show a finding."""
        self.findings.append(finding)
        self.display.show(finding)

    def give_up(self, words: str) -> None:
        """Fail the check that was begun, and skip those after it."""
        from codonbench.testing.findings import Finding

        # The checks come in order, so the one at fault is the first that is missing.
        at_fault, *later = list(self.titles)[len(self.findings) :]
        title = self.titles
        self.add(Finding(id=at_fault, title=title[at_fault], status="failed", words=words))
        why = f"{at_fault!r} did not finish"
        for check in later:
            self.add(Finding(id=check, title=title[check], status="skipped", words=why))


def _watched(request: _Request, timeout: float, show: bool) -> Report:
    """Have the checks made in another process; show each finding as it comes."""
    from codonbench.cli.findings import Display
    from codonbench.errors import PluginError
    from codonbench.testing.apart import Stopped, run_apart
    from codonbench.testing.findings import Report

    with Display(show) as display:
        heard = _Heard(display)
        try:
            for kind, content in run_apart(_examine, (request, timeout)):
                heard.take(kind, content)
        except Stopped as how:
            words = f"{how}; last check begun: {heard.begun}"
            if len(heard.findings) == len(heard.titles):  # nothing yet, or all is told
                raise PluginError(f"checking {request.model!r} {words}") from None
            heard.give_up(words)
        assert heard.facts is not None
        display.end(heard.findings)
    return Report(facts=heard.facts, parameters=heard.parameters, findings=tuple(heard.findings))


def _examine(send: Send, argument: tuple[_Request, float]) -> None:
    """Load the plugins and make the checks: in the other process."""
    from codonbench.cli.loading import load_plugins
    from codonbench.contracts.run_spec import configure
    from codonbench.errors import BenchError
    from codonbench.execution.machine import pin_arithmetic
    from codonbench.plugins.discovery import discover, own_points
    from codonbench.plugins.source_lines import place
    from codonbench.testing.apart import CLOCK
    from codonbench.testing.checklist import last_line
    from codonbench.testing.models import examination
    from codonbench.testing.subject import facts_of

    request, timeout = argument
    pin_arithmetic(1)  # this and our own plugins load PyTorch, which is not the plugin's time
    discover(own_points())
    send((CLOCK, timeout))
    try:
        switch_off(request.switches)
        registry = load_plugins(request.files, request.folders)
        entry, task = registry.model(request.model), registry.task(request.task).task
        owner = f"model {request.model!r}"
        config = configure(entry.cls.Config, dict(entry.preset), request.overrides, owner)
        facts = facts_of(request.model, entry.cls, config, task, entry.origin)
        examined = examination(entry.cls, config, task)
    except BenchError as error:
        send(("error", (type(error).__name__, str(error))))
        return
    except Exception as error:
        where = place(error.__traceback__, "")
        words = f"checking {request.model!r} on {request.task!r}: {last_line(error)}{where}"
        send(("error", ("PluginError", words)))
        return
    send(("facts", facts.model_dump_json()))
    send(("checks", [(each.id, each.title) for each in examined.checks]))
    send((CLOCK, timeout))
    for finding in examined.findings(lambda check: send(("begun", check))):
        send(("finding", finding.model_dump_json()))
    send(("parameters", examined.subject.parameters))


def _error(name: str, message: str) -> Exception:
    """Return the exception that ended the other process."""
    from codonbench import errors

    kind: type[Exception] = getattr(errors, name, errors.PluginError)
    return kind(message)


def _write(path: Path, report: Report, command: str) -> None:
    from codonbench.cli.console import say
    from codonbench.testing.report import render_report

    path.write_text(render_report(report, command), encoding="utf-8")
    say(f"report written to {path}")


def _command(request: _Request) -> str:
    """Return the command that makes the report again; files by their names alone."""
    words = ["bench", "check", "--model", request.model]
    if request.task is not None:
        words += ["--task", request.task]
    for file in request.files:
        words += ["--plugin", file.name]
    for folder in request.folders:
        words += ["--plugins-dir", folder.name]
    for name, value in request.overrides.items():
        words += ["--set", f"{name}={value}"]
    return shlex.join(words)
