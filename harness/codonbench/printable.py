"""Text from files that nobody vouches for, as it may be shown."""

LONGEST = 300
"""Characters that are shown; a hostile value should not fill the screen."""


def printable(text: str) -> str:
    """Return text that cannot steer a terminal, nor the log of a build, which reads commands."""
    plain = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
    return plain if len(plain) <= LONGEST else f"{plain[:LONGEST]}..."
