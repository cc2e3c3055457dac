"""What a task asks, in words: of its input and its target."""

from __future__ import annotations

from codonbench.contracts import Input, Target

MOST_NAMES = 15


def input_words(asked: Input) -> str:
    """Return what an item is, in words."""
    if asked.kind == "features":
        return f"{asked.max_length:,} features a {asked.unit}"
    parts = []
    for part in asked.sequences:
        lengths = f"{part.min_length:,}"
        if part.max_length > part.min_length:
            lengths += f" to {part.max_length:,}"
        parts.append(f"{part.unit} of {lengths} letters `{part.alphabet}`")
    return " and ".join(parts)


def target_words(asked: Target) -> str:
    """Return what is asked, in words."""
    names = ", ".join(asked.names[:MOST_NAMES]) + (", ..." if len(asked.names) > MOST_NAMES else "")
    units = f" ({', '.join(asked.units)})" if asked.units else ""
    one = {"classes": "class", "labels": "label", "quantities": "quantity"}[asked.kind]
    return f"{len(asked.names)} {one if len(asked.names) == 1 else asked.kind}: {names}{units}"
