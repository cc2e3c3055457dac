"""The interface of explanations."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from matplotlib.figure import Figure

from codonbench.audit.repeat import Repetition
from codonbench.contracts import Frozen


@dataclass(frozen=True)
class Explanation:
    """An explanation of a run's model.

    Attributes:
        facts: The explanation as data, for JSON.
        print: Prints it as text.
        draw: Takes a title; returns figures by suffix of their file names.
    """

    facts: Frozen
    print: Callable[[], None]
    draw: Callable[[str], Mapping[str, Figure]]


Explainer = Callable[[Repetition], Explanation]
