"""A task's page beside its rows: the task, the audit of its data, and its sources."""

from __future__ import annotations

from pydantic import Field

from codonbench.contracts import Frozen, Input, Target, Task
from codonbench.leakage.boards import audit_words
from codonbench.ranking.board import BestRule, Board, BoardTable
from codonbench.ranking.published import Published, Source
from codonbench.ranking.rows import name_text
from codonbench.ranking.statistics import Mean, Median
from codonbench.report.item_facts import Example
from codonbench.report.site.by_item import PageSources
from codonbench.report.site.scripts import shown

_MOST_NAMES = 15
"""Of a target, that are told in words."""


class PageTask(Frozen):
    """What a table's task is.

    Attributes:
        title, version, category, protocol, reference, licence, notes: As in `TaskSpec`; empty where
            the task does not say.
        input, target, strand: Descriptions.
        sizes: Training, validation and test items, where an audit or a run says.
        folded: Whether rows are cross-validated, each item tested once, whatever the split.
        examples, withheld: As in `ItemFacts`.
        audit: Result of the data audit, the verdict first; empty if there is none.
        findings: The check, its grade and its words, the gravest first.
        best_rule: As in `BoardTable`.
    """

    title: str
    version: str
    category: str
    protocol: str
    reference: str = ""
    licence: str = ""
    notes: tuple[str, ...] = ()
    input: str = ""
    target: str = ""
    sizes: tuple[int, ...] = ()
    folded: bool = Field(default=False, exclude_if=lambda folded: not folded)
    examples: tuple[Example, ...] = ()
    withheld: str = ""
    audit: str = ""
    findings: tuple[tuple[str, str, str], ...] = ()
    best_rule: BestRule | None = None


class PageCurve(Frozen):
    """A row's scores by training examples; see `codonbench.ranking.curves.Curve`."""

    label: str
    role: str
    points: tuple[Mean | None, ...]
    area: Mean | None
    to_row_zero: Median | None


class PageCurves(Frozen):
    """Rows trained on the same subsets; see `codonbench.ranking.curves.Curves`."""

    sizes: tuple[int, ...]
    per_class: bool
    title: str
    row_zero: str
    rows: tuple[PageCurve, ...]


def about_task(
    table: BoardTable, task: Task | None, known: PageSources, *, folded: bool
) -> PageTask:
    """Return what is known of a table's task; `task` is None where that is not installed."""
    audit, facts = known.audits.get(table.data_checksum), known.facts.get(table.data_checksum)
    inputs, target = getattr(task, "input", None), getattr(task, "target", None)
    order = ("leak", "doubt", "row zero", "clear")
    findings = sorted(audit.findings if audit else (), key=lambda f: order.index(f.grade))
    return PageTask(
        title=shown(task.title if task else "", 400),
        version=shown(table.task_version),
        category=shown(table.category),
        protocol=shown(table.asked or (task.protocol if task else "")),
        reference=shown(getattr(task, "reference", ""), 400),
        licence=shown(getattr(task, "licence", ""), 400),
        notes=tuple(
            shown(note, 600)
            for note in getattr(task, "notes", ())
            if not any(own.says(note) for own in table.published)
        ),
        input=input_words(inputs) if isinstance(inputs, Input) else "",
        target=target_words(target) if isinstance(target, Target) else "",
        sizes=(audit.train, audit.validation, audit.test) if audit else (),
        folded=folded,
        examples=tuple(_plain(own) for own in facts.examples) if facts else (),
        withheld=shown(facts.withheld)
        if facts
        else "the items of these data have not been described",
        audit=shown(audit_words(audit, table), 400) if audit else "",
        findings=tuple((f.check, f.grade, shown(audit.describe(f), 400)) for f in findings)
        if audit
        else (),
        best_rule=table.best_rule,
    )


def _plain(example: Example) -> Example:
    return example.model_copy(
        update={
            "parts": tuple(map(shown, example.parts)),
            "answer": shown(example.answer),
        }
    )


def as_shown(own: Published) -> Published:
    """Return published figures with their text made fit to be shown."""
    source = {name: shown(text, 600) for name, text in own.source.model_dump().items()}
    figures = (f.model_copy(update={"model": shown(f.model)}) for f in own.figures)
    return Published(source=Source(**source), figures=tuple(figures))


def curves_of(table: BoardTable, board: Board) -> tuple[PageCurves, ...]:
    """Return scores by training examples of rows on the data of a table."""
    return tuple(
        PageCurves(
            sizes=own.sizes,
            per_class=own.per_class,
            title=shown(own.column.title),
            row_zero=shown(own.row_zero),
            rows=tuple(
                PageCurve(
                    label=shown(name_text(row.model, row.overrides, row.distribution)),
                    role=row.role,
                    points=row.points,
                    area=row.area,
                    to_row_zero=row.to_row_zero,
                )
                for row in own.rows
            ),
        )
        for own in board.curves_beside(table)
    )


def input_words(spec: Input) -> str:
    """Return what an item is, in words."""
    if spec.kind == "features":
        return f"{spec.max_length:,} features a {spec.unit}"
    parts = []
    for part in spec.sequences:
        lengths = f"{part.min_length:,}"
        if part.max_length > part.min_length:
            lengths += f" to {part.max_length:,}"
        parts.append(f"{part.unit} of {lengths} letters `{part.alphabet}`")
    return " and ".join(parts)


def target_words(target: Target) -> str:
    """Return a description of the target."""
    names = ", ".join(target.names[:_MOST_NAMES]) + (
        ", ..." if len(target.names) > _MOST_NAMES else ""
    )
    units = f" ({', '.join(target.units)})" if target.units else ""
    one = {"classes": "class", "labels": "label", "quantities": "quantity"}[target.kind]
    return f"{len(target.names)} {one if len(target.names) == 1 else target.kind}: {names}{units}"
