"""The protocol ``decipher``: how many pairs until every item of a fixed set is right, and stays so.

The whole evaluation set is asked at every scheduled position, in pairs, for every engine alike:
position 0; the end of each of the first 256 batches; then each next one at most 3 % later; while a
sustained window is open at least every 1,024 pairs, and at the window's end; the batch that
completes ``all_seen`` and the next 64; every epoch's end; every frame of the reference
publication's instrument; the end of the budget. An evaluation always falls on the end of a batch.

`DecipheredTask` says how tables of such a task rank their rows, and what its records must say.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from pydantic import JsonValue

from codonbench import Task
from codonbench.contracts import (
    Column,
    Control,
    Doubt,
    Outputs,
    Ranking,
    TaskSpec,
    required_right,
)
from codonbench.contracts.trajectory import IntArray
from codonbench.data.stream import BatchClock, first_positions
from codonbench.protocols import Evaluation, Protocol, RunSetup, Schedule
from codonbench_datasets._deciphered_record import contradictions
from codonbench_datasets._deciphering import (
    AFTER_ALL_SEEN,
    CONFIDENCE,
    DENSE_BATCHES,
    GROWTH,
    INSTRUMENT_BATCH,
    WINDOW_PAIRS,
    WINDOW_STEP,
    Number,
    Remark,
)

if TYPE_CHECKING:
    from codonbench.contracts.run_record import RunRecord


class Decipher(Protocol):
    """All of an evaluation set asked along a stream, until all of it is right for good."""

    name: ClassVar[str] = "decipher"
    summary: ClassVar[str] = "pairs until all of the evaluation set is right, and stays so"
    stop_rules: ClassVar[tuple[str, ...]] = ("confident", "budget")
    split: ClassVar[str] = "evaluation"
    tells_targets: ClassVar[bool] = False

    def schedule(self, setup: RunSetup) -> Schedule:
        """Return the schedule of one run."""
        return DecipherSchedule(setup)

    def constant(self, setup: RunSetup) -> Sequence[Evaluation]:
        """Return the start, a window's end, the budget's end, and each frame."""
        clock = setup.clock
        frames = frame_positions(clock, setup.dataset.spec)
        positions = {0, clock.end_of(WINDOW_PAIRS), clock.budget_pairs, *frames}
        return tuple(Evaluation(position, self.split) for position in sorted(positions))


class DecipherSchedule(Schedule):
    """Evaluations by position, until deciphering is sustained and confident.

    Args:
        setup: The run's.
    """

    def __init__(self, setup: RunSetup) -> None:
        self._setup = setup
        self._task = task = setup.dataset.spec
        self._frames = frame_positions(setup.clock, task)
        self._targets = setup.hidden[setup.dataset.evaluation].astype(np.int64)
        self._watcher = Watcher(self._targets, required_right(task), setup.run_spec.stop)
        self._reached: list[int] = []

    @cached_property
    def _first_seen(self) -> IntArray:
        dataset, stream = self._setup.dataset, self._setup.stream
        return first_positions(stream.epoch(0), dataset.evaluation, len(dataset.items))

    @cached_property
    def _positions(self) -> Positions:
        seen = self._first_seen
        shown = self._task.input.enumerable and bool(seen.all())
        return Positions(self._setup.clock, self._task, int(seen.max()) if shown else None)

    def first(self) -> Evaluation:
        """Return the evaluation before the first pair."""
        return Evaluation(0, "evaluation")

    def next(self, evaluation: Evaluation, outputs: Outputs) -> Evaluation | None:
        """Return the next evaluation; None once the run is over."""
        position, watcher = evaluation.position, self._watcher
        watcher.see(position, outputs)
        self.finite = watcher.finite
        self._reached.append(position)
        if watcher.finished or position >= self._setup.clock.budget_pairs:
            return None
        return Evaluation(self._positions.after(position, watcher.window_start), "evaluation")

    def progress(self) -> str:
        """Return ``62/64 codons 2/3 stops``: how much is right, of the set and of groups."""
        right, task = self._watcher.right, self._task
        words = [f"{int(right.sum()):>2}/{len(right)} {task.input.unit}s"]
        for name in task.facts.get("watched_groups", ()) or ():  # type: ignore[union-attr]
            members = list(task.groups.get(str(name), ()))
            if members:
                words.append(f"{int(right[members].sum())}/{len(members)} {name}s")
        return " ".join(words)

    def arrays(self) -> Mapping[str, IntArray]:
        """Return the facts of the stream that metrics need.

        ``first_seen`` (P,): position (from 1) at which the stream first shows each item, 0 where
        one epoch never does. ``test_counts`` (P,): how often each item is held out.
        ``frame_pairs`` (F,) and ``frame_inputs`` (F, B): each frame of the instrument that was
        reached, and the batch behind it as indices into the evaluation set, -1 for an item outside.
        """
        setup, dataset = self._setup, self._setup.dataset
        clock, reached = setup.clock, set(self._reached)
        frames = [frame for frame in self._frames if frame in reached]
        place = np.full(len(dataset.items), -1, dtype=np.int64)
        place[dataset.evaluation] = np.arange(len(dataset.evaluation))
        batches = [setup.stream.between(clock.last_end_by(f - 1), f) for f in frames]
        held_out = np.bincount(setup.stream.split.test, minlength=len(dataset.items))
        return {
            "first_seen": self._first_seen,
            # A held-out sample is its own test set: one of each.
            "test_counts": held_out[dataset.evaluation].astype(np.int64)
            if self._task.input.enumerable
            else np.ones(len(dataset.evaluation), dtype=np.int64),
            "frame_pairs": np.asarray(frames, dtype=np.int64),
            "frame_inputs": place[np.stack(batches)]
            if batches
            else np.zeros((0, clock.batch_size), dtype=np.int64),
        }

    def facts(self) -> dict[str, JsonValue]:
        """Return how long deciphering must last to count as sustained."""
        return {"window_pairs": WINDOW_PAIRS}


class Positions:
    """Where one run is evaluated; tells the next position from the last and its outcome."""

    def __init__(self, clock: BatchClock, task: TaskSpec, all_seen: int | None) -> None:
        self.clock = clock
        fixed = {0, clock.budget_pairs, *frame_positions(clock, task)}

        def batches(position: int, n: int) -> None:
            for _ in range(n):
                fixed.add(position := clock.step(position))

        batches(0, DENSE_BATCHES)
        if all_seen is not None and all_seen <= clock.budget_pairs:
            fixed.add(end := clock.end_of(all_seen))
            batches(end, AFTER_ALL_SEEN)
        epochs = range(-(-clock.budget_pairs // clock.epoch_pairs))
        fixed.update(min((n + 1) * clock.epoch_pairs, clock.budget_pairs) for n in epochs)
        self._fixed = sorted(fixed)

    def after(self, position: int, window_start: int | None) -> int:
        """Return the next position.

        Args:
            position: The last one.
            window_start: Where the open sustained window began; None where none is open.
        """
        candidates = [self._at_most(position, int(position * GROWTH))]
        candidates += self._fixed[(place := bisect_right(self._fixed, position)) : place + 1]
        if window_start is not None:
            candidates.append(self._at_most(position, position + WINDOW_STEP))
            candidates.append(self.clock.end_of(window_start + WINDOW_PAIRS))
        return min(c for c in candidates if c > position)

    def _at_most(self, position: int, limit: int) -> int:
        """Return the last batch end by `limit`, but at least one batch after `position`."""
        return max(self.clock.last_end_by(limit), self.clock.step(position))


def frame_positions(clock: BatchClock, task: TaskSpec) -> list[int]:
    """Return where the frames of the instrument fall, within the budget."""
    batches = task.facts.get("instrument_batches") or ()
    assert isinstance(batches, list | tuple)
    if clock.batch_size != INSTRUMENT_BATCH:
        return []
    ends = [INSTRUMENT_BATCH * int(batch) for batch in batches]  # type: ignore[arg-type]
    within = [end for end in ends if end <= clock.epoch_pairs]
    epochs = range(-(-clock.budget_pairs // clock.epoch_pairs))
    frames = (epoch * clock.epoch_pairs + w for epoch in epochs for w in within)
    return [f for f in frames if f <= clock.budget_pairs]


class Watcher:
    """Follows a run evaluation by evaluation: what is right, whether it lasts, when to stop.

    It steers; the figures that are published come from the trajectory alone.

    Attributes:
        right: Whether the logit of each item's true class was strictly greater than every rival's
            at the last evaluation, shape (P,); nothing is right once one is not finite.
        window_start: Where the open sustained window began; None where none is open.
        sustained, confident: Whether each has been reached.
        finite: False once a logit was NaN or infinite.
    """

    def __init__(self, targets: IntArray, needed: int, rule: str) -> None:
        self._targets = targets
        self._needed = needed
        self._rule = rule
        self.right = np.zeros(len(targets), dtype=np.bool_)
        self.window_start: int | None = None
        self.sustained = False
        self.confident = False
        self.finite = True

    def see(self, pairs: int, outputs: Outputs) -> None:
        """Take in the evaluation at `pairs`: logits (P, C), in the model's own labels."""
        self.finite = self.finite and bool(np.isfinite(outputs).all())
        if not self.finite:
            self.right = np.zeros_like(self.right)
            self.window_start = None
            return
        rows, rivals = np.arange(len(self._targets)), outputs.copy()
        rivals[rows, self._targets] = -np.inf
        self.right = np.asarray(outputs[rows, self._targets] > rivals.max(axis=1))
        deciphered = int(self.right.sum()) >= self._needed
        if not deciphered:
            self.window_start = None
        elif not self.sustained:
            if self.window_start is None:
                self.window_start = pairs
            self.sustained = pairs >= self.window_start + WINDOW_PAIRS
        if self.sustained:
            self.window_start = None
        # p >= 0.9 implies right, so the softmax is needed only where enough is right.
        if deciphered and not self.confident:
            wide = outputs.astype(np.float64)
            total = np.exp(wide - wide.max(axis=1, keepdims=True)).sum(axis=1)
            p_true = np.exp(wide[rows, self._targets] - wide.max(axis=1)) / total
            self.confident = int((p_true >= CONFIDENCE).sum()) >= self._needed

    @property
    def finished(self) -> bool:
        """Whether the run should end here, before its budget is spent."""
        if not self.finite:
            return True
        return self._rule == "confident" and self.sustained and self.confident


# Ranking

FASTER_BELOW = 0.8
"""A row is flagged where the whole interval of its ratio lies below. What takes each codon as it
comes is no faster on the real code, rather slower: its stops are a class of rare codons only,
which no shuffled code has. So honest ratios lie at 1 (`mlp-64`) or above (`embedding10-relu`);
0.8 leaves room for chance. The interval is one of medians: a row that is faster in half of its
seeds only is not flagged by it, but may be by how often it is below the bound under each code."""

SHUFFLED = Control(
    name="shuffled",
    metric="pairs_consumed",  # not the excess: it is 0 in half of the good rows, and has no ratio
    flagged_below=FASTER_BELOW,
    flag="faster on the real code than on shuffled ones: structured input or prior knowledge",
    headings=("pairs, real code", "pairs, control", "real / control", "faster"),
    explanation="The same pairs under the real code and under one shuffled for each seed. The "
    "ratio is the median over seeds; it is 0 if only the real code was deciphered. A row is faster "
    f"on the real code if the whole interval is below {FASTER_BELOW}:",
)
"""The control presents the same pairs in the same order; only what the codons mean is shuffled,
anew for each seed. So a seed with the control and the same seed without it wait for the same rare
codons, and what is left between them is what the model makes of the real code's order."""

RANKING = Ranking(
    metric="excess_pairs",
    direction="lower",
    floor=0,  # to be right about what was not shown yet is no gain from what was
    columns=(
        # Not the median, which half of a row's seeds would set, whatever happened in the others.
        Column(
            metric="excess_pairs",
            title="excess pairs, upper quartile",
            scale="difference",
            quantile=0.75,
        ),
        Column(metric="pairs_consumed", title="pairs consumed", short="pairs", scale="position"),
        Column(metric="sustained_pairs", title="sustained", scale="position", window=WINDOW_PAIRS),
        Column(metric="confident_pairs", title="confident 0.9", scale="position"),
        Column(
            metric="rare_stop_ambiguity", title="rare-stop ambiguity", short="stops", counts=True
        ),
        Column(metric="decipher_epoch", title="decipher epoch", short="epoch"),
    ),
    brief=("excess_pairs", "pairs_consumed", "decipher_epoch", "rare_stop_ambiguity"),
    success="sustained_pairs",
    restricted_mean="pairs_consumed",
    endings={"confident": "stop once sustained and confident at 0.9, at the latest"},
    control=SHUFFLED,
    fixed=("all_seen",),
)

LUCK = 0.25
"""Share of runs that an honest learner may well decipher below the bound: when a single codon
is left to be seen, a guess at it is right now and then. Far above one in 21, because an untrained
guess at the rarest codon may be a good one; more often than that is not luck."""

GUESSER = "frequency-guess"
"""The reference row that knows nothing but its stream, and guesses by class frequency."""

AS_SOON = 0.02
"""Share of runs in which an honest learner may well be as soon as the guesser where that is below
the bound. The recorded networks were so in none of 516 such runs, which leaves 0.6 % at most (95 %,
were the runs independent); at 2 % two runs of ten are so in 1.6 % of rows, and three in 0.1 %."""

ONLY_REAL = 0.1
"""Level of the sign test of how often a row is below the bound, on the real code and on shuffled
ones. Of rows that are so equally often on both, 3.4 % at most are flagged with ten seeds, since
most seeds say nothing; four seeds against none are."""

_BELOW = "below the bound"
_CAUSES = "guessing by class frequency, structured input or prior knowledge"


class DecipheredTask(Task):
    """A task whose rows are ranked by the pairs that deciphering a code takes."""

    category: ClassVar[str] = "known truth"
    counted_in: ClassVar[str] = "pairs"
    ranking: ClassVar[Ranking] = RANKING

    def remarks(self, record: RunRecord) -> tuple[Remark, ...]:
        """Return what a record's positions and counts cannot say of one run."""
        if record.trajectory_sha256 is None:  # the row was computed, not run
            return ()
        found = contradictions(record)
        return tuple((f"metrics.{metric}", what) for metric, what in found)

    def flags(self, metrics: Mapping[str, Number]) -> tuple[str, ...]:
        """Return a warning where a code was deciphered before it had been shown."""
        if not _is_below(metrics):
            return ()
        return (f"{_BELOW}: deciphered before its stream had shown every codon (luck, {_CAUSES})",)

    def ending(self, record: RunRecord) -> str:
        """Return ``deciphered after 5,632 pairs, excess 0``; empty where it was not measured."""
        if "pairs_consumed" not in record.metrics:
            return ""
        consumed, excess = record.metrics["pairs_consumed"], record.metrics.get("excess_pairs")
        if consumed is None:
            return f"not deciphered within {record.pairs:,} pairs"
        beyond = "" if excess is None else f", excess {excess:,.0f}"
        lasting = "" if record.metrics.get("sustained_pairs") is not None else ", not sustained"
        return f"deciphered after {consumed:,.0f} pairs{beyond}{lasting}"

    def row_notes(
        self,
        records: tuple[RunRecord, ...],
        controlled: tuple[RunRecord, ...],
        references: Mapping[str, tuple[RunRecord, ...]],
    ) -> tuple[str, ...]:
        """Return how many seeds were below the bound, and what that may come from."""
        below = {r.seed: _is_below(r.metrics) for r in records}
        if not any(below.values()):
            return ()
        n = sum(below.values())
        notes: list[str] = [_below_note(n, len(below))]
        shuffled = {r.seed: _is_below(r.metrics) for r in controlled}
        both = below.keys() & shuffled.keys()
        # Seed by seed: a control of some would say nothing of the seeds that it leaves out.
        untold = n - sum(below[seed] for seed in both)
        if untold and not isinstance(notes[0], Doubt) and n > max(2, LUCK * len(below)):
            some = f"{untold} of them " if untold < n else ""
            notes = [
                Doubt(f"{notes[0]}; {some}not run under shuffled codes, see --control shuffled")
            ]
        real, control = (sum(found[seed] for seed in both) for found in (below, shuffled))
        only_real = sum(below[seed] and not shuffled[seed] for seed in both)
        only_control = sum(shuffled[seed] and not below[seed] for seed in both)
        if not is_chance(only_real, only_real + only_control, 0.5, level=ONLY_REAL):
            notes.append(
                Doubt(
                    f"{_BELOW} in {real} of {len(both)} on the real code and in {control} on "
                    f"shuffled ones: {_CAUSES}"
                )
            )
        if (records[0].model, records[0].info.role) != (GUESSER, "reference"):
            notes += _beside_the_guesser(records, references.get(GUESSER, ()))
        return tuple(notes)


def _is_below(metrics: Mapping[str, Number]) -> bool:
    """Return whether a run was right about all before its stream had shown all."""
    excess = metrics.get("excess_pairs")
    return excess is not None and excess < 0


def _below_note(below: int, n: int) -> str:
    text = f"{_BELOW} in {below} of {n}"
    if is_chance(below, n, LUCK):
        return f"{text} (luck, {_CAUSES})"
    return Doubt(f"{text} (too often for luck: {_CAUSES})")


def _beside_the_guesser(
    records: Sequence[RunRecord], guesser: Sequence[RunRecord]
) -> Iterator[Doubt]:
    """Yield a doubt where a row is as soon as an honest guess, or sooner, too often for luck.

    Of the streams on which that guess is below the bound: elsewhere whoever waits is as soon.
    Where a row is sooner, a guess by class frequency cannot be the reason.
    """
    guess = {r.seed: r.metrics.get("pairs_consumed") for r in guesser if _is_below(r.metrics)}
    pairs = [(r.metrics.get("pairs_consumed"), guess[r.seed]) for r in records if r.seed in guess]
    gaps = [own - other for own, other in pairs if own is not None and other is not None]
    n, as_soon, sooner = len(pairs), sum(gap <= 0 for gap in gaps), sum(gap < 0 for gap in gaps)
    if n and not is_chance(sooner, n, AS_SOON, level=0.05):
        yield Doubt(
            f"sooner than {GUESSER} in {sooner} of {n}, which no guess by class frequency "
            "explains: structured input or prior knowledge"
        )
    elif n and not is_chance(as_soon, n, AS_SOON, level=0.05):
        yield Doubt(f"as soon as {GUESSER} in {as_soon} of {n}, too often for luck: {_CAUSES}")


def is_chance(successes: int, n: int, chance: float, level: float = 0.01) -> bool:
    """Return whether so many successes in n trials, or more, are not rarer than `level`.

    >>> is_chance(2, 10, chance=0.25), is_chance(8, 10, chance=0.25), is_chance(0, 0, chance=0.25)
    (True, False, True)
    """
    from scipy.stats import binom  # takes half a second to import

    return bool(binom.sf(successes - 1, n, chance) >= level)
