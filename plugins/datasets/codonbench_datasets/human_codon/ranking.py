"""How tables of ``human-codon`` rank their rows, and what its records and rows must say."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, ClassVar

from codonbench import Task
from codonbench.contracts import Column, Control, Ranking
from codonbench_datasets.decipher import WINDOW_PAIRS

if TYPE_CHECKING:
    from codonbench.contracts.run_record import RunRecord

Number = bool | int | float | None
Remark = tuple[str, str]
"""A field's dotted name, and what is wrong with it."""

FASTER_BELOW = 0.8
"""A row is flagged where the whole interval of its ratio lies below. What takes each codon as it
comes is no faster on the real code, rather slower: its stops are a class of rare codons only,
which no shuffled code has. So honest ratios lie at 1 (`mlp-64`) or above (`embedding10-relu`);
0.8 leaves room for chance, and what stays unflagged has gained a fifth of its pairs at most."""

SHUFFLED = Control(
    option="control",
    metric="pairs_consumed",  # not the excess: it is 0 in half of the good rows, and has no ratio
    flagged_below=FASTER_BELOW,
    flag="faster on the real code than on shuffled ones: structured input or prior knowledge",
    headings=("pairs, real code", "pairs, control", "real / control", "faster on the real code"),
    explanation="The same pairs under codes shuffled for each seed, beside the real code. The "
    "ratio is the median over the seeds of both, and 0 where only the real code was deciphered; "
    f"a row is faster on the real code where the whole interval lies below {FASTER_BELOW}:",
)
"""The control presents the same pairs in the same order; only what the codons mean is shuffled,
anew for each seed. So a seed with the control and the same seed without it wait for the same rare
codons, and what is left between them is what the model makes of the real code's order."""

RANKING = Ranking(
    metric="excess_pairs",
    direction="lower",
    columns=(
        Column(metric="excess_pairs", title="excess pairs", scale="difference"),
        Column(metric="pairs_consumed", title="pairs consumed", scale="position"),
        Column(metric="sustained_pairs", title="sustained", scale="position", window=WINDOW_PAIRS),
        Column(metric="confident_pairs", title="confident 0.9", scale="position"),
        Column(metric="rare_stop_ambiguity", title="rare-stop ambiguity", counts=True),
        Column(metric="decipher_epoch", title="decipher epoch"),
    ),
    brief=("excess_pairs", "pairs_consumed", "confident_pairs"),
    tie_breakers=("pairs_consumed",),
    success="sustained_pairs",
    restricted_mean="pairs_consumed",
    endings={"confident": "stop once sustained and confident at 0.9, at the latest"},
    control=SHUFFLED,
)

LUCK = 0.25
"""Share of runs that an honest learner may well decipher below the bound: when a single codon
is left to be seen, a guess at it is right now and then. Far above one in 21, because an untrained
guess at the rarest codon may be a good one; more often than that is not luck."""

_BELOW = "below the bound"
_CAUSES = "guessing by class frequency, structured input or prior knowledge"

_POSITIONS = (
    "pairs_consumed",
    "last_failing_pairs",
    "sustained_pairs",
    "confident_pairs",
    "confident_pairs_50",
)
"""Metrics that are a position in the stream, reached while the run lasted."""

_NOT_AFTER = (
    ("pairs_consumed", "sustained_pairs"),
    ("pairs_consumed", "confident_pairs"),
    ("confident_pairs_50", "confident_pairs"),
)
"""What holds for all of the code at the second has held at the first before."""


class DecipheredTask(Task):
    """A task whose rows are ranked by the pairs that deciphering a code takes."""

    ranking: ClassVar[Ranking] = RANKING

    def remarks(self, record: RunRecord) -> tuple[Remark, ...]:
        """Return what a record's positions and counts cannot say of one run."""
        if record.trajectory_sha256 is None:  # the row was computed, not run
            return ()
        checks = (_ending, _positions, _order, _excess, _success)
        return tuple(remark for check in checks for remark in check(record))

    def flags(self, metrics: Mapping[str, Number]) -> tuple[str, ...]:
        """Return a warning where a code was deciphered before it had been shown."""
        excess = metrics.get("excess_pairs")
        if excess is None or excess >= 0:
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

    def row_notes(self, records: tuple[RunRecord, ...]) -> tuple[str, ...]:
        """Return how many seeds were below the bound, and whether that may be luck."""
        n = len(records)
        below = sum(any(flag.startswith(_BELOW) for flag in r.flags) for r in records)
        if not below:
            return ()
        chance = is_chance(below, n, LUCK)
        why = f"luck, {_CAUSES}" if chance else f"too often for luck: {_CAUSES}"
        return (f"{_BELOW} in {below} of {n} ({why})",)


def is_chance(successes: int, n: int, chance: float, level: float = 0.01) -> bool:
    """Return whether so many successes in n trials, or more, are not rarer than `level`.

    >>> is_chance(2, 10, chance=0.25), is_chance(8, 10, chance=0.25)
    (True, False)
    """
    from scipy.stats import binomtest  # takes half a second to import

    return bool(binomtest(successes, n, chance, alternative="greater").pvalue >= level)


def _ending(record: RunRecord) -> Iterator[Remark]:
    """Yield what a run lacks that ended before its budget."""
    run_spec, pairs = record.run_spec, record.pairs
    early = record.status == "done" and run_spec.stop == "confident"
    if not early or pairs >= run_spec.budget_pairs:
        return
    for name in ("sustained_pairs", "confident_pairs"):
        if record.metrics.get(name) is None:
            yield (
                f"metrics.{name}",
                f"is null, but the run ended after {pairs:,} of {run_spec.budget_pairs:,} pairs, "
                "which takes deciphering that is sustained and confident",
            )


def _positions(record: RunRecord) -> Iterator[Remark]:
    for name in _POSITIONS:
        value = record.metrics.get(name)
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, int):
            yield f"metrics.{name}", f"is {value!r}; expected a whole number of pairs"
        elif not 0 <= value <= record.pairs:
            yield f"metrics.{name}", f"is {value:,}; the run presented {record.pairs:,} pairs"
    accuracy = record.metrics.get("test_accuracy")
    if accuracy is not None and not 0 <= accuracy <= 1:
        yield "metrics.test_accuracy", f"is {accuracy!r}; expected 0 to 1"


def _order(record: RunRecord) -> Iterator[Remark]:
    value = record.metrics.get
    for first, second in _NOT_AFTER:
        before, after = value(first), value(second)
        if after is not None and (before is None or before > after):
            yield f"metrics.{second}", f"is {after:,}, but {first} is {_said(before)}"
    failing, consumed = value("last_failing_pairs"), value("pairs_consumed")
    if failing is not None and (consumed is None or failing >= consumed):
        yield "metrics.last_failing_pairs", f"is {failing:,}, pairs_consumed {_said(consumed)}"
    if (value("decipher_epoch") is None) != (consumed is None):
        yield "metrics.decipher_epoch", "and pairs_consumed are null together or not at all"


def _excess(record: RunRecord) -> Iterator[Remark]:
    """Yield whether the excess is pairs consumed less the end of the batch that shows all."""
    value = record.metrics.get
    consumed, all_seen, excess = value("pairs_consumed"), value("all_seen"), value("excess_pairs")
    if excess is None or consumed is None or all_seen is None:
        if (excess is None) != (consumed is None or all_seen is None):
            yield (
                "metrics.excess_pairs",
                f"is {_said(excess)}; pairs_consumed is {_said(consumed)}, "
                f"all_seen {_said(all_seen)}",
            )
        return
    batch = record.run_spec.config.get("batch_size", 1)
    # From the pair that completes the code to its batch's end.
    beyond = consumed - excess - all_seen
    if not isinstance(batch, int) or not 0 <= beyond < batch:
        yield (
            "metrics.excess_pairs",
            f"is {excess:,}, but pairs_consumed {consumed:,} and all_seen {all_seen:,} "
            f"give {consumed - all_seen:,} less at most the rest of a batch of {batch}",
        )


def _success(record: RunRecord) -> Iterator[Remark]:
    sustained = record.metrics.get("sustained_pairs")
    if "success" not in record.not_measured:
        success = record.metrics.get("success")
        if success is not (sustained is not None):
            yield "metrics.success", f"is {success!r}, but sustained_pairs is {_said(sustained)}"
    if sustained is not None and sustained + WINDOW_PAIRS > record.pairs:
        yield (
            "metrics.sustained_pairs",
            f"is {sustained:,}, but the run ended after {record.pairs:,} pairs: deciphering has "
            f"to last {WINDOW_PAIRS:,}",
        )


def _said(value: Number) -> str:
    return "null" if value is None else f"{value:,}"
