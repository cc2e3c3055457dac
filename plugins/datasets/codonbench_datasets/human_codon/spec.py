"""What ``human-codon`` asks: its codons, classes, groups and class weights."""

from __future__ import annotations

from collections.abc import Mapping

from codonbench.contracts import EvaluationSet, Input, Target, TaskSpec
from codonbench_datasets.human_codon.genetic_code import ALPHABET, CLASSES, CODONS, GeneticCode
from codonbench_datasets.human_codon.orfs import TEST_PAIRS, TRAIN_PAIRS

NAME = "human-codon"
VERSION = "1"
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
