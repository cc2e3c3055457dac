"""Checks, their verdicts, and reports."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar

from pydantic import TypeAdapter, ValidationError

from codonbench.contracts import Frozen
from codonbench.errors import PluginError
from codonbench.plugins.failures import last_line, place

Status = Literal["passed", "failed", "warning", "skipped"]


class Verdict(Frozen):
    """The result of a check.

    Attributes:
        status: Outcome.
        words: The value found, the value expected and what to do, as a sentence; for ``passed`` a
            remark, or empty.
    """

    status: Status
    words: str = ""


def passed(words: str = "") -> Verdict:
    """Return a passed verdict, with an optional remark."""
    return Verdict(status="passed", words=words)


def failed(words: str) -> Verdict:
    """Return a failed verdict."""
    return Verdict(status="failed", words=words)


def warning(words: str) -> Verdict:
    """Return a warning."""
    return Verdict(status="warning", words=words)


def skipped(words: str) -> Verdict:
    """Return the verdict that a check does not apply, with the reason."""
    return Verdict(status="skipped", words=words)


class CheckResult(Verdict):
    """The result of one check.

    Attributes:
        id: Short name of the check: ``shape``.
        title: What it checks, as a sentence.
    """

    id: str
    title: str


class Facts(Frozen):
    """The subject of a report.

    Attributes:
        model: Name of the model or preset, as given.
        name, version: Name and version of the model.
        distribution, distribution_version, source_sha256: As in
            `codonbench.contracts.run_record.Origin`.
        config: The checked configuration.
        encoding: Encoding of the module's input.
        task, data: Task and data of the check.
        environment: Versions of Python, PyTorch, NumPy, codonbench and the system, by name.
    """

    model: str
    name: str
    version: str
    distribution: str
    distribution_version: str
    source_sha256: str
    config: dict[str, Any]
    encoding: str
    task: str
    data: str
    environment: dict[str, str]


class Report(Frozen):
    """All findings on one model.

    Attributes:
        facts: The subject.
        parameters: Trainable parameters; None if no module could be built.
        findings: One for each check, in order.
    """

    facts: Facts
    parameters: int | None = None
    findings: tuple[CheckResult, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether no check failed; warnings do not count."""
        return not _failures(self.findings)

    def markdown(self, command: str) -> str:
        """Return the report for a pull request, without time, path or host.

        Args:
            command: The command that reproduces it.
        """
        from codonbench.report.markdown import markdown_template, plain  # slow to import

        def sentence(words: str) -> str:
            return " ".join(map(plain, textwrap.wrap(words, 100)))  # `plain` truncates longer text

        template = markdown_template("codonbench.testing", "report.md.j2", sentence=sentence)
        return template.render(
            report=self,
            facts=self.facts,
            summary=summary(self.findings),
            marks=MARKS,
            command=command,
        )


MARKS: dict[Status, str] = {"passed": "✓", "failed": "✗", "warning": "!", "skipped": "–"}

SubjectT = TypeVar("SubjectT")


@dataclass(frozen=True)
class Check(Generic[SubjectT]):
    """One check.

    Attributes:
        id: Its short name.
        examine: Returns the verdict on a subject; an exception is a failure of the subject.
        needs: Ids of checks that must not have failed.
        advisory: Whether it only informs or warns.
    """

    id: str
    examine: Callable[[SubjectT], Verdict]
    needs: tuple[str, ...] = ()
    advisory: bool = False

    @property
    def title(self) -> str:
        """What it checks: the first line of its docstring."""
        first = (self.examine.__doc__ or "").partition("\n")[0].rstrip(".")
        return first[:1].lower() + first[1:]


class Checks(list[Check[SubjectT]]):
    """Checks in order, each after those it needs."""

    def hold(
        self, id_: str, *needs: str, advisory: bool = False
    ) -> Callable[[Callable[[SubjectT], Verdict]], Callable[[SubjectT], Verdict]]:
        """Add a function as the next check; see `Check`. Needs are transitive."""

        def add(examine: Callable[[SubjectT], Verdict]) -> Callable[[SubjectT], Verdict]:
            self.append(Check(id_, examine, needs, advisory))
            return examine

        return add


def examine(
    checks: Sequence[Check[SubjectT]],
    subject: SubjectT,
    file: str = "",
    begun: Callable[[str], None] = lambda check: None,
    around: Callable[[], AbstractContextManager[object]] = nullcontext,
    made_by: Callable[..., object] | None = None,
) -> Iterator[CheckResult]:
    """Run checks and yield their findings; a check that raises has failed.

    Args:
        checks: Checks in order, each after those it needs.
        subject: The subject.
        file: File that defines the subject, to locate errors.
        begun: Called with the id of each check before it runs.
        around: Returns the context in which each check runs.
        made_by: As in `place`.
    """
    at_fault: dict[str, str] = {}  # the first failed check, for each that failed or was skipped
    for check in checks:
        begun(check.id)
        missing = [at_fault[need] for need in check.needs if need in at_fault]
        if missing:
            verdict = skipped(f"it needs {missing[0]!r}, which did not pass")
            at_fault[check.id] = missing[0]
        else:
            try:
                with around():
                    verdict = check.examine(subject)
            except PluginError as error:  # raised by the harness, with a complete message
                verdict = failed(str(error))
            except (Exception, SystemExit) as error:  # a plugin may do anything
                words = f"it raised {last_line(error)}{place(error.__traceback__, file, made_by)}"
                verdict = failed(words)
            if verdict.status == "failed":
                at_fault[check.id] = check.id
        yield CheckResult(id=check.id, title=check.title, **verdict.model_dump())


def misfit(kind: Any, value: object, name: str = "") -> str:
    """Return why a value is not valid for a type, ``name is 'My Model': ...``; empty if it is."""
    try:
        TypeAdapter(kind).validate_python(value)
    except ValidationError as error:
        detail = error.errors()[0]
        field = ".".join(map(str, detail["loc"])) or name
        return f"{field} is {detail['input']!r}: {detail['msg']}"
    return ""


def summary(findings: Iterable[CheckResult]) -> str:
    """Return ``24 checks: 21 passed, 1 failed, 2 skipped``."""
    found = [finding.status for finding in findings]
    words = {"passed": "passed", "failed": "failed", "warning": "with a warning"}
    words["skipped"] = "skipped"
    counts = (f"{found.count(s)} {word}" for s, word in words.items() if s in found)
    return f"{len(found)} checks: {', '.join(counts)}"


def raise_failures(findings: Iterable[CheckResult], owner: str) -> None:
    """Raise AssertionError with all failures, if there are any."""
    if wrong := _failures(findings):
        lines = [f"{owner}: {len(wrong)} of its checks failed"]
        lines += [f"  {finding.id} ({finding.title}): {finding.words}" for finding in wrong]
        raise AssertionError("\n".join(lines))


def _failures(findings: Iterable[CheckResult]) -> list[CheckResult]:
    return [finding for finding in findings if finding.status == "failed"]
