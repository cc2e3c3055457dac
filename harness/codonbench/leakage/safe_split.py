"""Splits of a user's data in which no test item has a near-copy in training."""

from __future__ import annotations

import csv
import io

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from codonbench.contracts import Dataset, Features, Sequences
from codonbench.data.splits import TEST_SHARE, VALIDATION_SHARE, cut
from codonbench.data.table_report import by_appearance, same_items
from codonbench.errors import DataError
from codonbench.leakage.audit import Progress, Subject, splits_of, unwatched
from codonbench.leakage.letters import IntArray, letters_of
from codonbench.leakage.near_copies import nearest
from codonbench.leakage.steps import UNKEPT, Steps
from codonbench.leakage.verdict import DataAudit

_ROUNDS = 20  # at most, of splitting and joining groups that cross the split


def safe_split(
    subject: Subject, progress: Progress = unwatched, steps: Steps = UNKEPT
) -> tuple[dict[str, IntArray], IntArray]:
    """Return three splits that no pair of near-copies crosses, and the groups behind them.

    A group is a connected component of items linked as copies, as near-copies or by a group of the
    data. A group larger than the test or validation split stays in training.

    Args:
        subject: The data. Splits they have keep their sizes approximately; others get the defaults.
        seed: Seed of the splits.
        progress: Called with progress.
        steps: Stores intermediate results.

    Returns:
        The items of each split by its name, and the group of each item, shape (N,).

    Raises:
        DataError: All items are in one group.
    """
    dataset = subject.dataset
    everything = np.arange(len(dataset.items))

    def near(query: IntArray, reference: IntArray, name: str) -> IntArray:
        return _near(dataset, query, reference, progress, steps, name)

    groups = _joined(_given(subject), near(everything, everything, "all"))
    for number in range(_ROUNDS):
        splits = _split(dataset, groups)
        held_out = np.concatenate([splits["validation"], splits["test"]])
        across = [
            near(held_out, splits["train"], f"{number}, training"),
            near(splits["test"], splits["validation"], f"{number}, validation"),
        ]
        crossing = np.concatenate(across, axis=1)
        if not crossing.size:
            break
        groups = _joined(groups, crossing)
    return splits, groups


def _given(subject: Subject) -> IntArray:
    """Return groups of items that are equal or share a group of the data, shape (N,)."""
    dataset, given = subject.dataset, subject.columns.get(subject.groups, subject.dataset.groups)
    inputs = dataset.spec.input.sequences
    alphabet = inputs[0].alphabet if isinstance(dataset.items, Sequences) else ""
    same = by_appearance(same_items(dataset.items, alphabet)[1])
    if given is None:
        return same
    _, first, number = np.unique(given, return_index=True, return_inverse=True)
    return _joined(same, np.stack([np.arange(len(given)), first[number]]))


def _near(
    dataset: Dataset,
    query: IntArray,
    reference: IntArray,
    progress: Progress,
    steps: Steps,
    name: str,
) -> IntArray:
    """Return pairs of near-copies between `query` and `reference`, shape (2, m)."""
    items, size, pairs = letters_of(dataset)
    if items is None or not len(query) or not len(reference):
        return np.zeros((2, 0), dtype=np.int64)

    def step(done: float) -> None:
        progress("near-copies among all items", done)

    return nearest(items, query, reference, size, pairs, step, steps, name).links


def _joined(groups: IntArray, links: IntArray) -> IntArray:
    """Return groups joined by pairs of items (2, m), numbered in order of appearance."""
    ends = groups[links]
    n = int(groups.max()) + 1
    graph = coo_array((np.ones(ends.shape[1], dtype=np.int8), tuple(ends)), shape=(n, n))
    return by_appearance(connected_components(graph, directed=False)[1][groups].astype(np.int64))


def _split(dataset: Dataset, groups: IntArray) -> dict[str, IntArray]:
    rest = np.arange(len(dataset.items))
    classes = dataset.targets if dataset.spec.target.kind == "classes" else None
    found = {}
    for i, (name, usual) in enumerate((("test", TEST_SHARE), ("validation", VALIDATION_SHARE))):
        given = dataset.splits.get(name)
        share = usual if given is None else len(given) / len(rest)
        rest, found[name] = cut(rest, share, np.random.SeedSequence((0, i)), groups, classes)
    return {"train": rest, "validation": found["validation"], "test": found["test"]}


def clean_ids(dataset: Dataset, audit: DataAudit) -> str:
    """Return the ids of test items without a near-copy in training as CSV with one column.

    If the data have no ids, an item's id is its row number, counted from 1.
    """
    test = splits_of(dataset).test[list(audit.clean)].tolist()
    names = [dataset.ids[i] if dataset.ids else str(i + 1) for i in test]
    return "".join(f"{name}\n" for name in ("id", *names))


def as_table(subject: Subject, splits: dict[str, IntArray], groups: IntArray) -> str:
    """Return a table of one's own, or a task's items and targets, with new splits and groups.

    It is CSV that ``--data`` reads. Of a table of one's own all columns stay as they are, but for
    those of splits and, if it is called so, of ``group``.

    Raises:
        DataError: The items are features of a task.
    """
    dataset = subject.dataset
    columns = _columns(dataset) if subject.cells is None else subject.cells()
    split = np.empty(len(dataset.items), dtype=object)
    for name, rows in splits.items():
        split[rows] = name
    columns |= {"split": split.tolist(), "group": list(map(str, groups.tolist()))}
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(zip(*columns.values(), strict=True))
    return out.getvalue()


def _columns(dataset: Dataset) -> dict[str, list[str]]:
    """Return ids, items and targets of a task as columns of text."""
    items, spec = dataset.items, dataset.spec
    if isinstance(items, Features):
        raise DataError(
            "a split of features cannot be written as sequences; only tasks of sequences have one"
        )
    names, targets = spec.target.names, dataset.targets
    columns = {"id": list(dataset.ids or map(str, range(1, len(items) + 1)))}
    for part, each in zip(items.parts, spec.input.sequences, strict=True):
        columns["sequence" if len(items.parts) == 1 else each.unit] = part.text(each.alphabet)
    if spec.target.kind == "classes":
        return columns | {"label": [names[int(right)] for right in targets]}
    for name, right in zip(names, targets.T, strict=True):
        columns[name] = ["" if np.isnan(value) else str(value) for value in right]
    return columns
