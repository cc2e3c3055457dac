"""A report as Markdown, fit for a pull request: no time, no path, no host."""

from __future__ import annotations

import textwrap

from codonbench.report.markdown import plain
from codonbench.testing.findings import Report, Status, summary

MARKS: dict[Status, str] = {"passed": "✓", "failed": "✗", "warning": "!", "skipped": "–"}


def render_report(report: Report, command: str) -> str:
    """Return the report as Markdown.

    Args:
        report: The findings.
        command: What makes it again.
    """
    facts = report.facts
    rows = {
        "model": f"`{plain(facts.name)}`, version {plain(facts.version)}",
        "distribution": plain(f"{facts.distribution} {facts.distribution_version}".strip())
        or "none",
        "source (SHA-256)": f"`{facts.source_sha256}`",
        "configuration": ", ".join(f"{plain(f)} {plain(str(v))}" for f, v in facts.config.items()),
        "encoding": plain(facts.encoding) or "none",
        "parameters": "unknown" if report.parameters is None else f"{report.parameters:,}",
        "task": plain(f"{facts.task}, data {facts.data}"),
        "environment": ", ".join(f"{n} {plain(v)}" for n, v in facts.environment.items()),
    }
    return "\n".join(
        (
            f"# {plain(facts.model)}: {summary(report.findings)}",
            "",
            "| | |",
            "|---|---|",
            *(f"| {name} | {value} |" for name, value in rows.items()),
            "",
            "| | check | what it holds | what was found |",
            "|---|---|---|---|",
            *(
                f"| {MARKS[f.status]} | {f.id} | {plain(f.title)} | {_sentence(f.words)} |"
                for f in report.findings
            ),
            "",
            f"Made by `{command}`.",
            "",
        )
    )


def _sentence(words: str) -> str:
    """Return words of any length as they show in a table; `plain` alone would cut them."""
    return " ".join(plain(line) for line in textwrap.wrap(words, 100))
