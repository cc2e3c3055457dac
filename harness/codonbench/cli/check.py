"""`bench check`: does a model keep the contract? With reasons, within seconds, on a CPU."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from pydantic import TypeAdapter
from rich.padding import Padding
from rich.text import Text

from codonbench import errors
from codonbench.cli import FAILED
from codonbench.cli.console import messages, output, say
from codonbench.cli.options import (
    PluginOption,
    PluginsDirOption,
    TaskSettingsOption,
    files_of,
    load_plugins,
    name_of,
    note,
    selection,
)
from codonbench.contracts.run_spec import RunRequest, configure, parse_settings
from codonbench.execution.prepare import task_and_data
from codonbench.plugins.discovery import discover, own_points
from codonbench.plugins.failures import last_line, place
from codonbench.records.files import cache_folder, plain_json, printable, printable_lines
from codonbench.testing.apart import CLOCK, Stopped, run_apart
from codonbench.testing.checks import MARKS, CheckResult, Facts, Report, summary

if TYPE_CHECKING:
    from codonbench.testing.apart import Send

_STYLES = {"passed": "green", "failed": "bold red", "warning": "yellow", "skipped": "dim"}
_WIDTH = 15  # of the column of names


@dataclass(frozen=True)
class _Request:
    """What the other process needs to know; plain values, so that it can be sent as JSON."""

    model: str
    task: str | None
    data: str | None
    overrides: dict[str, str]
    task_overrides: dict[str, str]
    files: tuple[Path, ...]
    folders: tuple[Path, ...]
    switches: tuple[str, ...]


def check(
    model: Annotated[
        str,
        typer.Option("--model", "-m", help="A model or preset, or a Python file of one."),
    ],
    plugin: PluginOption = None,
    plugins_dir: PluginsDirOption = None,
    task: Annotated[
        str | None,
        typer.Option("--task", "-t", help="A task; if left out, the default one."),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(help="The task's data, a name or a path; if left out, its default, offline."),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="FIELD=VALUE", help="Override a field of the model."),
    ] = None,
    task_settings: TaskSettingsOption = None,
    timeout: Annotated[
        float, typer.Option(min=0.1, help="Seconds after which the checks are given up.")
    ] = 120,
    report: Annotated[
        Path | None, typer.Option(help="Write a Markdown report for a pull request.")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the report as one JSON object and nothing else.")
    ] = False,
) -> None:
    """Check a model before it is run, and say what is wrong with it.

    The module is built, evaluated and trained for some batches on the CPU, in a separate
    process, which is ended if it hangs. Exit 1 if a check fails.
    """
    if report is not None and (report.is_dir() or not report.parent.is_dir()):
        raise errors.UsageError(f"--report {report}: give a file's name in a folder that exists")
    overrides = parse_settings(settings or [], "--set")
    of_task = parse_settings(task_settings or [], "--task-set")
    files, folders = files_of(model, plugin), tuple(plugins_dir or ())
    if data is not None and Path(data).exists():
        data = str(Path(data).absolute())
    switches = tuple(f"no:{name}" for name in selection().off)
    request = _Request(model, task, data, overrides, of_task, files, folders, switches)
    found = _watched(request, timeout, show=not as_json)
    if as_json:
        typer.echo(plain_json(found.model_dump_json()))
    if report is not None:
        report.write_text(found.markdown(_command(request)), encoding="utf-8")
        say(f"report written to {report}")
    if not found.ok:
        raise typer.Exit(FAILED)


def _watched(request: _Request, timeout: float, show: bool) -> Report:
    """Have the checks made in another process; show each finding as it comes."""
    facts, parameters, findings = None, None, list[CheckResult]()
    titles: dict[str, str] = {}
    begun = "loading the plugins"

    def add(finding: CheckResult) -> None:
        findings.append(finding)
        if show:
            _print(finding)

    with messages().status(begun) as status:
        try:
            for kind, content in run_apart(_examine, (request, timeout)):
                if kind == "error":
                    name, message = content
                    raise getattr(errors, name, errors.PluginError)(message)
                if kind == "facts":
                    facts, titles = Facts.model_validate(content[0]), dict(content[1])
                    if show:
                        output().print(printable(_heading(facts)), style="bold")
                elif kind == "begun":
                    begun = content
                    status.update(f"checking: {printable(begun)}")
                elif kind == "finding":
                    add(CheckResult.model_validate(content))
                elif kind == "parameters":
                    parameters = content
        except Stopped as how:
            words = f"{how}; last check begun: {begun}"
            # The checks come in order, so the one at fault is the first that is missing.
            missing = list(titles.items())[len(findings) :]
            if not missing:
                raise errors.PluginError(f"checking {request.model!r} {words}") from None
            at_fault = missing[0][0]
            why = f"{at_fault!r} did not finish"
            for id_, title in missing:
                status_of, message = ("failed", words) if id_ == at_fault else ("skipped", why)
                add(CheckResult(id=id_, title=title, status=status_of, words=message))
    assert facts is not None
    if show:
        output().print(summary(findings), style="bold")
    return Report(facts=facts, parameters=parameters, findings=tuple(findings))


def _print(finding: CheckResult) -> None:
    """Print a finding on a line: what is wrong on one below it."""
    style, words = _STYLES[finding.status], printable_lines(finding.words)
    brief = finding.status in ("passed", "skipped")
    mark = f"{MARKS[finding.status]} {printable(finding.id):<{_WIDTH}}"
    aside = f": {words}" if brief and words else ""
    output().print(Text.assemble((mark, style), printable(finding.title), (aside, "dim")))
    if words and not brief:
        output().print(Padding(Text(words, style), (0, 0, 0, 4), expand=False))


def _heading(facts: Facts) -> str:
    of = f" of {facts.distribution} {facts.distribution_version}".rstrip()
    version = f"version {facts.version}{of if facts.distribution else ''}"
    own = f" ({facts.name}, {version})" if facts.name != facts.model else f", {version},"
    return f"{facts.model}{own} on {facts.task}, data {facts.data}"


def _examine(send: Send, argument: Any) -> None:
    """Load the plugins and make the checks: in the other process."""
    from codonbench.testing.models import checks_of, findings  # which load PyTorch
    from codonbench.testing.subject import ModelSubject, facts_of
    from codonbench.training.determinism import pin_arithmetic

    request, timeout = TypeAdapter(_Request).validate_python(argument[0]), argument[1]
    pin_arithmetic(1)  # this and our own plugins load PyTorch, which is not the plugin's time
    discover(own_points())
    send((CLOCK, timeout))
    try:
        note(switches=request.switches, trusted=None)  # nothing is recorded here
        registry = load_plugins(request.files, request.folders)
        name = name_of(request.model, registry)
        entry = registry.model(name)
        owner = f"model {name!r}"
        config = configure(entry.cls.Config, dict(entry.preset), request.overrides, owner)
        run_request = RunRequest(
            model=name,
            task=request.task,
            data=request.data,
            task_overrides=request.task_overrides,
            offline=True,
        )
        *_, dataset = task_and_data(run_request, registry, cache_folder())
        subject = ModelSubject(entry.cls, config, dataset)
        facts = facts_of(name, subject, entry.origin)
    except errors.BenchError as error:
        send(("error", (type(error).__name__, str(error))))
        return
    except Exception as error:
        words = f"checking {request.model!r} on {request.task!r}: {last_line(error)}"
        send(("error", ("PluginError", f"{words}{place(error.__traceback__, '')}")))
        return
    send(("facts", (facts, [(check.id, check.title) for check in checks_of(subject)])))
    send((CLOCK, timeout))
    for finding in findings(subject, lambda check: send(("begun", check))):
        send(("finding", finding))
    send(("parameters", subject.parameters))


def _command(request: _Request) -> str:
    """Return the command that makes the report again; files by their names alone."""
    own = files_of(request.model, None)
    arguments = ["bench", "check", "--model", own[0].name if own else request.model]
    if request.task is not None:
        arguments += ["--task", request.task]
    if request.data is not None:
        arguments += ["--data", Path(request.data).name]
    for file in (file for file in request.files if file not in own):
        arguments += ["--plugin", file.name]
    for folder in request.folders:
        arguments += ["--plugins-dir", folder.name]
    for option, given in (("--set", request.overrides), ("--task-set", request.task_overrides)):
        arguments += [word for field in given.items() for word in (option, "=".join(field))]
    return shlex.join(arguments)
