"""What an audit of data says: findings, each held to stated thresholds, and a verdict of them."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from types import MappingProxyType
from typing import Literal

from pydantic import Field

from codonbench.contracts import Frozen

RULES = "2"
"""Version of the checks and thresholds; another one makes kept audits void."""

KEPT = "audits"
"""Folder of the cache where audits are kept, and of a board where those of its data lie."""

Verdict = Literal["PASS", "WARN", "FAIL"]
Grade = Literal["leak", "doubt", "clear", "row zero"]

THRESHOLDS = MappingProxyType(
    {
        "copies": (0.005, 0.05),
        "near-copies": (0.01, 0.10),
        "groups": (0.005, 0.05),
        "classes of one origin": (0.05, math.inf),
        "length": (0.1, 0.3),
        "order of rows": (0.1, 0.3),
        "missing letters": (0.1, 0.3),
        "shuffled twins": (0.1, 0.3),
        "pieces in place": (0.1, 0.3),
        "one position": (0.4, 0.7),
        "words in place": (0.4, 0.7),
    }
)
"""From which value on a finding of each check is a doubt, and a leak: of `SHARES` the share of
test items, of the others a rule's score on the test set. What is not here is row zero: what a
model has to beat, and no fault of the data."""

IN_PLACE = ("one position", "words in place")
"""Rules that are no fault where composition goes as far: it shows at any position."""

SHARES = ("copies", "near-copies", "groups", "classes of one origin")

_COUNTS = re.compile(r"\(([\d,]+) of ([\d,]+)\)")
_FEWEST = 3  # test items, of shares
_CHANCE = 3.3  # standard errors of a score without information: one in two thousand such sets

FEWEST_ITEMS = math.ceil(_CHANCE**2)
"""Test items from which on a rule that is always right is told from chance."""


class Finding(Frozen):
    """What one check found.

    Attributes:
        check: A name, of `THRESHOLDS` or of row zero.
        grade: What that comes to.
        value: A share of the test items, or a rule's score on the test set.
        validation: The rule's score on the validation items, by which it was chosen.
        low, high: The 95 % interval of the best rule's score over test items; None of others.
        words: What was found, in a sentence.
    """

    check: str
    grade: Grade
    value: float
    validation: float | None = None
    low: float | None = Field(default=None, exclude_if=lambda low: low is None)
    high: float | None = Field(default=None, exclude_if=lambda high: high is None)
    words: str

    @property
    def exact(self) -> float:
        """The value; of a share, the one that its words count: rounded twice, it is another."""
        counts = _COUNTS.search(self.words) if self.check in SHARES else None
        if counts is None:
            return self.value
        n, of = (int(each.replace(",", "")) for each in counts.groups())
        return n / of

    @property
    def severity(self) -> float:
        """How far it goes towards a leak, 1 where it begins; 0 for row zero."""
        return self.value / THRESHOLDS[self.check][1] if self.check in THRESHOLDS else 0.0


class DataAudit(Frozen):
    """The audit of a data set: what a score on it is worth.

    Attributes:
        verdict: FAIL where a finding is a leak, WARN where one is a doubt, else PASS.
        rules: Version of checks and thresholds.
        task: What the data are called.
        checksum: Of their content.
        score: What rules are scored by.
        train, validation, test: Items of each split; 0 where it was cut for the audit.
        remarks: What else a reader must know, in sentences.
        findings: One a check.
        copied: Places in the test split, from 0, of items with a copy or near-copy in training.
        answers: The class of each test item as the best rule has it, a digit of base 36 each; empty
            where there are no classes, more than 36, not each item was asked for, or the rule rests
            on the order of rows, which no item shows.
    """

    verdict: Verdict
    schema_version: Literal[1] = 1
    rules: str = RULES
    task: str
    checksum: str
    score: str
    train: int
    validation: int
    test: int
    remarks: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = Field(min_length=1)
    copied: tuple[int, ...] = ()
    answers: str = Field(default="", exclude_if=lambda answers: not answers)

    @property
    def clean(self) -> tuple[int, ...]:
        """Places in the test split, from 0, of items without a near-copy in training."""
        copied = set(self.copied)
        return tuple(i for i in range(self.test) if i not in copied)

    @property
    def worst(self) -> Finding:
        """The most severe finding: by grade, then by how far it goes."""
        grades = ("row zero", "clear", "doubt", "leak")
        return max(self.findings, key=lambda f: (grades.index(f.grade), f.severity))

    @property
    def best_rule(self) -> Finding | None:
        """The rule that was best on the validation items; None where there is none."""
        rules = [finding for finding in self.findings if finding.validation is not None]
        return max(rules, key=lambda rule: rule.validation or 0.0, default=None)

    def as_json(self) -> str:
        """Return the audit as it is printed and kept; the same audit gives the same bytes."""
        return self.model_dump_json(indent=1) + "\n"

    def said(self, finding: Finding) -> str:
        """Return a finding's words, and why it is clear where its figure alone would be a doubt."""
        if finding.grade != "clear" or finding.exact < THRESHOLDS[finding.check][0]:
            return finding.words
        composition = max((f.value for f in self.findings if f.check == "composition"), default=-1)
        validation = finding.validation or 0.0
        why = "chance may give as much on so few test items"
        if finding.check in SHARES:
            why = f"fewer than {_FEWEST} test items are no doubt"
        elif finding.check in IN_PLACE and composition >= finding.value:
            why = "composition alone goes as far"
        elif (
            validation < THRESHOLDS[finding.check][0] and finding.value * self.test**0.5 >= _CHANCE
        ):
            why = f"on the validation items it is {validation:.3f}"
        return f"{finding.words}; clear: {why}"

    @property
    def reason(self) -> str:
        """What the verdict rests on."""
        words = self.said(self.worst)
        if self.verdict != "PASS":
            return words
        nothing = "no fault beyond chance was found"
        return f"{nothing}; furthest goes: {words}" if self.worst.severity > 0 else nothing

    @property
    def line(self) -> str:
        """The verdict, and why, in a line."""
        return f"{self.verdict}: {self.reason}"


def share(check: str, n: int, of: int, words: str, most: Grade = "leak") -> Finding:
    """Return the finding that so many test items are leaked.

    Args:
        check: Its name.
        n: Items.
        of: Items in the test set.
        words: What they are.
        most: The most severe grade that it can have.
    """
    value = n / of
    grade = _grade(check, value) if n >= _FEWEST else "clear"
    return Finding(
        check=check,
        grade="doubt" if grade == "leak" and most == "doubt" else grade,
        value=round(value, 4),
        words=words,
    )


def rule(
    check: str,
    value: float,
    validation: float,
    of: int,
    words: str,
    *,
    row_zero: bool = False,
    chosen: bool = True,
) -> Finding:
    """Return the finding that a rule has a score, which on validation must go as far.

    Args:
        check: Its name.
        value: Its score on the test set.
        validation: And on the validation items.
        of: Items in the test set.
        words: What it does.
        row_zero: Whether it is what a model has to beat, and no fault of the data.
        chosen: Whether validation says something of it.
    """
    grade: Grade = "row zero"
    if not row_zero:
        sure = min(value, validation) if chosen else value
        grade = _grade(check, sure) if value * of**0.5 >= _CHANCE else "clear"
    return Finding(
        check=check,
        grade=grade,
        value=round(value, 3) + 0.0,  # no -0.0
        validation=round(validation, 3) + 0.0,
        words=words,
    )


def _grade(check: str, value: float) -> Grade:
    doubt, leak = THRESHOLDS[check]
    return "leak" if value >= leak else "doubt" if value >= doubt else "clear"


def verdict_of(findings: Sequence[Finding]) -> Verdict:
    """Return what findings come to."""
    grades = {finding.grade for finding in findings}
    return "FAIL" if "leak" in grades else "WARN" if "doubt" in grades else "PASS"
