"""The control: the same codons in the same order, their meanings shuffled anew for each run.

A learner that takes each codon as it comes cannot tell. One that was built around the genetic
code, or that gains from its order (synonyms mostly share two nucleotides), loses what it gained.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import numpy.typing as npt

from codonbench import Dataset, Split

IntArray = npt.NDArray[np.int64]

NOTE = (
    "Control: in each run the codons' meanings are shuffled, so that every class keeps its "
    "number of codons; stop means the codons that the shuffled code makes stop."
)


def shuffled(labels: IntArray, rng: np.random.Generator) -> IntArray:
    """Return the labels in random order: each class keeps its number of codons.

    Args:
        labels: Class of each codon, shape (64,).
        rng: The only source of chance.
    """
    return rng.permutation(labels)


@dataclass(frozen=True, eq=False, kw_only=True)
class ShuffledCode(Dataset):
    """Data whose codons mean something else in each run.

    Before `for_run` the labels are the natural ones, and which codons are stop is left open.

    Attributes:
        natural: What pairs are drawn from, exactly as without the control.
    """

    natural: Dataset

    def split(self, rng: np.random.Generator) -> Split:
        """Draw one seed's pairs: those of the natural data."""
        return self.natural.split(rng)

    def for_run(self, rng: np.random.Generator) -> Self:
        """Return the data under the code that `rng` shuffles.

        The groups of the classes follow the code; ``rare`` stays, because a codon is as rare as
        it was. Class weights stay with their classes, and are no longer the data's.
        """
        targets = shuffled(self.targets.astype(np.int64), rng)
        asked = targets[self.evaluation]
        spec = self.spec
        evaluation = spec.evaluation
        assert evaluation is not None
        names = ("stop" if name == "*" else name for name in spec.target.names)
        members = {name: tuple(np.flatnonzero(asked == i).tolist()) for i, name in enumerate(names)}
        update = {"targets": tuple(asked.tolist()), "groups": evaluation.groups | members}
        asked_now = evaluation.model_copy(update=update)
        spec = spec.model_copy(update={"evaluation": asked_now})
        return replace(self, spec=spec, targets=targets)


def shuffled_code(natural: Dataset) -> ShuffledCode:
    """Return data that are `natural` but for what their codons mean."""
    spec = natural.spec
    assert spec.evaluation is not None
    groups = {name: members for name, members in spec.groups.items() if name != "stop"}
    evaluation = spec.evaluation.model_copy(update={"groups": groups})
    return ShuffledCode(
        spec=spec.model_copy(update={"evaluation": evaluation, "notes": (*spec.notes, NOTE)}),
        source=natural.source,
        checksum=natural.checksum,  # it vouches for the pairs, and these are the same
        simulated=natural.simulated,
        items=natural.items,
        targets=natural.targets,
        evaluation=natural.evaluation,
        frequencies=natural.frequencies,
        report=(*natural.report, "control: each seed has a shuffled genetic code of its own"),
        provenance=natural.provenance,
        natural=natural,
    )
