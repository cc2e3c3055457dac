"""Controls: runs without the information that a score should depend on.

Protocols offer the controls defined here; a task may have its own. A control is an option of the
task, so its runs have specs, records and tables of their own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from codonbench.contracts import Dataset, Features, Items, Sequences, SequenceTuples, Split, Task
from codonbench.data.shuffling import shuffled
from codonbench.data.strands import concatenated, reverse_complements
from codonbench.data.stream import hidden_generator
from codonbench.errors import ConfigError

LABELS, COMPOSITION, UNTRAINED, STRAND = "labels", "composition", "untrained", "strand"

WORDS: Mapping[str, str] = {
    LABELS: "targets of training and validation items are permuted within each split, anew for "
    "each seed; test targets are not",
    COMPOSITION: "each sequence is shuffled, keeping its dinucleotides",
    UNTRAINED: "no training",
    STRAND: "test items are replaced by their reverse complements",
}
"""Description of each control that a protocol may offer."""


def controls_of(task: Task, dataset: Dataset, offered: tuple[str, ...]) -> tuple[str, ...]:
    """Return the names of a task's controls, its own first.

    Args:
        task: The task.
        dataset: Its data.
        offered: The controls of its protocol.
    """
    missing = {COMPOSITION} if isinstance(dataset.items, Features) else set()
    if task.strand != "either" or "test" not in dataset.splits:
        missing.add(STRAND)
    return (*task.controls, *(name for name in offered if name not in missing))


def controlled(
    dataset: Dataset, task: Task, control: str, offered: tuple[str, ...], salt: str
) -> Dataset:
    """Return the data under a control, the same for all seeds; a task applies its own controls.

    Args:
        dataset: The data.
        task: The task.
        control: Name of the control.
        offered: The controls of the task's protocol.
        salt: Salt of the runs, from which random numbers derive.

    Raises:
        ConfigError: The task has no such control.
    """
    known = controls_of(task, dataset, offered)
    if control not in known:
        there = f"it has {', '.join(known)}" if known else "it has none"
        raise ConfigError(f"task {task.name!r} has no control {control!r}; {there}")
    if control in task.controls:
        return dataset
    note = f"Control: {WORDS[control]}."
    spec = dataset.spec.model_copy(update={"notes": (*dataset.spec.notes, note)})
    items, report = dataset.items, (*dataset.report, f"control: {WORDS[control]}")
    if control == COMPOSITION:
        items = _shuffled(dataset, hidden_generator(salt, 0, f"{control} {dataset.checksum}"))
    elif control == STRAND:
        items = _test_turned(dataset)
    return replace(dataset, spec=spec, items=items, report=report)


def _shuffled(dataset: Dataset, rng: np.random.Generator) -> Items:
    items, inputs = dataset.items, dataset.spec.input.sequences
    if isinstance(items, Sequences):
        return shuffled(items, len(inputs[0].alphabet), rng)
    assert isinstance(items, SequenceTuples)
    parts = zip(items.parts, inputs, strict=True)
    return SequenceTuples(tuple(shuffled(part, len(i.alphabet), rng) for part, i in parts))


def _test_turned(dataset: Dataset) -> Items:
    """Return all items, with test items reverse-complemented."""
    items = dataset.items
    turned = reverse_complements(items, dataset.spec.input.alphabet)
    assert isinstance(items, Sequences)  # `controls_of` offers it for nucleotides alone
    assert turned is not None
    place = np.arange(len(items))
    place[dataset.splits["test"]] += len(items)
    return concatenated(items, turned).take(place)


def permuted_targets(dataset: Dataset, split: Split, rng: np.random.Generator) -> Dataset:
    """Return data with the targets permuted within training and within validation items.

    Args:
        dataset: The data.
        split: The split of a seed.
        rng: Random generator from seed and salt.
    """
    targets = dataset.targets.copy()
    for part in (split.train, split.validation):
        items = np.unique(part)
        targets[items] = dataset.targets[rng.permutation(items)]
    return replace(dataset, targets=targets)
