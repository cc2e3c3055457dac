"""What ``human-codon`` asks: its codons, classes, groups and class weights; and its control.

Under the control the same codons come in the same order, their meanings shuffled anew for each run.
A learner that takes each codon as it comes cannot tell. One that was built around the genetic code,
or that gains from its order (synonyms mostly share two nucleotides), loses what it gained.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import numpy.typing as npt

from codonbench import Dataset, Split
from codonbench.contracts import EvaluationSet, Input, Target, TaskSpec
from codonbench_datasets.human_codon.genetic_code import ALPHABET, CLASSES, CODONS, GeneticCode

IntArray = npt.NDArray[np.int64]

NAME = "human-codon"
VERSION = "1"
TRAIN_PAIRS = 576_000
TEST_PAIRS = 64_000
TITLE = "Deciphering the genetic code from human ORFs"

# fmt: off
PROTEOME_PERCENT: Mapping[str, float] = {
    "*": 0.34, "G": 6.597492, "V": 6.069294, "K": 5.63079, "N": 3.607692, "Q": 4.644156,
    "H": 2.601126, "E": 6.856608, "D": 4.693986, "Y": 2.750616, "C": 2.322078, "F": 3.78708,
    "I": 4.424904, "M": 2.202486, "W": 1.315512, "R": 5.670654, "L": 10.01583, "S": 8.112324,
    "T": 5.321844, "P": 6.109158, "A": 6.92637,
}
# fmt: on
"""Amino-acid percentages of the human proteome, from the authors' public script."""

RARE_SENSE_CODONS = ("UCG", "CGU")
"""Rarest sense codons of human ORFs: 4.5 and 4.7 in a thousand; only stops are rarer."""


def human_codon_spec(code: GeneticCode, *, simulated: bool = False) -> TaskSpec:
    """Return the task under one genetic code.

    Groups of codons: one for each amino acid, named by its letter; ``stop``, those labelled
    ``*``; ``rare``, the stops and `RARE_SENSE_CODONS`.

    Args:
        code: What each codon means.
        simulated: Whether the ORFs are, which the notes then say.
    """
    groups = {
        letter: tuple(i for i in range(64) if code.amino_acids[i] == letter)
        for letter in CLASSES[:-1]
    }
    groups["stop"] = code.stops
    rare_sense = (CODONS.index(codon) for codon in RARE_SENSE_CODONS)
    groups["rare"] = tuple(sorted({*code.stops, *rare_sense}))
    return TaskSpec(
        name=NAME,
        version=VERSION,
        title=TITLE,
        input=Input.of_length(
            3, unit="codon", symbol="nucleotide", alphabet=ALPHABET, enumerable=True
        ),
        target=Target(
            names=CLASSES,
            class_weights=tuple(1 / PROTEOME_PERCENT[letter] for letter in CLASSES),
        ),
        protocol="decipher",
        evaluation=EvaluationSet(inputs=CODONS, targets=tuple(code.labels.tolist()), groups=groups),
        train_size=TRAIN_PAIRS,
        test_size=TEST_PAIRS,
        default_epochs=40,
        facts={"instrument_batches": [3000, 6000, 9000], "watched_groups": ["stop"]},
        notes=_notes(code, simulated),
        reference="doi:10.3389/frai.2023.1128153",
    )


def _notes(code: GeneticCode, simulated: bool) -> tuple[str, ...]:
    """Return what a reader of the leaderboard must know about these data."""
    notes = []
    if simulated:
        notes.append("Simulated ORFs: human codon usage and ORF lengths, no real sequence.")
    if code.number != 1:
        notes.append(f"Genetic code {code.number} ({code.name}).")
    if code.stop_or_sense:
        both = ", ".join(CODONS[i] for i in code.stop_or_sense)
        notes.append(
            f"Under genetic code {code.number} these codons can be stop or amino acid and are "
            f"labelled with the amino acid: {both}."
        )
    if not code.stops:
        notes.append("No codon is labelled stop, so metrics of stop codons do not apply.")
    return tuple(notes)


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
