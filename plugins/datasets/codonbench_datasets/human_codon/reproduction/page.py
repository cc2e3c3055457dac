"""A reproduction's page: generated sections between markers, and whatever people write around.

The text is in ``page.md.j2``, whose blocks are the sections.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from functools import cache
from pathlib import Path
from statistics import median
from typing import get_args

import jinja2

from codonbench.errors import StoreError
from codonbench.ranking.rows import NONE, name_text
from codonbench.report.markdown import markdown_template
from codonbench_datasets.human_codon.reproduction.agreement import (
    MOST_LUCK,
    TOO_EARLY,
    Kind,
    chance_outside,
    look_at,
)
from codonbench_datasets.human_codon.reproduction.report import EXACT, Report, Spread

KINDS = {
    "agrees": "agrees",
    "differs": "does not agree",
    "unknown": "cannot be known",
    "too few": "too few seeds to say",
    "partly run": "not all run yet",
    "not run": "not run yet",
}

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
    page = _template().render(_facts(report)) if page is None else page
    names = [match[1] for match in _BLOCK.finditer(page)]
    unknown = sorted(set(names) - set(sections()))
    if unknown:
        raise StoreError(f"no section {unknown[0]!r}; there are {', '.join(sections())}")
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise StoreError(f"section {twice[0]!r} occurs twice")
    stray = _MARKER.search(_BLOCK.sub("", page))
    if stray:
        raise StoreError(f"the marker {stray[0]!r} lacks its partner")
    if not names:
        raise StoreError(f"it has no marker such as {_between('table', '')!r}")
    return _BLOCK.sub(lambda match: _between(match[1], render_section(report, match[1])), page)


def sections() -> tuple[str, ...]:
    """Return the names of all sections, in the order of a new page."""
    return tuple(name.replace("_", "-") for name in _template().blocks)


def render_section(report: Report, name: str) -> str:
    """Return a section's Markdown, without markers."""
    template = _template()
    block = template.blocks[name.replace("-", "_")]
    text = "".join(block(template.new_context(_facts(report))))
    return re.sub(r"\n{3,}", "\n\n", text).strip()


def _between(name: str, content: str) -> str:
    return f"<!-- reproduce:{name}:begin -->\n\n{content}\n\n<!-- reproduce:{name}:end -->"


@cache
def _template() -> jinja2.Template:
    return markdown_template(
        __package__,
        "page.md.j2",
        spread=spread_text,
        whole="{:,.0f}".format,
        percent=lambda share: f"{100 * share:.0f} %",
        chance=lambda p: f"{100 * p:.2g} %" if p < 0.995 else "100 %",
    )


def _facts(report: Report) -> dict[str, object]:
    """Return what the template is filled in with."""
    instrument = report.publication.instrument
    criterion = instrument.criteria[0]

    def inputs(count: float | None) -> str:
        """Return ``2,982 (16)``: inputs, and the epoch of the look that completes them."""
        if count is None:
            return "never"
        looks = math.ceil(count / instrument.frame_inputs)
        return f"{count:,.0f} ({math.ceil(looks / len(instrument.frames))})"

    numbered = list(enumerate(report.cells, 1))
    rows = [(n, reading) for n, found in numbered for reading in found.readings]
    run = [(n, reading) for n, reading in rows if reading.runs.seeds]
    return {
        "report": report,
        "publication": report.publication,
        "criterion": criterion,
        "numbered": numbered,
        "rows": rows,
        "run": run,
        "kinds": KINDS,
        "exact": EXACT,
        "name_text": name_text,
        "chance_outside": chance_outside,
        "beyond": f"> {report.publication.budget_epochs}",
        "most_luck": MOST_LUCK,
        "verdicts": Counter(found.verdict.kind for found in report.cells),
        "median": median,
        "ratios": [
            printed.median / consumed.median
            for _, reading in run
            if (printed := reading.runs.pairs[criterion]).median
            and (consumed := reading.runs.exact["pairs_consumed"])
            and consumed.median
        ],
        "inputs": inputs,
        "look_at": lambda number: look_at(number, instrument),
        "epoch_of": lambda look: math.ceil(look / len(instrument.frames)),
        "too_early": TOO_EARLY,
        "reached": [(n, c) for n, c in numbered if c.look is not None and not c.cell.censored],
    }


def spread_text(spread: Spread | None, form: str = "{:,.0f}", never: str = "never") -> str:
    """Return ``11 [6 to 33]``, ``> 40`` where none got there, ``-`` for none.

    Args:
        spread: Median and range.
        form: How one value shows.
        never: How one that never got there shows.
    """
    if spread is None:
        return NONE
    middle, low, high = (
        never if value is None else form.format(value)
        for value in (spread.median, spread.low, spread.high)
    )
    return middle if spread.n == 1 or low == high else f"{middle} [{low} to {high}]"


def updated_page(report: Report, path: Path) -> bytes:
    """Return what a page's file should hold; see `render_page`.

    Raises:
        StoreError: The page there is no text, or its markers are wrong.
    """
    try:
        page = path.read_bytes().decode() if path.is_file() else None
        return render_page(report, page).encode()
    except (UnicodeDecodeError, StoreError) as error:
        raise StoreError(f"{path}: {error}") from error


def summary(report: Report) -> str:
    """Return ``figures: 13, agrees: 2, ...``."""
    kinds = Counter(cell.verdict.kind for cell in report.cells)
    return f"figures: {kinds.total()}, " + ", ".join(f"{k}: {kinds[k]}" for k in get_args(Kind))
