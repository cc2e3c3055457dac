"""Checks in order: each contained, and skipped where one it needs has failed."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from codonbench.plugins.failures import place
from codonbench.testing.findings import Finding, Verdict, failed, skipped

SubjectT = TypeVar("SubjectT")


@dataclass(frozen=True)
class Check(Generic[SubjectT]):
    """One thing to hold.

    Attributes:
        id: Its short name.
        title: What it holds, as a sentence without its subject.
        examine: Looks at the subject; what it raises is a failure of the subject's.
        needs: Checks that must not have failed for this one to mean anything.
        advisory: It informs or warns, and never fails of itself.
    """

    id: str
    title: str
    examine: Callable[[SubjectT], Verdict]
    needs: tuple[str, ...] = ()
    advisory: bool = False


def examine(
    checks: Sequence[Check[SubjectT]],
    subject: SubjectT,
    file: str = "",
    begun: Callable[[str], None] = lambda check: None,
) -> Iterator[Finding]:
    """Yield the finding of each check, as it comes.

    Args:
        checks: In an order in which each comes after those it needs.
        subject: What is checked.
        file: The file that defines it, for telling where it crashed.
        begun: Told the name of each check before it begins.
    """
    blocked: set[str] = set()
    for check in checks:
        begun(check.id)
        missing = [need for need in check.needs if need in blocked]
        if missing:
            verdict = skipped(f"it needs {missing[0]!r}, which did not pass")
        else:
            verdict = _contained(check, subject, file)
        if missing or verdict.status == "failed":
            blocked.add(check.id)
        yield Finding(id=check.id, title=check.title, **verdict.model_dump())


def _contained(check: Check[SubjectT], subject: SubjectT, file: str) -> Verdict:
    """Return the check's verdict; an exception is one."""
    try:
        return check.examine(subject)
    except (Exception, SystemExit) as error:  # a plugin may do anything
        return failed(f"it raised {last_line(error)}{place(error.__traceback__, file)}")


def last_line(error: BaseException) -> str:
    """Return what the traceback ends with, on one line."""
    line = " ".join(traceback.format_exception_only(error)[-1].split())
    return line.encode("utf-8", "backslashreplace").decode()
