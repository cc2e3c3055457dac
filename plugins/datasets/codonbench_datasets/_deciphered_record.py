"""What the record of a deciphered run cannot say: its positions, counts and stop codons compared.

Each check yields a metric's name and a sentence. What follows from the answers is held against
one another here, for a record without its trajectory has nothing else to be held against.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from codonbench_datasets._deciphering import (
    CONFIDENCE,
    GROWTH,
    INSTRUMENT_BATCH,
    WINDOW_PAIRS,
    Number,
    Remark,
)

if TYPE_CHECKING:
    from codonbench.contracts.run_record import RunRecord

_POSITIONS = (
    "pairs_consumed",
    "last_failing_pairs",
    "sustained_pairs",
    "confident_pairs",
    "confident_pairs_50",
    "stops_right_pairs",
)
"""Metrics that are a position in the stream, reached while the run lasted."""

_COUNTS = {"all_seen": 1, "decipher_epoch": 1, "relapses": 0, "rare_stop_ambiguity": 0}
"""Metrics that are whole numbers, with the least that each can be."""

_NOT_AFTER = (
    ("pairs_consumed", "sustained_pairs"),
    ("pairs_consumed", "confident_pairs"),
    ("confident_pairs_50", "confident_pairs"),
)
"""What holds for all of the code at the second has held at the first before."""

_OF_A_STOP = ("p", "margin", "entropy", "rivals")
"""What is said of a stop codon at the end of a run, by the end of the metric's name."""

_VISIBLE = 0.056
"""From which probability on a wrong class is counted among a stop codon's rivals."""

_MOST_RIVALS = 63

_ROUNDING = 0.01
"""How far float32 logits may carry what follows from them, as a share of it."""


def contradictions(record: RunRecord) -> Iterator[Remark]:
    """Yield what a record's positions and counts cannot say of one run."""
    for check in (
        *(_of_an_early_end, _of_kinds, _of_positions, _of_counts, _of_stops),
        *(_of_their_order, _of_the_excess, _of_success),
    ):
        yield from check(record)


def of_the_instrument(
    record: RunRecord, epoch_pairs: int, batches: Sequence[int]
) -> Iterator[Remark]:
    """Yield what a record's epochs cannot say, and what the publication's instrument cannot.

    Args:
        record: Of a run on codons.
        epoch_pairs: Pairs in one epoch.
        batches: At which batches of an epoch the instrument looks.
    """
    value, early = record.metrics.get, _ended_early(record)
    consumed, epoch = value("pairs_consumed"), value("decipher_epoch")
    if consumed is not None and epoch != max(1, math.ceil(consumed / epoch_pairs)):
        yield "decipher_epoch", f"is {_said(epoch)}, but pairs_consumed is {consumed:,}"
    accuracy = value("test_accuracy", 1)
    if accuracy is None or (early and accuracy != 1):
        last = "the run ended once all codons were right" if early else "pairs are held out"
        yield "test_accuracy", f"is {_said(accuracy)}, but {last}"
    names = [name for name in record.metrics if name.startswith("paper_")]
    for name in names if early and _batch_of(record) == INSTRUMENT_BATCH else ():
        if value(name) is None and name not in record.not_measured:
            yield (
                name,
                "is null, but not in not_measured, though the run ended before its budget",
            )
    frames = [INSTRUMENT_BATCH * batch for batch in batches]
    before: tuple[float, float] = (0, 0)
    for criterion in ("_argmax", "_unique", "_clean"):
        epoch, pairs = value(f"paper_epoch{criterion}"), value(f"paper_pairs{criterion}")
        name = f"paper_pairs{criterion}"
        if epoch is None or pairs is None:
            if epoch != pairs:
                yield name, f"is {_said(pairs)}, but paper_epoch{criterion} is {_said(epoch)}"
            before = (math.inf, math.inf) if name not in record.not_measured else before
        elif pairs - max(0, epoch - 2) * epoch_pairs not in frames:
            yield name, f"is {pairs:,}, which is no frame of epoch {epoch}"
        elif (epoch, pairs) < before:
            yield name, f"is {pairs:,}, before that of a criterion that is less strict"
        else:
            before = (epoch, pairs)
    for name in ("paper_epoch", "paper_pairs"):
        if value(name) != value(f"{name}_unique"):
            yield name, f"is {_said(value(name))}, but {name}_unique is another"


def _ended_early(record: RunRecord) -> bool:
    """Return whether the stop rule ended a run, which takes that all of the code was right."""
    run_spec = record.run_spec
    by_rule = record.status == "done" and run_spec.stop == "confident"
    return by_rule and run_spec.budget_seconds is None and record.pairs < run_spec.budget_pairs


def _of_an_early_end(record: RunRecord) -> Iterator[Remark]:
    value, pairs, budget = record.metrics.get, record.pairs, record.run_spec.budget_pairs
    if not _ended_early(record):
        for name in record.not_measured:
            # The instrument lacks a frame that the clock ended a run before.
            if name in (*_POSITIONS, *_COUNTS) and pairs == budget:
                yield name, f"was not measured, but the run spent its budget of {budget:,} pairs"
        return
    sustained, confident = value("sustained_pairs"), value("confident_pairs")
    for name, position in (("sustained_pairs", sustained), ("confident_pairs", confident)):
        if position is None:
            yield (
                name,
                f"is null, but the run ended after {pairs:,} of {budget:,} pairs, "
                "which takes deciphering that is sustained and confident",
            )
    if sustained is not None and confident is not None:
        due = max(sustained + WINDOW_PAIRS, confident)
        if pairs > due * GROWTH + 2 * _batch_of(record):
            yield (
                "sustained_pairs",
                f"is {sustained:,}; the run was to end at {due:,}, not {pairs:,}",
            )


def _batch_of(record: RunRecord) -> int:
    """Return how many pairs a batch of a run has; 0 where its configuration says no number."""
    batch = record.run_spec.config.get("batch_size", 1)
    return batch if isinstance(batch, int) else 0


def _of_kinds(record: RunRecord) -> Iterator[Remark]:
    for name, value in record.metrics.items():
        if isinstance(value, bool) and name != "success":
            yield name, f"is {value!r}; expected a number"


def _of_stops(record: RunRecord) -> Iterator[Remark]:
    """Yield what the last predictions for the stop codons cannot be, each or together."""
    of_all: dict[str, dict[str, Number]] = defaultdict(dict)
    for name, value in record.metrics.items():
        stop, _, part = name.removeprefix("stop_").partition("_")
        if name.startswith("stop_") and part in _OF_A_STOP:
            of_all[stop][part] = value
    unsure = 0
    for stop, of_it in of_all.items():
        name = f"stop_{stop}"
        known = [value for value in of_it.values() if value is not None]
        unsure += (of_it.get("p") or 0.0) < CONFIDENCE
        if len(known) == len(_OF_A_STOP):
            for part, said in _amiss(**of_it):  # type: ignore[arg-type]
                yield f"{name}_{part}", said
        elif known or record.status != "diverged":
            nulls = (part for part in _OF_A_STOP if of_it.get(part) is None)
            yield f"{name}_{next(nulls)}", "is null, but the last predictions were finite"
    ambiguous = record.metrics.get("rare_stop_ambiguity")
    if of_all and ambiguous != unsure:
        said = f"is {_said(ambiguous)}, but {unsure} have less than {CONFIDENCE}"
        yield "rare_stop_ambiguity", said
    right, consumed = (record.metrics.get(n) for n in ("stops_right_pairs", "pairs_consumed"))
    if of_all and consumed is not None and (right is None or right > consumed):
        yield "stops_right_pairs", f"is {_said(right)}, but pairs_consumed is {consumed:,}"


def _amiss(p: float, margin: float, entropy: float, rivals: float) -> Iterator[Remark]:
    """Yield what cannot be said of one prediction, which these four describe.

    The best rival has p / exp(margin), which leaves what the others have, and the entropy is
    least where each of them has as much as that, and greatest where all have the same.

    Args:
        p: Probability of the true class.
        margin: Its logit less the best rival's.
        entropy: Of the prediction, in nats.
        rivals: How many other classes are visible.
    """
    if not 0 <= p <= 1:
        yield "p", f"is {p:g}; expected 0 to 1"
        return
    if not isinstance(rivals, int) or not 0 <= rivals <= _MOST_RIVALS:
        yield "rivals", f"is {rivals:g}; expected a whole number from 0 to {_MOST_RIVALS}"
        return
    rest, off = 1 - p, _ROUNDING
    if p == 0:  # too small for a float64, and the best rival's cannot be told
        best, is_told = rest, margin < 0
    else:
        best = math.exp(min(math.log(p) - margin, 1.0))
        is_told = rest / _MOST_RIVALS - 1e-9 <= best * (1 + off) and best * (1 - off) <= rest + 1e-9
    if not is_told:
        yield "margin", f"is {margin:g}, which a class with p = {p:g} cannot have"
        return
    is_near = abs(best - _VISIBLE) < off * _VISIBLE
    if rivals * _VISIBLE * (1 - off) > rest or not (is_near or (rivals > 0) == (best >= _VISIBLE)):
        yield "rivals", f"is {rivals}, but the best one has p = {best:g}, all together {rest:g}"
    both = sum(-x * math.log(x) for x in (p, rest) if x > 0)
    most = both + rest * math.log(_MOST_RIVALS)
    least = both + rest * math.log(rest / best) if min(rest, best) > 0 and p > 0 else 0.0
    if not least - off <= entropy <= most + off:
        yield "entropy", f"is {entropy:g} nats; p and margin leave {max(0, least):g} to {most:g}"


def _of_positions(record: RunRecord) -> Iterator[Remark]:
    all_seen, batch = record.metrics.get("all_seen") or 0, _batch_of(record)
    for name in _POSITIONS:
        value = record.metrics.get(name)
        if value is None:
            continue
        if not isinstance(value, int):
            yield name, f"is {value!r}; expected a whole number of pairs"
        elif not 0 <= value <= record.pairs:
            yield name, f"is {value:,}; the run presented {record.pairs:,} pairs"
        elif value < min(all_seen, record.pairs) and value % (batch or 1):
            yield name, f"is {value:,}, which is the end of no batch of {batch}"
    accuracy = record.metrics.get("test_accuracy")
    if accuracy is not None and not 0 <= accuracy <= 1:
        yield "test_accuracy", f"is {accuracy!r}; expected 0 to 1"


def _of_counts(record: RunRecord) -> Iterator[Remark]:
    for name, least in _COUNTS.items():
        value = record.metrics.get(name)
        if value is None:
            continue
        if not isinstance(value, int) or value < least:
            yield name, f"is {value!r}; expected a whole number from {least} on"
    sustained, consumed = (record.metrics.get(n) for n in ("sustained_pairs", "pairs_consumed"))
    relapses = record.metrics.get("relapses")
    if "relapses" in record.metrics and relapses is None and "relapses" not in record.not_measured:
        yield "relapses", "is null, but they were counted"
    if None not in (sustained, consumed, relapses) and (sustained == consumed) != (relapses == 0):
        yield "relapses", f"is {relapses}, sustained_pairs {sustained:,}, the first {consumed:,}"


def _of_their_order(record: RunRecord) -> Iterator[Remark]:
    value = record.metrics.get
    for first, second in _NOT_AFTER:
        before, after = value(first), value(second)
        if after is not None and (before is None or before > after):
            yield second, f"is {after:,}, but {first} is {_said(before)}"
    failing, consumed = value("last_failing_pairs"), value("pairs_consumed")
    # All is asked before the first pair, too, so that who was right later had failed before.
    contradicts = bool(consumed) if failing is None else failing >= (consumed or 0)
    if "last_failing_pairs" in record.metrics and contradicts:
        yield "last_failing_pairs", f"is {_said(failing)}, pairs_consumed {_said(consumed)}"
    if (value("decipher_epoch") is None) != (consumed is None):
        yield "decipher_epoch", "and pairs_consumed are null together or not at all"


def _of_the_excess(record: RunRecord) -> Iterator[Remark]:
    """The excess is pairs consumed less the end of the batch that completes the code."""
    value = record.metrics.get
    consumed, all_seen, excess = value("pairs_consumed"), value("all_seen"), value("excess_pairs")
    if excess is None or consumed is None or all_seen is None:
        if (excess is None) != (consumed is None or all_seen is None):
            said = f"pairs_consumed is {_said(consumed)}, all_seen {_said(all_seen)}"
            yield "excess_pairs", f"is {_said(excess)}; {said}"
        return
    # A batch is cut where an epoch or the run ends, and so ends a little earlier, never later.
    batch = _batch_of(record) or 1
    end, latest = consumed - excess, math.ceil(all_seen / batch) * batch
    if not isinstance(excess, int) or not all_seen <= end <= latest:
        yield (
            "excess_pairs",
            f"is {excess:,}, but pairs_consumed {consumed:,} less the end of the batch of {batch} "
            f"that holds all_seen {all_seen:,} is {consumed - latest:,}",
        )


def _of_success(record: RunRecord) -> Iterator[Remark]:
    sustained, success = record.metrics.get("sustained_pairs"), record.metrics.get("success")
    if "success" not in record.not_measured and success is not (sustained is not None):
        yield "success", f"is {success!r}, but sustained_pairs is {_said(sustained)}"
    if sustained is not None and sustained + WINDOW_PAIRS > record.pairs:
        yield (
            "sustained_pairs",
            f"is {sustained:,}, but the run ended after {record.pairs:,} pairs: deciphering has "
            f"to last {WINDOW_PAIRS:,}",
        )


def _said(value: Number) -> str:
    return "null" if value is None else f"{value:,}"
