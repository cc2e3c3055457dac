"""Text that nobody vouches for, as it may be shown, and as it may be kept."""

import unicodedata

from codonbench.contracts.base import MOST_WORDS

LONGEST = 300
"""Characters that are shown; a hostile value should not fill the screen."""


def printable(text: str) -> str:
    """Return text that cannot steer a terminal, nor the log of a build, which reads commands."""
    plain = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
    return plain if len(plain) <= LONGEST else f"{plain[:LONGEST]}..."


def storable(text: str) -> str:
    """Return text that every reader of a record takes: not overlong, no lone surrogate."""
    whole = text.encode("utf-8", errors="replace").decode("utf-8")
    return whole if len(whole) <= MOST_WORDS else f"{whole[: MOST_WORDS - 3]}..."


def harmless(text: str) -> str:
    """Return text of some lines that cannot steer a terminal, cut where it is overlong."""
    return "\n".join(visible(line, LONGEST) for line in text[:MOST_WORDS].splitlines())


LONGEST_LINE = 120
"""Characters of one line of text that is shown among others."""


def visible(text: str, longest: int = LONGEST_LINE) -> str:
    """Return text on one line, cut where it is overlong, and free of what cannot be seen.

    Control and formatting characters go: line breaks, escape sequences, zero-width and
    right-to-left marks. Of marks that pile up on one letter the first two stay.
    """
    kept: list[str] = []
    for c in text:
        category = unicodedata.category(c)
        if category.startswith(("C", "Z")):
            kept.append(" ")
        elif not (category.startswith("M") and _are_marks(kept[-2:])):
            kept.append(c)
        if len(kept) > 4 * longest:  # enough to cut from: spaces may yet melt into one
            break
    line = " ".join("".join(kept).split())
    is_cut = len(line) > longest or len(kept) > 4 * longest
    return line[: longest - 1] + "…" if is_cut else line


def _are_marks(characters: list[str]) -> bool:
    return len(characters) == 2 and all(unicodedata.category(c)[0] == "M" for c in characters)
