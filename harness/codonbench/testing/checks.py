"""Checks in order, what each comes to, and the report of all of them."""

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
    """What a check has to say.

    Attributes:
        status: How it ended.
        words: For all but ``passed`` a sentence with what was got, what was expected and what
            to do; for ``passed`` what is worth knowing, or nothing.
    """

    status: Status
    words: str = ""


def passed(words: str = "") -> Verdict:
    """Return that all is well; `words` for what is worth knowing."""
    return Verdict(status="passed", words=words)


def failed(words: str) -> Verdict:
    """Return that something must be mended."""
    return Verdict(status="failed", words=words)


def warning(words: str) -> Verdict:
    """Return that something is to be looked at."""
    return Verdict(status="warning", words=words)


def skipped(words: str) -> Verdict:
    """Return that the check does not apply, and why."""
    return Verdict(status="skipped", words=words)


class Finding(Verdict):
    """The verdict of one check.

    Attributes:
        id: The check's short name: ``shape``.
        title: What it holds, as a sentence without its subject.
    """

    id: str
    title: str


class Facts(Frozen):
    """What a report is about.

    Attributes:
        model: The name that was asked for, a model's or a preset's.
        name, version: The model's own.
        distribution, distribution_version, source_sha256: As in
            `codonbench.contracts.run_record.Origin`.
        config: The configuration that was checked.
        encoding: What the module is handed.
        task, data: What it was checked on.
        environment: Versions by name: Python, PyTorch, NumPy, codonbench, the system.
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
        facts: What was checked.
        parameters: Trainable parameters; None where no module could be built.
        findings: One a check, in order.
    """

    facts: Facts
    parameters: int | None = None
    findings: tuple[Finding, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether no check failed; warnings do not count."""
        return not _failures(self.findings)

    def markdown(self, command: str) -> str:
        """Return the report fit for a pull request: no time, no path, no host.

        Args:
            command: What makes it again.
        """
        from codonbench.report.markdown import markdown_template, plain  # which takes long to load

        def sentence(words: str) -> str:
            return " ".join(map(plain, textwrap.wrap(words, 100)))  # `plain` cuts what is longer

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
    """One thing to hold.

    Attributes:
        id: Its short name.
        examine: Looks at the subject; what it raises is a failure of the subject's.
        needs: Checks that must not have failed for this one to mean anything.
        advisory: It informs or warns, and never fails of itself.
    """

    id: str
    examine: Callable[[SubjectT], Verdict]
    needs: tuple[str, ...] = ()
    advisory: bool = False

    @property
    def title(self) -> str:
        """What it holds, as a sentence without its subject: how its docstring begins."""
        first = (self.examine.__doc__ or "").partition("\n")[0].rstrip(".")
        return first[:1].lower() + first[1:]


class Checks(list[Check[SubjectT]]):
    """Checks in an order in which each comes after those it needs."""

    def hold(
        self, id_: str, *needs: str, advisory: bool = False
    ) -> Callable[[Callable[[SubjectT], Verdict]], Callable[[SubjectT], Verdict]]:
        """Add a function as the next check; see `Check`. What its needs need is needed, too."""

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
) -> Iterator[Finding]:
    """Yield the finding of each check, as it comes; one that raises has failed.

    Args:
        checks: In an order in which each comes after those it needs.
        subject: What is checked.
        file: The file that defines it, for telling where it crashed.
        begun: Told the name of each check before it begins.
        around: Gives a context in which each check is made.
        made_by: What makes what is checked, as in `place`.
    """
    at_fault: dict[str, str] = {}  # of each check that failed or was skipped, what came first
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
            except PluginError as error:  # what the door says of it
                verdict = failed(str(error))
            except (Exception, SystemExit) as error:  # a plugin may do anything
                words = f"it raised {last_line(error)}{place(error.__traceback__, file, made_by)}"
                verdict = failed(words)
            if verdict.status == "failed":
                at_fault[check.id] = check.id
        yield Finding(id=check.id, title=check.title, **verdict.model_dump())


def misfit(kind: Any, value: object, name: str = "") -> str:
    """Return what keeps a value from being of a kind, ``name is 'My Model': ...``, or nothing."""
    try:
        TypeAdapter(kind).validate_python(value)
    except ValidationError as error:
        detail = error.errors()[0]
        field = ".".join(map(str, detail["loc"])) or name
        return f"{field} is {detail['input']!r}: {detail['msg']}"
    return ""


def summary(findings: Iterable[Finding]) -> str:
    """Return ``24 checks: 21 passed, 1 failed, 2 skipped``."""
    found = [finding.status for finding in findings]
    words = {"passed": "passed", "failed": "failed", "warning": "with a warning"}
    words["skipped"] = "skipped"
    counts = (f"{found.count(s)} {word}" for s, word in words.items() if s in found)
    return f"{len(found)} checks: {', '.join(counts)}"


def insist(findings: Iterable[Finding], whose: str) -> None:
    """Raise AssertionError with every failure in words, if there is one."""
    if wrong := _failures(findings):
        lines = [f"{whose}: {len(wrong)} of its checks failed"]
        lines += [f"  {finding.id} ({finding.title}): {finding.words}" for finding in wrong]
        raise AssertionError("\n".join(lines))


def _failures(findings: Iterable[Finding]) -> list[Finding]:
    return [finding for finding in findings if finding.status == "failed"]
