"""What a page needs to draw one row: the models of its data. How they are made: `reduction`.

`trace_sha256` is the checksum of a trajectory: what committed rows call it, they go on calling it.
"""

from __future__ import annotations

from typing import Literal

from codonbench.contracts import Frozen, TaskView
from codonbench.report.site.figures import RowContent
from codonbench.report.site.scripts import Packed

NEVER = 2**32 - 1
"""Stands for "not within this run" in arrays of pairs."""


class Axes(Frozen):
    """What is asked, as axes of pictures.

    Attributes:
        unit: What one input is called: ``codon``.
        symbol: What one letter of it is called: ``nucleotide``.
        alphabet: Its letters in order: ``UCAG``.
        length: Letters in one input.
        inputs: The probe set, shape (P,).
        classes: Class names in true order, shape (C,).
        needed: How many inputs must be right for the task to count as deciphered.
        first_look: Pairs at the first frame of the reference's instrument; None where the task
            has no instrument.
    """

    unit: str
    symbol: str
    alphabet: str
    length: int
    inputs: tuple[str, ...]
    classes: tuple[str, ...]
    needed: int
    first_look: int | None

    def view(self, task: str) -> TaskView:
        """Return the task as its models see it."""
        return TaskView(
            task=task,
            unit=self.unit,
            symbol=self.symbol,
            alphabet=self.alphabet,
            min_length=self.length,
            max_length=self.length,
            n_inputs=len(self.inputs),
            n_outputs=len(self.classes),
        )


class SeedPicture(Frozen):
    """How one run learned.

    Probabilities are levels of 0..255, the square of which is p: ``p = (level / 255) ** 2``, so
    that small ones, which the paper's instrument shows at full colour, keep their grades.

    Attributes:
        seed, run_id, trace_sha256: The run and the trajectory that this was made from.
        complete: Whether the run spent its whole budget.
        all_seen: Pairs after which its stream has shown every input; None if it never does.
        probes: How many probes the trajectory has; `pairs` has all of them, or `MOST_POINTS`.
        stops: The stop codons, or whatever the task's group ``stop`` is, as input indices (S,).
        pairs: Pairs presented before each probe, shape (T,).
        right: Inputs right, shape (T,).
        stops_right: Those of them that are stops, shape (T,).
        lowest: The lowest p(true) of all inputs, a level, shape (T,).
        p_stop: p(true) of each stop, levels, shape (S, T).
        first_right: Pairs at which each input was first right, or `NEVER`, shape (P,).
        right_since: Pairs from which each input was right to the end, or `NEVER`, shape (P,).
    """

    seed: int
    run_id: str
    trace_sha256: str
    complete: bool
    all_seen: int | None
    probes: int
    stops: tuple[int, ...]
    pairs: Packed
    right: Packed
    stops_right: Packed
    lowest: Packed
    p_stop: Packed
    first_right: Packed
    right_since: Packed


class HeatMap(Frozen):
    """The whole code at every probe of one run, and what the paper's instrument saw of it.

    Attributes:
        seed, run_id, trace_sha256: The run and its trajectory.
        probes: How many probes the trajectory has; `pairs` has all of them, or `MOST_FRAMES`.
        labels: True class of each input in this run, shape (P,).
        pairs: Shape (T,).
        p: p(class | input) as levels, shape (P, C, T).
        right: 1 where an input is right, shape (P, T).
        looks: Index among `pairs` of each frame of the instrument, shape (F,).
        redrawn: 1 where that frame redrew an input, shape (P, F).
    """

    seed: int
    run_id: str
    trace_sha256: str
    probes: int
    labels: tuple[int, ...]
    pairs: Packed
    p: Packed
    right: Packed
    looks: tuple[int, ...]
    redrawn: Packed


class EmbeddingPicture(Frozen):
    """A learned embedding of the inputs in two dimensions, at the end of one run.

    Attributes:
        seed, run_id, trace_sha256: The run and its trajectory, which its weights went with.
        dimensions: Of the embedding itself; more than two were projected by PCA.
        explained: Share of the variance along each of the two axes.
        labels: True class of each input in this run, shape (P,).
        xy: Where each input lies, shape (P, 2).
    """

    seed: int
    run_id: str
    trace_sha256: str
    dimensions: int
    explained: tuple[float, ...]
    labels: tuple[int, ...]
    xy: tuple[tuple[float, float], ...]


class RowPicture(RowContent):
    """All pictures of one row of the leaderboard.

    Attributes:
        schema_version: Of this format; a file of another one is made anew.
        row: The row's id.
        axes: What was asked.
        seeds: The runs whose trajectories were at hand.
        heat_map: Of one run; None where there are too many inputs for one.
        embedding: Of one run; None where the model has none, or it was not asked for.
    """

    schema_version: Literal[1] = 1
    axes: Axes
    seeds: tuple[SeedPicture, ...]
    heat_map: HeatMap | None
    embedding: EmbeddingPicture | None
