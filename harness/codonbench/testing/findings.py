"""What a check comes to: passed, failed, a warning or skipped, with the reason in words."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

from codonbench.contracts import Frozen

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
            `codonbench.contracts.origin.Origin`.
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
        return not failures(self.findings)


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


def failures(findings: Iterable[Finding]) -> list[Finding]:
    """Return the findings that failed."""
    return [finding for finding in findings if finding.status == "failed"]


def summary(findings: Iterable[Finding]) -> str:
    """Return ``24 checks: 21 passed, 1 failed, 2 skipped``."""
    found = [finding.status for finding in findings]
    words = {"passed": "passed", "failed": "failed", "warning": "with a warning"}
    words["skipped"] = "skipped"
    counts = (f"{found.count(s)} {word}" for s, word in words.items() if s in found)
    return f"{len(found)} checks: {', '.join(counts)}"


def insist(findings: Iterable[Finding], whose: str) -> None:
    """Raise AssertionError with every failure in words, if there is one."""
    wrong = failures(findings)
    if wrong:
        lines = [f"{whose}: {len(wrong)} of its checks failed"]
        lines += [f"  {finding.id} ({finding.title}): {finding.words}" for finding in wrong]
        raise AssertionError("\n".join(lines))
