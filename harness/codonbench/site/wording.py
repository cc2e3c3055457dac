"""What records say, as text that shows as itself on a page, whoever wrote it."""

from __future__ import annotations

import unicodedata

LONGEST = 160


def shown(text: str, longest: int = LONGEST) -> str:
    r"""Return text without control and formatting characters, cut where it is overlong.

    Line breaks and right-to-left marks become spaces. Nothing is escaped: the page puts text into
    text nodes, where markup has no meaning.

    >>> shown("a\u202eb")
    'a b'
    """
    # What will be cut anyway need not be looked at: four characters are kept for each one shown.
    visible = "".join(
        " " if unicodedata.category(c).startswith(("C", "Z")) else c for c in text[: 4 * longest]
    )
    visible = " ".join(visible.split())
    is_cut = len(visible) > longest or len(text) > 4 * longest
    return visible[: longest - 1] + "…" if is_cut else visible


def shown_facts(facts: dict[str, object]) -> str:
    """Return ``hidden [64, 1024], input 64-bit``: a mapping by name, for people."""
    return ", ".join(f"{shown(k)} {shown(_text(v))}" for k, v in sorted(facts.items()))


def _text(value: object) -> str:
    return "none" if value is None else str(value)
