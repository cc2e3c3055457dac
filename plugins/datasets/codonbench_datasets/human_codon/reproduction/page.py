"""A reproduction's page: generated sections between markers, and whatever people write around."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from types import MappingProxyType

from codonbench.errors import StoreError
from codonbench.report.markdown import plain
from codonbench_datasets.human_codon.reproduction.method_sections import (
    instrument_section,
    left_out_section,
    printing_section,
    runs_section,
)
from codonbench_datasets.human_codon.reproduction.report import Report
from codonbench_datasets.human_codon.reproduction.result_sections import (
    criteria_section,
    exact_section,
    table_section,
    verdicts_section,
)

SECTIONS: Mapping[str, tuple[str, Callable[[Report], str]]] = MappingProxyType(
    {
        "runs": ("What the figures rest on", runs_section),
        "table": ("The published figures, and the same instrument on our runs", table_section),
        "verdicts": ("What agrees, what does not, what cannot be known", verdicts_section),
        "exact": ("The same runs, measured exactly", exact_section),
        "instrument": ("What the instrument alone costs", instrument_section),
        "criteria": ("What counts as deciphered", criteria_section),
        "printing": ("How the published pairs were counted", printing_section),
        "left-out": ("Not counted", left_out_section),
    }
)
"""By name, a heading for pages that nobody has written yet, and what is generated."""

_BLOCK = re.compile(r"<!-- reproduce:([a-z-]+):begin -->.*?<!-- reproduce:\1:end -->", re.S)
_MARKER = re.compile(r"<!-- reproduce:[^>]*-->")


def render_page(report: Report, page: str | None) -> str:
    """Return a page with its sections generated anew; all else in it stays.

    Args:
        report: What to say.
        page: What there is; None for a page of headings and sections only.

    Raises:
        StoreError: A marker is unknown or lacks its partner, or a section occurs twice or never.
    """
    page = _new_page(report) if page is None else page
    names = [match[1] for match in _BLOCK.finditer(page)]
    unknown = sorted(set(names) - set(SECTIONS))
    if unknown:
        raise StoreError(f"no section {unknown[0]!r}; there are {', '.join(SECTIONS)}")
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise StoreError(f"section {twice[0]!r} occurs twice")
    stray = _MARKER.search(_BLOCK.sub("", page))
    if stray:
        raise StoreError(f"the marker {stray[0]!r} lacks its partner")
    if not names:
        raise StoreError(f"it has no marker such as {_block('table', '')!r}")
    return _BLOCK.sub(lambda match: _block(match[1], SECTIONS[match[1]][1](report)), page)


def _block(name: str, content: str) -> str:
    inner = f"\n\n{content}\n\n" if content else "\n"
    return f"<!-- reproduce:{name}:begin -->{inner}<!-- reproduce:{name}:end -->"


def _new_page(report: Report) -> str:
    """Return a title and, under a heading each, the markers of every section."""
    publication = report.publication
    parts = [
        f"# {plain(publication.title)}, reproduced",
        f"{plain(publication.reference)}, doi {plain(publication.doi)}.",
    ]
    for name, (heading, _) in SECTIONS.items():
        parts += [f"## {heading}", _block(name, "")]
    return "\n\n".join(parts) + "\n"
