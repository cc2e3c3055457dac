"""Records to a ranked board: which rows are comparable, and their order.

One table for each comparability key and kind of device. Its task says what rows are ranked by;
runs that never got there within the budget count as longer than any. Everything here is a pure
function of the records and of what their tasks declare, so the same records give the same bytes.
"""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field

from codonbench.contracts import Ceiling, Frozen, Ranking, Task
from codonbench.contracts.run_record import FINISHED, RunRecord
from codonbench.contracts.run_spec import RunSpec
from codonbench.contracts.trajectory import FloatArray
from codonbench.plugins.registry import ask_task
from codonbench.ranking.curves import Curves, learning_curves
from codonbench.ranking.items import Runs, TableFigures, Tested, compare, figures_file
from codonbench.ranking.published import Published
from codonbench.ranking.rows import (
    Contrast,
    Row,
    answers,
    build_row,
    contrasts,
    controlled_key,
    gain_text,
    with_budget_notes,
    with_ceiling_notes,
    with_differences,
    with_twin_notes,
)
from codonbench.ranking.statistics import DRAWS, Mean, drawn_ranks, draws
from codonbench.ranking.tiers import p_by_seed, tiers
from codonbench.records.files import printable, shipped
from codonbench.records.recorded_outputs import FOLDER, OURS
from codonbench.records.store import BadRecord, Store
from codonbench.scoring.score import RowKey, row_key, task_of

_Place = tuple[str, str]
"""A comparability key and a kind of device."""

_Rows = dict[RowKey, dict[int, RunRecord]]
"""A table's records, by row and seed."""

_RowRuns = tuple[Row, Sequence[RunRecord]]


AUDITS_RULE = "audit's rule"
"""What the best rule of the audit of a table's data is called beside its rows."""


class BestRule(Frozen):
    """The rule without a model that an audit of data found best on the validation items.

    Attributes:
        check: Name of the rule.
        score: Name of its score: ``MCC``, ``Pearson's r``.
        value: Its score on the test items.
        low, high: Its 95 % interval over test items; None if not computed.
        by_item: Whether its answers were kept by item.
    """

    check: str
    score: str
    value: float
    low: float | None = Field(default=None, exclude_if=lambda low: low is None)
    high: float | None = Field(default=None, exclude_if=lambda high: high is None)
    by_item: bool = Field(default=False, exclude=True)


class BoardTable(Frozen):
    """Rows that may be compared with one another, and those that were run under a control too.

    Attributes:
        figures: What is known of the rows over seeds and items; None where they were compared over
            seeds alone.
        n_items: How many test items that rests on.
        shares_targets: As in `Task`.
        category: As in `Task`.
        ranks: Of each row among all of them, by its id, in samples of seeds (and test items):
            `codonbench.ranking.items.RowFigures.ranks`.
        verdict: Of the audit of its data, ``FAIL`` among others; empty where none is at hand.
        ceiling: The best that a model can do, where that is known.
        asked: Protocol, where that is not the task's own.
        published: What others published on these data; no row, for it was not run here.
        best_rule: The best rule of the audit of its data, and what it has on the test items; None
            where no audit is at hand, or where `audited_apart`.
        held_in: The key of the table that shows these rows beside its own, as a control of them;
            empty where none does.
        of_subset: Whether its rows were trained on a subset, so that curves show them.
        told_apart: In words, by which options or data tables of otherwise the same title differ.
        usual: Whether its options are those that the task has by default.
    """

    key: str
    task: str
    task_version: str
    task_options: dict[str, object]
    data: str
    data_checksum: str
    simulated: bool
    stop: str
    budget_pairs: int
    device: str
    torch: tuple[str, ...]
    engines: tuple[str, ...]
    notes: tuple[str, ...]
    rows: tuple[Row, ...]
    references: tuple[Row, ...]
    contrasts: tuple[Contrast, ...] = ()
    ranking: Ranking = Field(exclude=True)  # the task's, for who shows the table
    figures: TableFigures | None = Field(default=None, exclude=True)
    n_items: int | None = Field(default=None, exclude_if=lambda n: n is None)
    shares_targets: bool = Field(default=True, exclude=True)
    category: str = Field(default="other", exclude=True)
    ranks: dict[str, tuple[float, ...]] = Field(default_factory=dict, exclude=True)
    verdict: str = Field(default="", exclude_if=lambda verdict: not verdict)
    ceiling: Ceiling | None = Field(default=None, exclude_if=lambda ceiling: ceiling is None)
    asked: str = Field(default="", exclude_if=lambda value: not value)
    published: tuple[Published, ...] = Field(default=(), exclude_if=lambda published: not published)
    best_rule: BestRule | None = Field(default=None, exclude_if=lambda rule: rule is None)
    held_in: str = Field(default="", exclude=True)
    of_subset: bool = Field(default=False, exclude_if=lambda of_subset: not of_subset)
    told_apart: str = Field(default="", exclude_if=lambda told_apart: not told_apart)
    usual: bool = Field(default=True, exclude=True)

    @property
    def all_rows(self) -> tuple[Row, ...]:
        """Its rows, and behind them the reference rows."""
        return (*self.rows, *self.references)

    @property
    def control(self) -> str:
        """Which control these rows were run under; empty for none, which comes first."""
        return str(self.task_options.get("control") or "")

    @property
    def title(self) -> str:
        """``gue-tf-0, cpu`` or ``gue-tf-0 on folder, cpu``: what tells it from others.

        Of a table of one's own the task is the table, whatever its file was called.
        """
        own = self.data == self.task or self._is_own
        name = self.task if own else f"{self.task} on {self.data}"
        if self.simulated and not name.endswith("simulated"):
            name += " (simulated)"
        apart = f", {self.told_apart}" if self.told_apart else ""
        control = f", control {self.control}" if self.control else ""
        whole = ", whole budget" if self.stop == "budget" and self.ranking.budget_divides else ""
        protocol = f", {self.asked}" if self.asked else ""
        return f"{name}{apart}{control}{whole}{protocol}, {self.device}"

    @property
    def _is_own(self) -> bool:
        return self.task_options.get("made_of") == "table"

    @property
    def audited_apart(self) -> bool:
        """Whether rows on a table of one's own were tested on other items than its audit.

        False of other tasks: their audit is of the published split, whatever rows were tested on.
        """
        return self._is_own and self.figures is not None and self.figures.other_items

    @property
    def options_set(self) -> dict[str, object]:
        """The task's options that are set: neither null nor empty."""
        return {k: v for k, v in self.task_options.items() if v not in (None, "", [], ())}

    @property
    def options_text(self) -> str:
        """The same in words."""
        return options_text(self.options_set)

    @property
    def beside(self) -> dict[str, Mean]:
        """What stands beside the rows in the primary metric, by name: ceiling and audit's rule.

        Under a control nothing does: both are of the data as they are.
        """
        found: dict[str, Mean] = {}
        if self.control:
            return found
        if (known := self.ceiling) is not None:
            found["ceiling"] = Mean(value=known.value, low=known.low, high=known.high, n=1)
        rule, name = self.best_rule, AUDITS_RULE
        if self.figures is not None and self.figures.rule is not None:
            found[name] = self.figures.rule
        elif rule is not None and rule.score.lower().startswith(self.ranking.primary.title.lower()):
            low, high = (rule.value if end is None else end for end in (rule.low, rule.high))
            found[name] = Mean(value=rule.value, low=low, high=high, n=1)
        return found

    @property
    def gain_over(self) -> str:
        """The row zero that rows' gains are over; empty where there is none."""
        return next((row.gain.over for row in self.rows if row.gain is not None), "")

    @property
    def best_reference(self) -> str | None:
        """The reference row that is best in the primary metric; None where none has a value."""
        sign, metric = self.ranking.sign, self.ranking.metric
        values = {row.model: row.means[metric] for row in self.references if metric in row.means}
        found = {model: sign * own.value for model, own in values.items() if own is not None}
        return max(found, key=lambda model: found[model]) if found else None

    @property
    def gain_words(self) -> str:
        """What gains are over, or why there are none; empty where none is looked for."""
        if self.figures is None or not self.rows:
            return ""
        known = self.figures.rule is not None
        text = "no row zero: no reference row with this score was run"
        if self.best_reference is not None:
            text = (
                f"no gain: the test outputs of the best reference row, {self.best_reference}, are "
            )
            text += "not available or may not be published"
        if self.gain_over:
            best = "the best rule or reference row" if known else "the best reference row"
            text = f"gain: over {self.gain_over}, {best}, on the same seeds and items"
        if AUDITS_RULE in self.beside and not known:
            by_item = self.best_rule is not None and self.best_rule.by_item
            why = "it was tested on other items" if by_item else "its outputs were not kept by item"
            text += f"; the {AUDITS_RULE} cannot be row zero, since {why}"
        return text

    @property
    def ranked(self) -> bool:
        """Whether a row has a value to be ranked by."""
        return any(row.rank is not None for row in self.rows)


class Excluded(Frozen):
    """A file or a run that does not count, and why."""

    name: str
    reason: str


class Board(Frozen):
    """All tables, their curves over training examples, and all that was left out.

    Attributes:
        with_failed: Whether summaries over tasks count those whose data audit is FAIL, too.
    """

    schema_version: Literal[2] = 2
    tables: tuple[BoardTable, ...]
    excluded: tuple[Excluded, ...]
    curves: tuple[Curves, ...] = Field(default=(), exclude_if=lambda curves: not curves)
    with_failed: bool = Field(default=False, exclude_if=lambda with_failed: not with_failed)

    @property
    def shown(self) -> tuple[BoardTable, ...]:
        """The tables without those whose rows stand beside others' or in curves beside a table."""
        plain = {_about(t) for t in self.tables if not (t.held_in or t.of_subset)}
        return tuple(
            t for t in self.tables if not (t.held_in or (t.of_subset and _about(t) in plain))
        )

    def curves_beside(self, table: BoardTable) -> list[Curves]:
        """Return the curves of rows on the same task, data and kind of device as a table's."""
        return [curves for curves in self.curves if _about(curves) == _about(table)]

    def unrun(self, tasks: Iterable[str]) -> list[str]:
        """Return the tasks that no table is of, in order."""
        return sorted({*tasks} - {table.task for table in self.tables})


def _about(of: BoardTable | Curves) -> tuple[str, str, str]:
    return of.task, of.data_checksum, of.device


Progress = Callable[[int, int], None]
"""Called with how many are done, and of how many."""


def no_progress(done: int, of: int) -> None:
    """Do nothing."""


def build_board(
    found: Iterable[RunRecord | BadRecord],
    tasks: Mapping[str, Task],
    tested: Tested | None = None,
    progress: Progress = no_progress,
) -> Board:
    """Return the board that a folder's records give.

    Args:
        found: The records, and the files that are none.
        tasks: By name, those that say how their rows are ranked; records of others do not count.
        tested: What runs answered for test items, by which rows are compared over seeds and items;
            without it they are compared over seeds alone.
        progress: Called with the number of tables made, and of all.
    """
    excluded: list[Excluded] = []
    groups: dict[tuple[str, str], list[RunRecord]] = defaultdict(list)
    found = list(found)
    there = {item.run_id for item in found if isinstance(item, RunRecord)}
    for item in found:
        if isinstance(item, BadRecord):
            excluded.append(Excluded(name=printable(item.path.name), reason=item.reason))
        elif item.run_spec.fold is not None:
            if item.run_spec.whole.run_id not in there:
                alone = "one fold; it counts once all folds of its seed have been run"
                excluded.append(Excluded(name=item.name, reason=alone))
        elif reason := _unfit(item, tasks):
            excluded.append(Excluded(name=item.name, reason=reason))
        else:
            groups[item.comparability_key, item.machine.device_kind].append(item)
    counted = {place: _count(records, excluded) for place, records in sorted(groups.items())}
    tables = []
    for done, (place, rows) in enumerate(counted.items()):
        progress(done, len(counted))
        task, controls = _task(_first(rows), tasks), _controls(place, counted, tasks)
        tables.append(_build_table(rows, controls, task, tested))
    tables = [table.model_copy(update={"held_in": _holder(table, tables)}) for table in tables]
    tables.sort(
        key=lambda t: (
            *(t.task, t.simulated, t.data, t.stop == "budget"),
            *(t.device, t.control, t.asked, t.key),
        )
    )
    alike: dict[str, list[BoardTable]] = defaultdict(list)
    for table in tables:
        alike[table.title].append(table)
    tables = [
        table.model_copy(update={"told_apart": _differing(table, alike[table.title])})
        for table in tables
    ]
    excluded.sort(key=lambda e: (e.name, e.reason))
    counting = (r for rows in counted.values() for seeds in rows.values() for r in seeds.values())
    parts = [record for record in counting if record.run_spec.subset is not None]
    curves = learning_curves(parts, tasks) if parts else ()
    return Board(tables=tuple(tables), excluded=tuple(excluded), curves=tuple(curves))


def _differing(table: BoardTable, alike: Sequence[BoardTable]) -> str:
    """Return in words the options in which tables of a title differ, or else their data."""
    facts = {
        name: value
        for name, value in table.options_set.items()
        if any(other.options_set.get(name) != value for other in alike)
    }
    same = {t.data_checksum for t in alike if t.options_set == table.options_set}
    data = {"data": table.data_checksum[:8]} if len(same) > 1 else {}
    return options_text({**facts, **data})


def options_text(options: Mapping[str, object]) -> str:
    """Return options in words: ``difficulty hard``."""
    return ", ".join(f"{name} {value}" for name, value in sorted(options.items()))


def _holder(table: BoardTable, tables: Sequence[BoardTable]) -> str:
    """Return the key of the table that shows another's rows as a control of its own, or nothing."""
    if not table.control:
        return ""
    bare = {k: v for k, v in table.task_options.items() if k != "control"}
    for other in tables:
        same = (*_about(other), other.asked) == (*_about(table), table.asked)
        held = any(table.control in row.controls for row in other.all_rows)
        if same and held and other.task_options == bare:
            return other.key
    return ""


def official_tables(tasks: Mapping[str, Task]) -> list[BoardTable]:
    """Return the tables of the official board, which comes with codonbench.

    Args:
        tasks: By name, those that say how their rows are ranked; others are left out.
    """
    file = shipped("leaderboard/leaderboard.json")
    found = [] if file is None else json.loads(file.read_bytes())["tables"]
    tables = tuple(
        BoardTable.model_validate(table | {"ranking": tasks[table["task"]].ranking})
        for table in found
        if table["task"] in tasks
    )
    return list(Board(tables=tables, excluded=()).shown)


def board_with_outputs(
    store: Store,
    found: Sequence[RunRecord | BadRecord],
    tasks: Mapping[str, Task],
    tested: Tested,
    progress: Progress = no_progress,
) -> tuple[Board, dict[Path, bytes | None]]:
    """Return the board of a results folder, rows of test outputs compared over seeds and items.

    Args:
        store: The folder.
        found: Its records and unreadable files.
        tasks: As for `build_board`.
        tested: Test outputs of its runs, see `codonbench.ranking.items.gather_tested`.
        progress: As for `build_board`.

    Returns:
        The board; and the files of test outputs that are to change, by their new content, None for
        one that belongs to nothing any more.
    """
    board, files = build_board(found, tasks, tested, progress), dict(tested.files)
    for table in board.tables:
        if table.figures is not None and not table.shares_targets:
            path, content = figures_file(store, table.figures)
            files[path] = content if not path.is_file() or path.read_bytes() != content else None
    ours = [path for path in (store.folder / FOLDER).glob("*") if OURS.fullmatch(path.name)]
    changed: dict[Path, bytes | None] = {path: None for path in ours if path not in files}
    changed |= {path: new for path, new in files.items() if new is not None}
    return board, changed


def _unfit(record: RunRecord, tasks: Mapping[str, Task]) -> str | None:
    """Return why a record cannot count, whatever the others are."""
    if record.status not in FINISHED:
        return f"status {record.status}"
    if task_of(record, tasks) is None:
        return (
            f"task {record.task} is not installed or not allowed by --trust, so how it is ranked "
            "is not known"
        )
    values = record.metrics.items()
    huge = sorted(name for name, value in values if value and abs(value) > sys.float_info.max)
    return f"{', '.join(huge)}: too large to compute with" if huge else None


def _task(record: RunRecord, tasks: Mapping[str, Task]) -> Task:
    """Return the task of a record that `_unfit` finds nothing wrong with."""
    task = task_of(record, tasks)
    assert task is not None
    return task


def _count(records: Sequence[RunRecord], excluded: list[Excluded]) -> _Rows:
    """Return the records that count, by row and seed; the first of a seed does."""
    by_row: _Rows = defaultdict(dict)
    for record in sorted(records, key=lambda r: (r.model, r.seed, r.run_id, r.checksum)):
        counted = by_row[row_key(record)].setdefault(record.seed, record)
        if counted is not record:
            reason = f"seed {record.seed} is already counted from {counted.name}"
            excluded.append(Excluded(name=record.name, reason=reason))
    return by_row


def _controls(
    place: _Place, counted: Mapping[_Place, _Rows], tasks: Mapping[str, Task]
) -> list[_Rows]:
    """Return the tables whose runs are controls of those of one table."""
    key, device = place
    return [
        controlled
        for (_, other_device), controlled in counted.items()
        if other_device == device
        and controlled_key(_first(controlled), _task(_first(controlled), tasks).ranking) == key
    ]


def _first(rows: _Rows) -> RunRecord:
    """Return a record of a table, for what all of them share."""
    return next(iter(next(iter(rows.values())).values()))


def _build_table(
    by_row: _Rows, controls: Sequence[_Rows], task: Task, tested: Tested | None
) -> BoardTable:
    runs = [list(seeds.values()) for seeds in by_row.values()]
    found: dict[RowKey, list[Contrast]] = defaultdict(list)
    control = task.ranking.control
    for controlled in controls if control else ():
        if control and control.name == _first(controlled).run_spec.control:
            for key, contrast in contrasts(by_row, controlled, control):
                found[key].append(contrast)
    # Codonbench's own come last, so that no other row of the same name replaces one.
    by_owner = sorted(runs, key=lambda own: own[0].plugin.distribution == "codonbench")
    references = {own[0].model: tuple(own) for own in by_owner if own[0].info.role == "reference"}
    built = []
    for key, own in zip(by_row, runs, strict=True):
        under = tuple(r for controlled in controls for r in controlled.get(key, {}).values())
        notes = ask_task(task.row_notes, tuple(own), under, references)
        outputs = () if tested is None else (tested.outputs.get(run.run_id) for run in own)
        spec = next((item.task for item in outputs if item is not None), None)
        built.append(build_row(own, found.get(key, []), task.ranking, notes, spec))
    if not task.ranking.budget_divides:
        built = with_budget_notes(built, runs, task)
    named = with_differences(built, [own[0].plugin.source_sha256 for own in runs])
    rows = list(zip(named, runs, strict=True))
    rows.sort(key=lambda row: _order(row[0], row[1], task.ranking))
    held = {
        row.id: {
            _first(controlled).run_spec.control: tuple(controlled[key].values())
            for controlled in controls
            if key in controlled
        }
        for key, row in zip(by_row, named, strict=True)
    }
    figures = None if tested is None else _compared(rows, held, task, tested)
    records = [record for own in runs for record in own]
    first, usual = _first(by_row), task.Options().model_dump(mode="json")
    ceiling = ask_task(task.ceiling, first)
    of_row = {row.id: own[0] for row, own in rows}
    ranked, unranked = (
        with_twin_notes(
            with_ceiling_notes(_with_figures(part, figures), ceiling, task.ranking),
            of_row,
            task.ranking,
        )
        for part in (
            _ranked(_of_role(rows, "contestant"), task.ranking),
            [row for row, _ in _of_role(rows, "reference")],
        )
    )
    return BoardTable(
        key=first.comparability_key,
        task=first.task,
        task_version=first.run_spec.task_version,
        task_options=first.run_spec.task_options,
        data=", ".join(sorted({r.dataset.source for r in records})),
        data_checksum=first.dataset.checksum,
        simulated=first.dataset.simulated,
        stop=", ".join(sorted({r.run_spec.stop for r in records})),
        budget_pairs=max(r.run_spec.budget_pairs for r in records),
        device=first.machine.device_kind,
        torch=tuple(sorted({r.machine.torch for r in records})),
        engines=tuple(sorted({r.engine.name for r in records})),
        notes=first.dataset.notes,
        rows=ranked,
        references=unranked,
        contrasts=tuple(contrast for key in sorted(found) for contrast in found[key]),
        ranking=task.ranking,
        figures=figures,
        n_items=None if figures is None else figures.n_items,
        shares_targets=task.shares_targets,
        category=task.category,
        ceiling=ceiling,
        ranks=_drawn_ranks(rows, figures, task.ranking),
        asked=_asked(first.run_spec),
        of_subset=first.run_spec.subset is not None,
        usual=usual | first.run_spec.task_options == usual,
    )


def _asked(run_spec: RunSpec) -> str:
    """Return ``folds 5`` or ``300 examples``; nothing for the task's own protocol."""
    if run_spec.part:
        return run_spec.part
    words = [] if run_spec.protocol is None else [run_spec.protocol]
    words += map(str, run_spec.protocol_options.values())
    words += [run_spec.track] if run_spec.track and run_spec.budget_pairs else []
    return " ".join(words)


def _of_role(rows: Sequence[_RowRuns], role: str) -> list[_RowRuns]:
    return [(row, own) for row, own in rows if row.role == role]


def _compared(
    rows: Sequence[_RowRuns],
    held: Mapping[str, Mapping[str, Sequence[RunRecord]]],
    task: Task,
    tested: Tested,
) -> TableFigures | None:
    """Return what is known of rows over seeds and items, where they are ranked by a mean.

    Args:
        rows: With their records.
        held: The records of rows under each control, by the row's id.
        task: Theirs.
        tested: What runs answered.
    """
    ranking = task.ranking
    if ranking.primary.statistic != "mean":
        return None
    runs = [
        Runs(
            id=row.id,
            model=row.model,
            mean=row.means[ranking.metric],
            reference=row.role == "reference",
            records=own,
            controls=held[row.id],
        )
        for row, own in rows
    ]
    return compare(runs, ranking, tested, shares_targets=task.shares_targets)


def _drawn_ranks(
    rows: Sequence[_RowRuns], figures: TableFigures | None, ranking: Ranking
) -> dict[str, tuple[float, ...]]:
    """Return ranks of rows in samples of seeds and test items, or of seeds alone."""
    if figures is not None and all(own.ranks for own in figures.rows.values()):
        return {name: own.ranks for name, own in figures.rows.items()}
    return drawn_ranks({row.id: -_drawn_costs(records, ranking) for row, records in rows})


def _drawn_costs(records: Sequence[RunRecord], ranking: Ranking) -> FloatArray:
    """Return what a row is ranked by in samples of its seeds, lower is better; shape (DRAWS,)."""
    costs = [cost for _, cost in sorted(_costs(records, ranking).items())]
    if not costs:
        return np.full(DRAWS, np.inf)
    samples = np.stack([np.repeat(costs, n) for n in draws(len(costs), "seeds")[:DRAWS]])
    if ranking.primary.statistic == "mean":
        return np.asarray(samples.mean(axis=1))
    at = ranking.primary.quantile
    return np.asarray(np.quantile(samples, at, axis=1, method="inverted_cdf"))


def _with_figures(rows: Iterable[Row], figures: TableFigures | None) -> tuple[Row, ...]:
    """Return rows with what is known of them over seeds and items."""
    if figures is None:
        return tuple(rows)
    primary = figures.metric
    changed = []
    for row in rows:
        found = figures.rows.get(row.id)
        if found is None:
            changed.append(row.model_copy(update={"tier": None}))
            continue
        flags = tuple(figure.flag for figure in found.controls.values() if figure.flag)
        update = {
            name: getattr(found, name) for name in ("gain", "twin", "tier", "controls", "clean")
        }
        update |= {"means": {**row.means, primary: found.mean}, "notes": (*row.notes, *flags)}
        changed.append(row.model_copy(update=update))
    return tuple(changed)


def _ranked(rows: Sequence[_RowRuns], ranking: Ranking) -> tuple[Row, ...]:
    """Return rows in the order of their ranks, with rank and tier; equal ones share their rank.

    A row whose runs could not answer has neither and comes last; nor has any row where none of
    them has a value.
    """
    if not any(_has_value(row, ranking.metric) for row, _ in rows):
        return tuple(row for row, _ in rows)
    answered = [(row, own) for row, own in rows if row.figure(ranking.metric) is not None]
    silent = [row for row, _ in rows if row.figure(ranking.metric) is None]
    found = tiers(p_by_seed([_costs(records, ranking) for _, records in answered]))
    merits = [merit(row, ranking) for row, _ in answered]
    ranked = [
        row.model_copy(update={"rank": 1 + merits.index(merit), "tier": tier})
        for (row, _), merit, tier in zip(answered, merits, found, strict=True)
    ]
    return (*ranked, *silent)


def _has_value(row: Row, metric: str) -> bool:
    """Return whether a run of a row has a number that the row can be ranked by."""
    figure = row.figure(metric)
    return figure is not None and (isinstance(figure, Mean) or figure.never < figure.n)


def _costs(records: Sequence[RunRecord], ranking: Ranking) -> dict[int, float]:
    """Return what a row is ranked by, by seed, lower is better; infinity for "never"."""
    never = ranking.primary.statistic == "censored_quantile"
    values = answers(records, ranking.metric)
    return {
        seed: ranking.cost(value) for seed, value in values.items() if never or value is not None
    }


def gain_cell(row: Row, table: BoardTable) -> str:
    """Return a row's gain in words, or that there is no row zero; nothing for reference rows."""
    absent = row.gain is None and table.figures is not None and table.best_reference is None
    if absent and row.role != "reference":
        return "no row zero"
    return gain_text(row.gain, table.ranking.primary)


def merit(row: Row, ranking: Ranking) -> tuple[bool, float, float]:
    """Return what rows are ranked by, lower is better: the primary figure, then success.

    Before both, whether a mean leaves out runs that have no value, since that of the others may
    flatter.
    """
    figure = row.figure(ranking.metric)
    partial = isinstance(figure, Mean) and figure.n < len(row.seeds)
    cost = ranking.cost(None if figure is None else figure.value)
    return partial, cost, -row.successes / len(row.seeds)


def _order(row: Row, records: Sequence[RunRecord], ranking: Ranking) -> tuple[object, ...]:
    """Return what rows are sorted by: those of one rank by doubts, flagged runs and name."""
    flagged = sum(bool(record.flags) for record in records)
    return (*merit(row, ranking), row.doubted, flagged, row.model, row.config_sha256)
