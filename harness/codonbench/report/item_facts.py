"""Facts on single items for a task's page: ten examples, and facts on each test item.

A score is told apart by an item's length, by the share of G and C in it, and by how much of it
stands in the training item most like it: a model that falls off where that is low has memorised.
None of it is a sequence or an answer. ``bench data describe`` writes it once, where the data are,
and a board finds it in a folder ``items`` beside it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
from pydantic import ValidationError

from codonbench.contracts import Dataset, Features, Frozen, Sequences, Split, Task
from codonbench.contracts.trajectory import IntArray
from codonbench.data.splits import completed
from codonbench.errors import StoreError
from codonbench.leakage.letters import letters_of
from codonbench.leakage.near_copies import nearest
from codonbench.report.site.scripts import Packed, pack, unpack

FOLDER = "items"

EXAMPLES = 10
LONGEST = 120
"""Letters of an example's sequence that are shown."""

_VALUES = 6  # of an example of features
_UNLICENSED = "none stated"


class Example(Frozen):
    """An item of the training split, as it is read.

    Attributes:
        parts: Its sequence, or each of several, cut to `LONGEST` letters; or its first values.
        lengths: Letters or values of each in full.
        answer: Its target.
    """

    parts: tuple[str, ...]
    lengths: tuple[int, ...]
    answer: str


class ItemFacts(Frozen):
    """What is known of the items of some data.

    Attributes:
        task, checksum: Task and checksum of the data.
        items: How many test items there are; 0 where each seed draws its own.
        word: Letters of a word, of which `likeness` counts.
        lengths: Letters of each test item; None of features.
        gc: Per cent of its letters that are G or C; None where these are no letters.
        likeness: Per cent of its distinct words that the training item most like it has, too.
        examples: Items of the training split.
        withheld: Why there are none; empty where there are.
    """

    schema_version: Literal[1] = 1
    task: str
    checksum: str
    items: int
    word: int = 0
    lengths: Packed | None = None
    gc: Packed | None = None
    likeness: Packed | None = None
    examples: tuple[Example, ...] = ()
    withheld: str = ""

    def values(self) -> dict[str, IntArray]:
        """Return each fact of the test items by its name, shape (items,)."""
        found = {"length": self.lengths, "GC": self.gc, "likeness": self.likeness}
        return {name: unpack(own).astype(np.int64) for name, own in found.items() if own}


def read_facts(folder: Path) -> dict[str, ItemFacts]:
    """Return the facts in a folder, by the checksum of the data.

    Raises:
        StoreError: A file holds something else.
    """
    found = {}
    for path in sorted(folder.glob("*.json")):
        try:
            facts = ItemFacts.model_validate_json(path.read_bytes())
            facts.values()
        except (ValidationError, StoreError) as error:
            raise StoreError(
                f"{path}: no description of items; make it with 'bench data describe'"
            ) from error
        found[facts.checksum] = facts
    return found


def withheld(task: Task | None, dataset: Dataset) -> str:
    """Return why items of some data must not be shown; empty where they may be.

    Args:
        task: Whose data they are; None for a table of one's own, which is for its owner to show.
        dataset: The data.
    """
    if task is None:
        return ""
    terms = next((source.terms for source in task.sources if source.terms), "")
    if terms:
        return f"the terms of the data are: {terms}"
    if not task.shares_targets:
        return "its targets must not be published"
    licence = getattr(task, "licence", "")
    if not dataset.simulated and (not licence or licence.startswith(_UNLICENSED)):
        return "no licence is stated that would allow it"
    return ""


def item_facts(task: Task | None, dataset: Dataset) -> ItemFacts:
    """Return what is known of the items of some data.

    Args:
        task: The task that they serve; None for a table of one's own.
        dataset: The data, whole.
    """
    split = _split(dataset)
    test = split.test if "test" in dataset.splits else split.test[:0]
    train = _training(dataset, split)
    reason = withheld(task, dataset)
    facts = _of_test(dataset, test, train) if len(test) else {}
    return ItemFacts(
        task=dataset.spec.name,
        checksum=dataset.checksum,
        items=len(test),
        examples=() if reason else examples(dataset),
        withheld=reason,
        **facts,
    )


def examples(dataset: Dataset) -> tuple[Example, ...]:
    """Return ten items of the training split, or of all where there is none.

    Whether they may be passed on is for `withheld` to say.
    """
    train = _training(dataset, _split(dataset))
    return tuple(_examples(dataset, train if len(train) else np.arange(len(dataset.items))))


def _split(dataset: Dataset) -> Split:
    none = np.zeros(0, dtype=np.int64)
    given = (dataset.splits.get(name, none) for name in ("train", "validation", "test"))
    return completed(Split(*given), dataset, 0) if dataset.splits else Split(none, none, none)


def _training(dataset: Dataset, split: Split) -> IntArray:
    """Return the items to train on, those to choose by among them where no split says which."""
    if "validation" in dataset.splits:
        return split.train
    return np.sort(np.concatenate([split.train, split.validation]))


def _of_test(dataset: Dataset, test: IntArray, train: IntArray) -> dict[str, int | Packed]:
    items, size, complement = letters_of(dataset)
    if items is None:
        return {}
    found: dict[str, int | Packed] = {"lengths": pack(items.lengths[test], "u4")}
    alphabet = dataset.spec.input.sequences[0].alphabet
    strong = [alphabet.index(letter) for letter in "GC" if letter in alphabet]
    if len(strong) == 2 and size <= 5:
        shares = [np.isin(_letters(items, i), strong).mean() for i in test.tolist()]
        found["gc"] = pack(np.rint(100 * np.nan_to_num(shares)), "u1")
    if len(train):
        word = 6 if size <= 5 else 3
        like = nearest(items, test, train, size, complement).candidate
        shared = [
            0.0 if j < 0 else _shared(items, i, j, word, complement)
            for i, j in zip(test.tolist(), like.tolist(), strict=True)
        ]
        found |= {"word": word, "likeness": pack(np.rint(100 * np.array(shared)), "u1")}
    return found


def _letters(items: Sequences, item: int) -> npt.NDArray[np.uint8]:
    return items.letters[items.offsets[item] : items.offsets[item + 1]]


def _words(letters: npt.NDArray[np.uint8], word: int) -> IntArray:
    """Return the distinct words of letters as numbers."""
    if len(letters) < word:
        return np.zeros(0, dtype=np.int64)
    windows = np.lib.stride_tricks.sliding_window_view(letters.astype(np.int64), word)
    return np.unique(windows @ (256 ** np.arange(word)))


def _shared(
    items: Sequences, one: int, other: int, word: int, complement: npt.NDArray[np.uint8] | None
) -> float:
    """Return the share of an item's words that another has, whichever way it is read."""
    own, letters = _words(_letters(items, one), word), _letters(items, other)
    ways = [letters] if complement is None else [letters, complement[letters[::-1]]]
    found = [np.isin(own, _words(way, word)).mean() if len(own) else 0.0 for way in ways]
    return float(max(found))


def _examples(dataset: Dataset, train: IntArray) -> list[Example]:
    """Return examples: one of each class in turn, or from the least quantity to the greatest."""
    spec, targets = dataset.spec, dataset.targets
    order = np.random.default_rng(0).permutation(train)
    if spec.target.kind == "classes":
        classes = targets[order].astype(np.int64)
        turn = np.array([np.sum(classes[:i] == c) for i, c in enumerate(classes[:2_000])])
        order = order[:2_000][np.argsort(turn, kind="stable")]
    chosen = order[:EXAMPLES]
    if spec.target.kind == "quantities":
        chosen = chosen[np.argsort(np.nan_to_num(targets[chosen, 0]))]
    return [_example(dataset, int(i)) for i in chosen]


def _example(dataset: Dataset, item: int) -> Example:
    spec, items = dataset.spec, dataset.items
    if isinstance(items, Features):
        values = items.values[item]
        parts: tuple[str, ...] = (", ".join(f"{v:.3g}" for v in values[:_VALUES]),)
        lengths: tuple[int, ...] = (len(values),)
    else:
        index = np.array([item])
        texts = [
            own.take(index).text(part.alphabet)[0]
            for own, part in zip(items.parts, spec.input.sequences, strict=True)
        ]
        parts, lengths = tuple(text[:LONGEST] for text in texts), tuple(map(len, texts))
    return Example(parts=parts, lengths=lengths, answer=_answer(dataset, item))


def _answer(dataset: Dataset, item: int) -> str:
    target, own = dataset.spec.target, dataset.targets[item]
    if target.kind == "classes":
        return target.names[int(own)]
    if target.kind == "labels":
        there = [name for name, value in zip(target.names, own, strict=True) if value == 1]
        return ", ".join(there) or "none"
    units = target.units or ("",) * len(target.names)
    known = [
        f"{name} {value:.3g} {unit}".strip()
        for name, value, unit in zip(target.names, own, units, strict=True)
        if not np.isnan(value)
    ]
    more = f" and {len(known) - 3} more" if len(known) > 3 else ""
    return ", ".join(known[:3]) + more
