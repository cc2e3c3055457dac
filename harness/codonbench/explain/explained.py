"""What was found of a run, and how it is told."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from matplotlib.figure import Figure

from codonbench.audit.repeat import Repetition
from codonbench.contracts import Frozen


@dataclass(frozen=True)
class Explanation:
    """What a run's model rests on.

    Attributes:
        facts: All of it, for JSON.
        print: Prints it as text.
        draw: Given a title, returns its pictures, by what is added to a file's name.
    """

    facts: Frozen
    print: Callable[[], None]
    draw: Callable[[str], Mapping[str, Figure]]


Explainer = Callable[[Repetition], Explanation]
