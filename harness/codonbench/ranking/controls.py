"""A row held against its control: is it faster on the real code than on shuffled ones?

The control presents the same pairs in the same order; only what the inputs mean is shuffled,
anew for each seed. So a seed with the control and the same seed without it wait for the same
rare codons, and what is left between them is what the model makes of the real code's order.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Literal

from codonbench.contracts import Frozen
from codonbench.contracts.run_record import RunRecord
from codonbench.contracts.run_spec import content_hash
from codonbench.ranking.statistics import Median, censored_median, paired_ratio
from codonbench.scoring.score import recorded_key

OPTION = "control"
"""The task option that makes a control of a task."""

METRIC = "pairs_consumed"
"""What is compared. Not the excess: it is 0 in half of the good rows, and 0 has no ratio."""

FASTER_BELOW = 0.8
"""A row is flagged where the whole interval of its ratio lies below. What takes each codon as it
comes is no faster on the real code, rather slower: its stops are a class of rare codons only,
which no shuffled code has. So honest ratios lie at 1 (`mlp-64`) or above (`embedding10-relu`);
0.8 leaves room for chance, and what stays unflagged has gained a fifth of its pairs at most."""

FEWEST_SEEDS = 6
"""Seeds without which nothing is flagged: one in 64 times all six are the faster by chance."""

FASTER = "faster on the real code than on shuffled ones: structured input or prior knowledge"

RowKey = tuple[str, ...]
"""Model, its version, the hash of its configuration, and who supplies it."""

Seeds = Mapping[int, RunRecord]


class Contrast(Frozen):
    """One row beside its control, over the seeds that both have.

    Attributes:
        key: The control's comparability key.
        control: Which one: ``shuffled``.
        model, overrides, distribution, config_sha256, role: As in `leaderboard.Row`.
        seeds: In both.
        real, controlled: Median pairs consumed over these seeds.
        ratio: Median over seeds of real / controlled, beyond all bounds where only the
            control got there; None where neither ever did.
        faster: Whether the row is flagged.
    """

    key: str
    control: str
    model: str
    overrides: dict[str, object]
    distribution: str
    config_sha256: str
    role: Literal["contestant", "reference"]
    seeds: tuple[int, ...]
    real: Median | None
    controlled: Median | None
    ratio: Median | None
    faster: bool


def controlled_key(record: RunRecord) -> str | None:
    """Return the comparability key of what a record is a control of; None where it is none."""
    options = dict(record.run_spec.task_options)
    if options.pop(OPTION, None) is None:
        return None
    run_spec = record.run_spec.model_copy(update={"task_options": options})
    return recorded_key(run_spec, record.metric_versions)


def row_key(record: RunRecord) -> RowKey:
    """Return what makes two runs of one table count in one row.

    The source is part of it: who edits a model and runs some of its seeds again has two models.
    """
    run_spec, plugin = record.run_spec, record.plugin
    return (
        record.model,
        run_spec.model_version,
        content_hash(run_spec.config),
        plugin.distribution,
        plugin.source_sha256,
    )


def contrasts(
    real: Mapping[RowKey, Seeds], controlled: Mapping[RowKey, Seeds]
) -> Iterator[tuple[RowKey, Contrast]]:
    """Yield each row that was trained both with and without the control, by model's name."""
    for key in sorted(real.keys() & controlled.keys()):
        seeds = sorted(real[key].keys() & controlled[key].keys())
        trained = [s for s in seeds if METRIC not in _unanswered(real[key][s], controlled[key][s])]
        if trained:
            yield key, _contrast(real[key], controlled[key], trained)


def _unanswered(*records: RunRecord) -> set[str]:
    """Return the metrics that a run could not answer, and all of a row that was computed."""
    computed = any(record.trajectory_sha256 is None for record in records)
    return {METRIC} if computed else {name for r in records for name in r.not_measured}


def _contrast(real: Seeds, controlled: Seeds, seeds: list[int]) -> Contrast:
    first = controlled[seeds[0]]
    with_order, without = ([_pairs(rows[s]) for s in seeds] for rows in (real, controlled))
    ratio = paired_ratio(with_order, without)
    faster = len(seeds) >= FEWEST_SEEDS and ratio is not None and _is_below(ratio, FASTER_BELOW)
    return Contrast(
        key=first.comparability_key,
        control=str(first.run_spec.task_options[OPTION]),
        model=first.model,
        overrides=first.overrides,
        distribution=first.plugin.distribution,
        config_sha256=content_hash(first.run_spec.config),
        role=first.info.role,
        seeds=tuple(seeds),
        real=censored_median(with_order),
        controlled=censored_median(without),
        ratio=ratio,
        faster=faster and first.info.role == "contestant",
    )


def _pairs(record: RunRecord) -> float | None:
    value = record.metrics.get(METRIC)
    return None if value is None else float(value)


def _is_below(ratio: Median, limit: float) -> bool:
    return ratio.high is not None and ratio.high < limit
