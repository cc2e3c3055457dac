"""Text that nobody vouches for, as it may be shown, and as it may be kept."""

LONGEST = 300
"""Characters that are shown; a hostile value should not fill the screen."""


def printable(text: str) -> str:
    """Return text that cannot steer a terminal, nor the log of a build, which reads commands."""
    plain = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
    return plain if len(plain) <= LONGEST else f"{plain[:LONGEST]}..."


MOST_WORDS = 4_000
"""Characters of a plugin's words that a record keeps; it may be 256 KiB in all."""


def storable(text: str) -> str:
    """Return text that every reader of a record takes: not overlong, no lone surrogate."""
    whole = text.encode("utf-8", errors="replace").decode("utf-8")
    return whole if len(whole) <= MOST_WORDS else f"{whole[: MOST_WORDS - 3]}..."
