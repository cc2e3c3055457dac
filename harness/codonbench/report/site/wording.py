"""What records say, as text that shows as itself on a page, whoever wrote it."""

from __future__ import annotations

from codonbench.records.printable import visible

LONGEST = 160


def shown(text: str, longest: int = LONGEST) -> str:
    r"""Return text without control and formatting characters, cut where it is overlong.

    Line breaks and right-to-left marks become spaces. Nothing is escaped: the page puts text into
    text nodes, where markup has no meaning.

    >>> shown("a\u202eb")
    'a b'
    """
    return visible(text, longest)


def shown_facts(facts: dict[str, object]) -> str:
    """Return ``hidden [64, 1024], input 64-bit``: a mapping by name, for people."""
    return ", ".join(f"{shown(k)} {shown(_text(v))}" for k, v in sorted(facts.items()))


def _text(value: object) -> str:
    return "none" if value is None else str(value)
