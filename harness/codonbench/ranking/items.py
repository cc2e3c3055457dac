"""Figures of a table's rows over test items: gains, tiers, controls, the clean subset.

`compare` makes it of what each run answered for each item, and `codonbench.ranking.item_scores`
says by how much two rows differ. Where answers or targets may not be handed on, the figures are
kept as they were when they were last made, and `TableFigures.inputs` says of what.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from pydantic import Field, ValidationError

from codonbench.contracts import Frozen, Metric, Ranking, SplitMetric
from codonbench.contracts.run_record import FINISHED, RunRecord
from codonbench.contracts.run_spec import content_hash
from codonbench.contracts.trajectory import IntArray
from codonbench.errors import StoreError
from codonbench.plugins.registry import Registry
from codonbench.protocols.controls import COMPOSITION, LABELS, STRAND, UNTRAINED
from codonbench.ranking.by_item import ItemFigures, item_figures, table_items
from codonbench.ranking.item_scores import (
    Gain,
    RowScores,
    bootstrapped,
    differences,
    gain,
    mean_of,
    mean_over_both,
    p_by_item,
    p_value,
    score_row,
    score_rows,
)
from codonbench.ranking.statistics import RESAMPLES, Mean, drawn_ranks, six_digits
from codonbench.ranking.tiers import tiers
from codonbench.records.recorded_outputs import FOLDER, ItemOutputs, gather, tolerance
from codonbench.records.store import BadRecord, Store
from codonbench.scoring.score import metric_giving, task_of

FEWEST_CLEAN = 30
"""Clean test items below which rows are not scored on these."""

PERMUTATIONS = 20
"""Of a run's answers among its items, by which chance is known."""

CONTROL_LEVEL = 0.01
"""Of the test by which a control is above chance, and a row above its control."""

FLAG_TEXTS = {
    LABELS: "above chance with permuted labels: luck (one honest row in a hundred), or knowledge "
    "from elsewhere, such as the test set, pretraining or a built-in rule",
    UNTRAINED: "above chance untrained: luck (one honest row in a hundred), or knowledge from "
    "elsewhere, such as pretraining or a built-in rule",
    COMPOSITION: "no better than on shuffled sequences: it uses only composition",
}
"""The note on a row whose control does not come out as it should."""


class ControlFigure(Frozen):
    """What a row has under a control.

    Attributes:
        mean: The primary metric, with the interval over seeds and items.
        chance: What the same answers have, given for each other's items; None where it is not
            asked.
        agreement: Between answers on the other strand and on this one: share of items of the same
            class, or correlation of quantities; None elsewhere.
        flag: Remark for readers; empty for none.
    """

    mean: Mean
    chance: float | None = Field(default=None, exclude_if=lambda chance: chance is None)
    agreement: float | None = Field(default=None, exclude_if=lambda agreement: agreement is None)
    flag: str = Field(default="", exclude_if=lambda flag: not flag)


class CleanFigure(Frozen):
    """What a row has on the test items without a near-copy in training.

    Attributes:
        mean: The primary metric, with the interval over seeds and these items.
        rank: Among the contestants that are ranked by all items, from 1; None for others.
    """

    mean: Mean
    rank: int | None = None


class RowFigures(Frozen):
    """What is known of a row over seeds and items.

    Attributes:
        mean: The primary metric, with the interval over both.
        controls: Figures under each control.
        clean: Figures on clean test items; None if all are clean, or too few.
        gain: Over the best reference row or rule; None for a reference row, or where there is none.
        tier: As in `Row`.
        ranks: The row's place among all of the table in each of `DRAWS` samples, from 1, equal
            ones sharing their mean.
        twin: Gain of a pretrained row over its random twin, see `twin_of`; None for none.
    """

    mean: Mean
    gain: Gain | None = None
    controls: dict[str, ControlFigure] = Field(default={}, exclude_if=lambda found: not found)
    clean: CleanFigure | None = Field(default=None, exclude_if=lambda clean: clean is None)
    tier: int | None = None
    ranks: tuple[float, ...] = Field(default=(), exclude_if=lambda ranks: not ranks)
    twin: Gain | None = Field(default=None, exclude_if=lambda twin: twin is None)


class TableFigures(Frozen):
    """What is known of a table's rows over seeds and items.

    Attributes:
        inputs: SHA-256 of the records it follows from, and of the test outputs where what is right
            may be published.
        metric: The primary one.
        n_items: Number of test items.
        n_groups: Number of groups that were drawn; None if items were.
        n_clean: Number of clean test items; None if rows were not scored on these.
        rule: What the best rule of the audit of the data has, over items; None where it is not
            known item by item.
        other_items: Whether runs were tested on other items than the audit of the data.
        rows: By the row's id.
        by_item: What its page says by item, where what is right for an item must not be published;
            None elsewhere.
    """

    inputs: str
    metric: str
    n_items: int
    n_groups: int | None = None
    n_clean: int | None = Field(default=None, exclude_if=lambda n: n is None)
    rule: Mean | None = Field(default=None, exclude_if=lambda rule: rule is None)
    other_items: bool = Field(default=False, exclude=True)
    rows: dict[str, RowFigures]
    by_item: ItemFigures | None = Field(default=None, exclude_if=lambda found: found is None)


@dataclass(frozen=True)
class Copied:
    """Which test items of some data have a near-copy in training.

    Attributes:
        places: Their places in the test split.
        n_items: Number of test items.
        items: SHA-256 of the items, as in `ItemOutputs`; empty if every seed has the same.
    """

    places: tuple[int, ...]
    n_items: int
    items: str = ""


@dataclass(frozen=True)
class Rule:
    """What a rule without a model answers for the test items of some data.

    Attributes:
        name: Name of the rule.
        answers: The class of each item in the order of the test split, a digit of base 36 each.
        items: As in `Copied`.
    """

    name: str
    answers: str
    items: str = ""


@dataclass(frozen=True, eq=False)
class Tested:
    """What runs answered for their test items, and how that is scored.

    Attributes:
        metrics: By name.
        outputs: Test outputs by run id.
        kept: Figures made where the targets are available, by `TableFigures.inputs`.
        files: As `codonbench.records.recorded_outputs.gather` has them.
        copied: Test items with a near-copy in training, by the checksum of the data, as audits say.
        rules: The best rule of the audit of some data, likewise.
        facts: Of the test items of some data, likewise: by name, shape (N,).
        withheld: Runs whose answers must not be written down, by id; they are among `outputs`.
    """

    metrics: Mapping[str, Metric]
    outputs: Mapping[str, ItemOutputs]
    kept: Mapping[str, TableFigures] = field(default_factory=dict)
    files: Mapping[Path, bytes | None] = field(default_factory=dict)
    copied: Mapping[str, Copied] = field(default_factory=dict)
    rules: Mapping[str, Rule] = field(default_factory=dict)
    facts: Mapping[str, Mapping[str, IntArray]] = field(default_factory=dict)
    withheld: frozenset[str] = frozenset()


def gather_tested(
    folders: Iterable[tuple[Store, Iterable[RunRecord | BadRecord]]], registry: Registry
) -> Tested:
    """Return what the runs of results folders answered.

    Args:
        folders: Each with what is in it.
        registry: The plugins.

    Raises:
        StoreError: A file or a trajectory is damaged.
    """
    outputs: dict[str, ItemOutputs] = {}
    kept: dict[str, TableFigures] = {}
    files: dict[Path, bytes | None] = {}
    withheld: set[str] = set()
    for store, found in folders:
        records = [r for r in found if isinstance(r, RunRecord) and r.status in FINISHED]
        own, written = gather_shared(store, records, registry)
        outputs, files = own | outputs, files | written
        withheld |= {r.run_id for r in records if not _shares_outputs(r, registry)}
        for path in sorted((store.folder / FOLDER).glob("figures-*.json")):
            figures = _read_figures(path)
            kept[figures.inputs] = figures
    metrics = registry.known_metrics
    return Tested(metrics, outputs, kept, files, withheld=frozenset(withheld))


def gather_shared(
    store: Store, records: Sequence[RunRecord], registry: Registry
) -> tuple[dict[str, ItemOutputs], dict[Path, bytes | None]]:
    """Return what `gather` does; its files hold only what tasks and models allow.

    Args:
        store: The results folder.
        records: Records of the runs.
        registry: The plugins.

    Raises:
        StoreError: A file or a trajectory is damaged.
    """
    return gather(
        store,
        records,
        lambda record: _shares_targets(record, registry),
        lambda record: _shares_outputs(record, registry),
    )


def _shares_targets(record: RunRecord, registry: Registry) -> bool:
    task = task_of(record, registry.known_tasks)
    return task is not None and task.shares_targets


def _shares_outputs(record: RunRecord, registry: Registry) -> bool:
    """Return whether a run's answers may be written down: not where they are secret targets."""
    task = task_of(record, registry.known_tasks)
    if task is None or task.shares_targets:
        return True
    model = registry.models.get(record.model)  # which older records do not ask
    return not (record.info.instance_based or (model and model.cls.info.instance_based))


def _read_figures(path: Path) -> TableFigures:
    try:
        return TableFigures.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise StoreError(f"{path} holds no figures of a table; delete it") from error


def figures_file(store: Store, figures: TableFigures) -> tuple[Path, bytes]:
    """Return the file of figures that cannot be made without a table's data, and its content."""
    text = json.dumps(figures.model_dump(mode="json"), indent=1, sort_keys=True) + "\n"
    return store.folder / FOLDER / f"figures-{figures.inputs[:16]}.json", text.encode()


@dataclass(frozen=True, eq=False)
class Runs:
    """A row's runs, in the order of ranks.

    Attributes:
        id: Id of the row.
        model: Name of the model.
        mean: Mean of the primary metric over seeds; None if no run has a value.
        reference: Whether it is a reference row.
        records: One a seed.
        controls: The row's records under each control, one a seed.
    """

    id: str
    model: str
    mean: Mean | None
    reference: bool
    records: Sequence[RunRecord]
    controls: Mapping[str, Sequence[RunRecord]] = field(default_factory=dict)


def compare(
    rows: Sequence[Runs], ranking: Ranking, tested: Tested, *, shares_targets: bool = True
) -> TableFigures | None:
    """Return what is known of a table's rows over seeds and items.

    None where no run's test outputs are at hand, or what is right for them is neither at hand nor
    was when these same runs were last compared.

    Args:
        rows: Rows of one table, in the order of ranks.
        ranking: The task's.
        tested: Test outputs of the runs.
        shares_targets: As in `Task`.
    """
    outputs = {row.id: _by_seed(row.records, tested) for row in rows}
    under = {
        row.id: {name: _by_seed(records, tested) for name, records in row.controls.items()}
        for row in rows
    }
    found = [item for own in outputs.values() for item in own.values()]
    metric = metric_giving(ranking.metric, tested.metrics, found[0].task) if found else None
    if metric is None:
        return None
    first = rows[0].records[0]
    copied = copied_places(tested, first.dataset.checksum, found)
    inputs = _inputs(rows, tested.outputs if shares_targets else None, metric, copied)
    everything = [*found, *(i for c in under.values() for own in c.values() for i in own.values())]
    partly = not shares_targets and len(everything) < sum(1 for row in rows for _ in _runs(row))
    if any(item.targets is None for item in everything) or (partly and inputs in tested.kept):
        return tested.kept.get(inputs)
    rule = None if first.run_spec.control else tested.rules.get(first.dataset.checksum)
    seeds = sorted({seed for own in outputs.values() for seed in own})
    ruled = None if rule is None else _ruled(rule, found, seeds, metric, ranking.metric)
    scores = score_rows(outputs, metric, ranking.metric)
    n_items = max(len(item.outputs) for item in found)
    _check_fit(rows, scores, ranking, n_items)
    floor = _floor(rows, scores, ranking, rule, ruled)
    figures = _row_figures(rows, scores, ranking, floor)
    scoring = _Scoring(metric, ranking.metric, ranking.sign)
    clean = clean_places(n_items, copied)
    on_clean = {} if clean is None else _clean_figures(rows, outputs, clean, scoring)
    audited = tested.copied.get(first.dataset.checksum)
    for row in rows:
        own = scores[row.id]
        if own is None or row.id not in figures:
            continue
        controls = {
            name: scoring.held_against(name, own, outputs[row.id], items)
            for name, items in sorted(under[row.id].items())
        }
        figures[row.id] = figures[row.id].model_copy(
            update={
                "controls": {name: figure for name, figure in controls.items() if figure},
                "clean": on_clean.get(row.id),
            }
        )
    return TableFigures(
        inputs=inputs,
        metric=ranking.metric,
        n_items=n_items,
        n_groups=max(len(np.unique(i.groups)) for i in found if i.groups is not None)
        if any(i.groups is not None for i in found)
        else None,
        n_clean=None if clean is None else len(clean),
        rule=None if ruled is None else mean_of(ruled.over(seeds[:1])),
        other_items=audited is not None and not _are_tested(audited.n_items, audited.items, found),
        rows=figures,
        by_item=None if shares_targets else _by_item(rows, ranking, tested),
    )


def _runs(row: Runs) -> Iterable[RunRecord]:
    return (*row.records, *(record for own in row.controls.values() for record in own))


def _by_item(rows: Sequence[Runs], ranking: Ranking, tested: Tested) -> ItemFigures | None:
    facts = tested.facts.get(rows[0].records[0].dataset.checksum, {})
    items = table_items({row.id: row.records for row in rows}, tested.outputs, facts)
    return None if items is None else item_figures(items, ranking.metric, tested.metrics)


def _ruled(
    rule: Rule, found: Sequence[ItemOutputs], seeds: Sequence[int], metric: SplitMetric, name: str
) -> RowScores | None:
    """Return the scores of a rule, the same for each seed; None if runs have other test items.

    Args:
        rule: The rule.
        found: Test outputs of the table's runs.
        seeds: Seeds of the table's rows.
        metric: The primary one.
        name: Name of the metric's value.
    """
    answers = np.array([int(digit, 36) for digit in rule.answers], dtype=np.int64)
    like = found[0]
    classes = len(like.task.target.names)
    if not _are_tested(len(answers), rule.items, found) or like.task.target.kind != "classes":
        return None
    item = replace(like, outputs=np.eye(classes, dtype=like.outputs.dtype)[answers])
    once = score_row({seeds[0]: item}, metric, name)
    if once is None or not np.isfinite(once.values).all():
        return None
    n = len(seeds)
    return RowScores(tuple(seeds), once.values.repeat(n), once.resampled.repeat(n, 1), once.n_units)


_Floor = tuple[str, RowScores]
"""The best reference row or rule of the audit, by name."""


def _floor(
    rows: Sequence[Runs],
    scores: Mapping[str, RowScores | None],
    ranking: Ranking,
    rule: Rule | None,
    ruled: RowScores | None,
) -> _Floor | None:
    """Return the best of a table's reference rows and of the rule.

    None where there is neither, and where the best row's answers are not at hand.
    """
    sign = ranking.sign
    found: list[tuple[float, _Floor | None]] = []
    for row in rows:
        own = scores[row.id]
        if row.reference and row.mean:
            found.append((sign * row.mean.value, None if own is None else (row.model, own)))
    if rule is not None and ruled is not None:
        value = sign * float(ruled.values[0])
        found.append((value, (f"the audit's rule ({rule.name})", ruled)))
    return max(found, key=lambda each: each[0])[1] if found else None


def _by_seed(records: Sequence[RunRecord], tested: Tested) -> dict[int, ItemOutputs]:
    return {r.seed: tested.outputs[r.run_id] for r in records if r.run_id in tested.outputs}


def _inputs(
    rows: Sequence[Runs],
    outputs: Mapping[str, ItemOutputs] | None,
    metric: SplitMetric,
    copied: Sequence[int],
) -> str:
    """Return a hash of what figures rest on: records and outputs, or records alone.

    The outputs follow from the trajectory that a record names, and not all may be written down.
    """
    known = outputs or {}
    runs = [
        [row.id, r.seed, r.checksum]
        + ([] if outputs is None else [known[r.run_id].digest() if r.run_id in known else None])
        for row in rows
        for r in _runs(row)
    ]
    more = [list(copied)] if copied else []
    return content_hash([metric.name, metric.version, sorted(map(str, runs)), *more])


def _check_fit(
    rows: Sequence[Runs], scores: Mapping[str, RowScores | None], ranking: Ranking, n_items: int
) -> None:
    """Raise StoreError where outputs do not give their record's score."""
    most = tolerance(ranking.metric, n_items, ranking)
    for row in rows:
        own = scores[row.id]
        for record in row.records if own else ():
            if own is None or record.seed not in own.seeds:
                continue
            recorded = record.metrics.get(ranking.metric)
            value = own.values[own.seeds.index(record.seed)]
            if recorded is None or not np.isfinite(value) or abs(value - recorded) <= most:
                continue
            raise StoreError(
                f"test outputs of {record.name} give {ranking.metric} {value:.6g}, but its record "
                f"says {recorded:.6g}; delete its file in outputs/ and make it anew from the "
                "trajectory"
            )


def _row_figures(
    rows: Sequence[Runs],
    scores: Mapping[str, RowScores | None],
    ranking: Ranking,
    floor: _Floor | None,
) -> dict[str, RowFigures]:
    sign = ranking.sign
    contestants = [row for row in rows if not row.reference and row.mean]
    found = tiers(p_by_item([scores[row.id] for row in contestants], sign))
    tier_of = dict(zip([row.id for row in contestants], found, strict=True))
    figures = {}
    able = {row.id: scores[row.id] for row in rows if row.mean}
    ranks = drawn_ranks({k: sign * bootstrapped(own) for k, own in able.items() if own})
    for row in rows:
        own = scores[row.id]
        if own is None or row.mean is None:
            continue
        gained = None
        if floor is not None and not row.reference:
            gained = gain(own, floor[1], floor[0], sign)
        twin = twin_of(row.records[0], {other.id: other.records[0] for other in rows})
        random = None if twin is None else scores[twin]
        figures[row.id] = RowFigures(
            mean=mean_over_both(row.mean, own),
            gain=gained,
            tier=tier_of.get(row.id),
            ranks=ranks[row.id],
            twin=None if random is None else gain(own, random, "random twin", sign),
        )
    return figures


def twin_of(record: RunRecord, rows: Mapping[str, RunRecord]) -> str | None:
    """Return the id of the row that is a pretrained one's random twin; None where there is none.

    The same model in the same configuration, but for ``init``, which is ``random`` and not
    ``pretrained``: the same architecture, protocol and budget without what was learned before.

    Args:
        record: A run of the row.
        rows: A run of each row of the table, by its id.
    """

    def architecture(of: RunRecord) -> tuple[object, ...]:
        config = {k: v for k, v in of.run_spec.config.items() if k != "init"}
        return of.plugin.source_sha256, of.run_spec.budget_pairs, content_hash(config)

    if record.run_spec.config.get("init") != "pretrained":
        return None
    twins = (
        name
        for name, other in rows.items()
        if other.run_spec.config.get("init") == "random"
        and architecture(other) == architecture(record)
    )
    return next(twins, None)


@dataclass(frozen=True)
class _Scoring:
    """What rows are scored by.

    Attributes:
        metric: The primary one.
        name: Name of the metric's value.
        sign: 1 where higher is better, else -1.
    """

    metric: SplitMetric
    name: str
    sign: int

    def held_against(
        self,
        control: str,
        own: RowScores,
        answers: Mapping[int, ItemOutputs],
        under: Mapping[int, ItemOutputs],
    ) -> ControlFigure | None:
        """Return what a row has under a control; None where it has no value there.

        Args:
            control: Its name.
            own: The row's scores without it.
            answers: Test outputs of the row without it, by seed.
            under: And with it.
        """
        scores = score_row(under, self.metric, self.name)
        if scores is None or not np.isfinite(scores.values).all():
            return None
        value = mean_of(scores)
        if control == STRAND:
            shared = sorted(answers.keys() & under.keys())
            same = [_agreement(answers[seed], under[seed]) for seed in shared]
            return (
                ControlFigure(mean=value, agreement=six_digits(float(np.mean(same))))
                if same
                else None
            )
        chance = self._chance(under, scores)
        above = self._better(scores, chance)
        flag = FLAG_TEXTS.get(control, "") if above else ""
        if control == COMPOSITION and above and self._better(own, scores):
            flag = ""
        return ControlFigure(mean=value, chance=six_digits(float(chance.values.mean())), flag=flag)

    def _chance(self, under: Mapping[int, ItemOutputs], scores: RowScores) -> RowScores:
        """Return each seed's mean score, its answers permuted among the items."""
        values = []
        for seed in scores.seeds:
            item = under[seed]
            assert item.targets is not None
            found: list[float] = []
            rng = np.random.default_rng([seed, *b"chance"])
            whole = np.ones((1, len(item.outputs)))
            for _ in range(PERMUTATIONS):
                mixed = item.outputs[rng.permutation(len(item.outputs))]
                found += self.metric.resampled(
                    self.name, item.targets, mixed, whole, item.task
                ).tolist()
            values.append(np.mean(found))
        level = np.asarray(values)
        return RowScores(scores.seeds, level, np.tile(level, (RESAMPLES, 1)), scores.n_units)

    def _better(self, first: RowScores, second: RowScores) -> bool:
        """Return whether the first is significantly better than the second."""
        gaps = differences(first, second)
        if gaps is None or self.sign * gaps.values.mean() <= 0:
            return False
        return p_value(first, second) <= 2 * CONTROL_LEVEL  # of which one side is asked


def _agreement(one: ItemOutputs, other: ItemOutputs) -> float:
    """Return how far two runs' answers agree for the same items: see `ControlFigure`."""
    if one.task.target.kind == "classes":
        return float((one.outputs.argmax(axis=1) == other.outputs.argmax(axis=1)).mean())
    if one.task.target.kind == "labels":
        return float(((one.outputs > 0) == (other.outputs > 0)).mean())
    pairs = zip(one.outputs.T, other.outputs.T, strict=True)
    return float(
        np.mean([np.corrcoef(a, b)[0, 1] if np.ptp(a) * np.ptp(b) else 0 for a, b in pairs])
    )


def copied_places(tested: Tested, checksum: str, found: Sequence[ItemOutputs]) -> tuple[int, ...]:
    """Return the places of test items with a near-copy in training.

    There are none where runs were asked for other items than the audit was: with folds, or where
    each seed cuts a test split of its own.

    Args:
        tested: What is known of test items.
        checksum: Checksum of the data.
        found: Test outputs of the runs.
    """
    copied = tested.copied.get(checksum)
    return copied.places if copied and _are_tested(copied.n_items, copied.items, found) else ()


def _are_tested(n_items: int, items: str, found: Sequence[ItemOutputs]) -> bool:
    """Return whether all runs were asked for the same items, of this number and SHA-256 if any."""
    asked = {(len(item.outputs), item.items) for item in found}
    return bool(found) and asked == {(n_items, items or found[0].items)}


def clean_places(n_items: int, copied: Sequence[int]) -> IntArray | None:
    """Return the places of the clean test items, shape (N,); None if all are, or too few.

    Args:
        n_items: Number of test items.
        copied: Places of those with a near-copy in training.
    """
    clean = np.setdiff1d(np.arange(n_items), copied)
    return clean if FEWEST_CLEAN <= len(clean) < n_items else None


def _clean_figures(
    rows: Sequence[Runs],
    outputs: Mapping[str, Mapping[int, ItemOutputs]],
    clean: IntArray,
    scoring: _Scoring,
) -> dict[str, CleanFigure]:
    """Return what rows have on some of the test items, and their ranks there."""
    scored = score_rows(only_at(clean, outputs), scoring.metric, scoring.name)
    found = {
        row: mean_of(scores)
        for row, scores in scored.items()
        if scores is not None and np.isfinite(scores.values).all()
    }
    merits = {
        row.id: -scoring.sign * found[row.id].value
        for row in rows
        if row.id in found and not row.reference
    }
    order = sorted(merits.values())
    ranks = {name: 1 + order.index(merit) for name, merit in merits.items()}
    return {name: CleanFigure(mean=m, rank=ranks.get(name)) for name, m in found.items()}


def only_at(
    places: IntArray, outputs: Mapping[str, Mapping[int, ItemOutputs]]
) -> dict[str, dict[int, ItemOutputs]]:
    """Return by row and seed the answers for the items at some places alone, shape (N,)."""
    return {
        row: {seed: _part(item, places) for seed, item in own.items()}
        for row, own in outputs.items()
    }


def _part(item: ItemOutputs, places: IntArray) -> ItemOutputs:
    return replace(
        item,
        items=f"{item.items} of {len(places)}",
        outputs=item.outputs[places],
        targets=None if item.targets is None else item.targets[places],
        groups=None if item.groups is None else item.groups[places],
    )
