"""A split of one's own in which no test item has a near-copy in training."""

from __future__ import annotations

import csv
import io

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from codonbench.contracts import Dataset, Features, Sequences
from codonbench.data.splits import TEST_SHARE, VALIDATION_SHARE, cut
from codonbench.data.table_report import same_items
from codonbench.errors import DataError
from codonbench.leakage.audit import Progress, Subject, splits_of, unwatched
from codonbench.leakage.letters import IntArray, letters_of
from codonbench.leakage.near_copies import nearest
from codonbench.leakage.verdict import DataAudit


def homologous(subject: Subject, progress: Progress = unwatched) -> IntArray:
    """Return groups of items that are copies, near-copies or of one given group, by any detour.

    Args:
        subject: The data.
        progress: Told how far it has come.

    Returns:
        A number for each item, shape (N,).
    """
    dataset = subject.dataset
    n, everything = len(dataset.items), np.arange(len(dataset.items))
    items, size, pairs = letters_of(dataset)
    inputs = dataset.spec.input.sequences
    alphabet = inputs[0].alphabet if isinstance(dataset.items, Sequences) else ""
    linked = [same_items(dataset.items, alphabet)[1]]
    given = subject.columns.get(subject.groups, dataset.groups)
    linked += [] if given is None else [given]
    one, other = [], []
    for numbers in linked:
        _, first, inverse = np.unique(numbers, return_index=True, return_inverse=True)
        one.append(everything)
        other.append(first[inverse])
    if items is not None:
        found = nearest(
            items,
            everything,
            everything,
            size,
            pairs,
            lambda done: progress("near-copies among all items", done),
        )
        has = found.copied >= 0
        one.append(everything[has])
        other.append(found.copied[has])
    links = np.concatenate(one), np.concatenate(other)
    graph = coo_array((np.ones(len(links[0]), dtype=np.int8), links), shape=(n, n))
    return np.asarray(connected_components(graph, directed=False)[1], dtype=np.int64)


def safe_split(dataset: Dataset, groups: IntArray, seed: int = 0) -> dict[str, IntArray]:
    """Return the items of three splits that no group crosses; the largest groups are in training.

    Args:
        dataset: Splits of theirs keep their sizes, about; others have the usual ones.
        groups: Of all items, shape (N,).
        seed: Of what is cut.

    Raises:
        DataError: All items are of one group.
    """
    rest = np.arange(len(dataset.items))
    classes = dataset.targets if dataset.spec.target.kind == "classes" else None
    usual = {"test": TEST_SHARE, "validation": VALIDATION_SHARE}
    found = {}
    for i, (name, share) in enumerate(usual.items()):
        if name in dataset.splits:
            share = len(dataset.splits[name]) / len(rest)
        rest, found[name] = cut(rest, share, np.random.SeedSequence((seed, i)), groups, classes)
    return {"train": rest, "validation": found["validation"], "test": found["test"]}


def clean_ids(dataset: Dataset, audit: DataAudit) -> str:
    """Return the ids of test items without a near-copy in training, as a column of CSV.

    Items without ids of their own have their row in the data, from 1.
    """
    test = splits_of(dataset).test[list(audit.clean)].tolist()
    names = [dataset.ids[i] if dataset.ids else str(i + 1) for i in test]
    return "".join(f"{name}\n" for name in ("id", *names))


def as_table(dataset: Dataset, splits: dict[str, IntArray], groups: IntArray) -> str:
    """Return items, targets, splits and groups as CSV that ``--data`` reads.

    Raises:
        DataError: The items are features.
    """
    items, asked = dataset.items, dataset.spec
    if isinstance(items, Features):
        raise DataError(
            "a split of features cannot be written as sequences; only tasks of sequences have one"
        )
    parts = (items,) if isinstance(items, Sequences) else items.parts
    of_each = zip(parts, asked.input.sequences, strict=True)
    texts = [part.text(each.alphabet) for part, each in of_each]
    heads = ["sequence"] if len(parts) == 1 else [each.unit for each in asked.input.sequences]
    names = asked.target.names
    split = np.empty(len(items), dtype=object)
    for name, rows in splits.items():
        split[rows] = name
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    targets = ["label"] if asked.target.kind == "classes" else list(names)
    writer.writerow(["id", *heads, *targets, "split", "group"])
    ids = dataset.ids or tuple(map(str, range(1, len(items) + 1)))
    for i in range(len(items)):
        right = dataset.targets[i]
        cells = (
            [names[int(right)]]
            if asked.target.kind == "classes"
            else ["" if np.isnan(value) else f"{value:.9g}" for value in right]
        )
        writer.writerow([ids[i], *(text[i] for text in texts), *cells, split[i], groups[i]])
    return out.getvalue()
