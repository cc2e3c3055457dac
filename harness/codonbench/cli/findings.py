"""Findings on a terminal: a line each as it comes, what is wrong below it, and a summary."""

from __future__ import annotations

from collections.abc import Sequence
from types import MappingProxyType, TracebackType
from typing import Self

from rich.padding import Padding
from rich.text import Text

from codonbench.cli.console import messages, output
from codonbench.testing.findings import Facts, Finding, summary

_STYLES = MappingProxyType(
    {"passed": "green", "failed": "bold red", "warning": "yellow", "skipped": "dim"}
)
MARKS = MappingProxyType({"passed": "✓", "failed": "✗", "warning": "!", "skipped": "–"})
_WIDTH = 15  # of the column of names


class Display:
    """Shows the findings on one model; nothing where not asked to."""

    def __init__(self, wanted: bool) -> None:
        self._wanted = wanted
        self._status = messages().status("loading the plugins")

    def __enter__(self) -> Self:
        self._status.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trajectory: TracebackType | None,
    ) -> None:
        self._status.stop()

    def begin(self, facts: Facts) -> None:
        """Say what is checked."""
        of = f" of {facts.distribution} {facts.distribution_version}".rstrip()
        version = f"version {facts.version}{of if facts.distribution else ''}"
        own = f" ({facts.name}, {version})" if facts.name != facts.model else f", {version},"
        self._print(Text(f"{facts.model}{own} on {facts.task}, data {facts.data}", style="bold"))

    def working(self, check: str) -> None:
        """Say which check is being made."""
        self._status.update(f"checking: {check}")

    def show(self, finding: Finding) -> None:
        """Print one finding: its words on the same line where nothing is to be done, else below."""
        mark = MARKS[finding.status]
        line = Text.assemble(
            (f"{mark} {finding.id:<{_WIDTH}}", _STYLES[finding.status]), finding.title
        )
        if finding.words and finding.status in ("passed", "skipped"):
            line.append(f": {finding.words}", style="dim")
            self._print(line)
            return
        self._print(line)
        if finding.words:
            words = Text(finding.words, style=_STYLES[finding.status])
            self._print(Padding(words, (0, 0, 0, 4), expand=False))

    def end(self, findings: Sequence[Finding]) -> None:
        """Print the summary."""
        self._print(Text(summary(findings), style="bold"))

    def _print(self, thing: Text | Padding) -> None:
        if self._wanted:
            output().print(thing)
