"""An audit of data as Markdown, and as the rows of a table."""

from __future__ import annotations

import math
import re
from functools import cache

import jinja2

from codonbench.leakage.verdict import SHARES, THRESHOLDS, DataAudit, Finding
from codonbench.ranking.rows import NONE
from codonbench.report.markdown import markdown_template

_LONGEST = 600

HEADINGS = ("check", "grade", "found", "doubt from", "leak from", "in words")


def _threshold(finding: Finding, which: int) -> str:
    """Return where a doubt (0) or a leak (1) begins; ``-`` for row zero."""
    if finding.grade == "row zero":
        return NONE
    return _text(THRESHOLDS[finding.check][which], share=finding.check in SHARES)


def _text(value: float, *, share: bool) -> str:
    """Return a share as ``3.1%``, a score as ``0.639``; ``-`` for what is never reached."""
    if math.isinf(value):
        return NONE
    return f"{value:.1%}" if share else f"{value:.3f}"


def table_rows(audit: DataAudit) -> list[tuple[str, ...]]:
    """Return the cells of each finding, under `HEADINGS`."""
    return [
        (
            finding.check,
            finding.grade,
            _text(finding.exact, share=finding.check in SHARES),
            _threshold(finding, 0),
            _threshold(finding, 1),
            audit.describe(finding),
        )
        for finding in audit.findings
    ]


def summary(audit: DataAudit) -> tuple[str, ...]:
    """Return further remarks on an audit, a sentence each."""
    sizes = f"{audit.train:,} training, {audit.validation:,} validation and {audit.test:,} test"
    clean = len(audit.clean)
    rule = audit.best_rule
    return (
        f"{sizes} items; data {audit.checksum[:12]}; rules {audit.rules}.",
        f"{clean:,} of {audit.test:,} test items have no near-copy in training.",
        *(
            (
                f"The best rule, chosen on validation, where its {audit.score} is "
                f"{rule.validation:.3f}: {rule.words}"
                f"{f' [{rule.low:.3f}, {rule.high:.3f}]' if rule.low is not None else ''}.",
            )
            if rule is not None and rule.validation
            else ()
        ),
        *(f"{remark[0].upper()}{remark[1:]}." for remark in audit.remarks),
    )


def render_audit(audit: DataAudit) -> str:
    """Return an audit as Markdown; its first word is the verdict."""
    text = _template().render(
        audit=audit,
        summary=summary(audit),
        headings=HEADINGS,
        rows=table_rows(audit),
        longest=_LONGEST,
    )
    return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"


@cache
def _template() -> jinja2.Template:
    return markdown_template("codonbench.report", "data_audit.md.j2")
