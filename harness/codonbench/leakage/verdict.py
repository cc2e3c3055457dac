"""The result of an audit of data: findings graded by fixed thresholds, and the verdict."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from types import MappingProxyType
from typing import Literal

from pydantic import Field

from codonbench.contracts import Frozen

RULES = "2"
"""Version of the checks and thresholds; stored audits of other versions are not used."""

KEPT = "audits"
"""Folder of audits, in the cache and in a board."""

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
"""Lowest values that are a doubt and a leak: for `SHARES` the share of test items, for other checks
a rule's score on the test set. Checks not listed are row zero: a baseline for models, no fault of
the data."""

IN_PLACE = ("one position", "words in place")
"""Rules that are no fault if composition scores as high, because it shows at every position."""

SHARES = ("copies", "near-copies", "groups", "classes of one origin")

_COUNTS = re.compile(r"\(([\d,]+) of ([\d,]+)\)")
_FEWEST = 3  # test items, for a share to count
_CHANCE = 3.3  # standard errors: a rule without information exceeds them once in 2,000 data sets

FEWEST_ITEMS = math.ceil(_CHANCE**2)
"""Fewest test items with which a perfect rule can be told from chance."""


class Finding(Frozen):
    """The result of one check.

    Attributes:
        check: Name of the check, a key of `THRESHOLDS` unless the grade is row zero.
        grade: Grade by `THRESHOLDS`.
        value: Share of test items, or a rule's score on the test set.
        validation: The rule's score on the validation set, by which rules are chosen.
        low, high: 95 % interval of the best rule's score over test items; None for other rules.
        words: The result as a sentence.
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
        """The value; a share is computed from the counts in `words`, because `value` is rounded."""
        counts = _COUNTS.search(self.words) if self.check in SHARES else None
        if counts is None:
            return self.value
        n, of = (int(each.replace(",", "")) for each in counts.groups())
        return n / of

    @property
    def severity(self) -> float:
        """The value divided by the threshold of a leak; 0 for row zero."""
        return self.value / THRESHOLDS[self.check][1] if self.check in THRESHOLDS else 0.0


class DataAudit(Frozen):
    """The audit of a data set: how much a score on it can be trusted.

    Attributes:
        verdict: FAIL if a finding is a leak, WARN if one is a doubt, else PASS.
        rules: Version of checks and thresholds.
        task: Name of the data.
        checksum: Checksum of their content.
        score: Name of the score of rules.
        train, validation, test: Items in each split.
        remarks: Limits of this audit, as sentences.
        findings: One for each check.
        copied: Indices in the test split of items with a copy or near-copy in training.
        answers: Class of each test item predicted by the best rule, as one base-36 digit each;
            empty for quantities, more than 36 classes, a sampled test set, or a rule on the order
            of rows, which models do not see.
        items: SHA-256 of the test items, as in `ItemOutputs`, where the audit cut them from
            training, as seed 0 does; empty where the data have a test split.
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
    items: str = Field(default="", exclude_if=lambda items: not items)

    @property
    def clean(self) -> tuple[int, ...]:
        """Indices in the test split of items without a copy or near-copy in training."""
        copied = set(self.copied)
        return tuple(i for i in range(self.test) if i not in copied)

    @property
    def worst(self) -> Finding:
        """The finding of the highest grade and, among equals, the highest severity."""
        grades = ("row zero", "clear", "doubt", "leak")
        return max(self.findings, key=lambda f: (grades.index(f.grade), f.severity))

    @property
    def best_rule(self) -> Finding | None:
        """The rule with the best score on the validation set; None if there is no rule."""
        rules = [finding for finding in self.findings if finding.validation is not None]
        return max(rules, key=lambda rule: rule.validation or 0.0, default=None)

    def as_json(self) -> str:
        """Return the audit as JSON, the same bytes for the same audit."""
        return self.model_dump_json(indent=1) + "\n"

    def describe(self, finding: Finding) -> str:
        """Return a finding's words and, if it is clear despite a high value, the reason."""
        if finding.grade != "clear" or finding.exact < THRESHOLDS[finding.check][0]:
            return finding.words
        composition = max((f.value for f in self.findings if f.check == "composition"), default=-1)
        validation = finding.validation or 0.0
        why = "chance can reach this on so few test items"
        if finding.check in SHARES:
            why = f"fewer than {_FEWEST} test items do not count as a doubt"
        elif finding.check in IN_PLACE and composition >= finding.value:
            why = "composition alone reaches as much"
        elif (
            validation < THRESHOLDS[finding.check][0] and finding.value * self.test**0.5 >= _CHANCE
        ):
            why = f"only {validation:.3f} on the validation items"
        return f"{finding.words}; clear: {why}"

    @property
    def reason(self) -> str:
        """The reason for the verdict."""
        words = self.describe(self.worst)
        if self.verdict != "PASS":
            return words
        nothing = "no fault beyond chance was found"
        return f"{nothing}; strongest finding: {words}" if self.worst.severity > 0 else nothing

    @property
    def line(self) -> str:
        """The verdict and its reason in one line."""
        return f"{self.verdict}: {self.reason}"


def share(check: str, n: int, of: int, words: str, most: Grade = "leak") -> Finding:
    """Return the graded finding for a share of the test set.

    Args:
        check: Name of the check.
        n: Test items concerned.
        of: Items in the test set.
        words: The result as a sentence.
        most: The highest grade it can get.
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
    """Return the graded finding for a rule; the lower of its two scores counts.

    Args:
        check: Name of the check.
        value: Score on the test set.
        validation: Score on the validation set.
        of: Items in the test set.
        words: The rule and its result.
        row_zero: Whether it is a baseline for models, no fault of the data.
        chosen: Whether the validation score counts.
    """
    grade: Grade = "row zero"
    if not row_zero:
        sure = min(value, validation) if chosen else value
        grade = _grade(check, sure) if value * of**0.5 >= _CHANCE else "clear"
    return Finding(
        check=check,
        grade=grade,
        value=round(value, 3) + 0.0,  # + 0.0 turns -0.0 into 0.0
        validation=round(validation, 3) + 0.0,
        words=words,
    )


def _grade(check: str, value: float) -> Grade:
    doubt, leak = THRESHOLDS[check]
    return "leak" if value >= leak else "doubt" if value >= doubt else "clear"


def verdict_of(findings: Sequence[Finding]) -> Verdict:
    """Return the verdict for some findings."""
    grades = {finding.grade for finding in findings}
    return "FAIL" if "leak" in grades else "WARN" if "doubt" in grades else "PASS"
