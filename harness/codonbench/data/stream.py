"""The stream of training examples and the permutation of class ids, both determined by the seed.

The stream is the order of training examples for one task, data set and seed. All models get it in
the same order with any batch size. The number of pairs presented (item and target) is therefore a
position in the stream, and a run can stop and resume wherever a batch ends.

Class ids are permuted, so that a model with built-in answers fails while training is unaffected.
The permutation derives from (salt, seed); the salt is public by default and is in every record.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from codonbench.contracts import Dataset, Split, Targets
from codonbench.data.splits import completed
from codonbench.errors import PluginError

IntArray = npt.NDArray[np.int64]

_SPLIT, _SHUFFLE = 0, 1  # purposes of the seed, with independent generators


def generator(seed: int, *purpose: int) -> np.random.Generator:
    """Return the random generator of a seed for one purpose, independent of all others."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence((seed, *purpose))))


@dataclass(frozen=True)
class Batch:
    """Consecutive pairs of the stream.

    Attributes:
        index: Indices into ``dataset.items``, shape (B,).
        pairs: Pairs presented up to the end of this batch.
    """

    index: IntArray
    pairs: int


@dataclass(frozen=True)
class BatchClock:
    """Positions at which batches end; the last batch of an epoch may be smaller."""

    batch_size: int
    epoch_pairs: int
    budget_pairs: int

    def end_of(self, position: int) -> int:
        """Return the end of the batch with pair number `position` (from 1)."""
        if position <= 0 or not self.budget_pairs:
            return 0
        epoch, offset = divmod(position - 1, self.epoch_pairs)
        within = min((offset // self.batch_size + 1) * self.batch_size, self.epoch_pairs)
        return min(epoch * self.epoch_pairs + within, self.budget_pairs)

    @property
    def batches(self) -> int:
        """Number of batches in the whole budget."""
        epochs, rest = divmod(self.budget_pairs, self.epoch_pairs)
        size = self.batch_size
        return epochs * -(-self.epoch_pairs // size) + -(-rest // size)

    def last_end_by(self, position: int) -> int:
        """Return the last position at or before `position` at which a batch ends."""
        end = self.end_of(position)
        if end <= position:
            return end
        epoch, offset = divmod(position, self.epoch_pairs)
        return epoch * self.epoch_pairs + offset // self.batch_size * self.batch_size

    def step(self, position: int, batches: int = 1) -> int:
        """Return the position `batches` batches after `position`, an end of a batch."""
        for _ in range(batches):
            position = self.end_of(position + 1)
        return position


class Stream:
    """One seed's split, and its training pairs, epoch after epoch.

    Args:
        dataset: The data.
        seed: Seed of the split and of the order.
        narrow: Returns the part of the split to use; None to use all of it.

    Raises:
        PluginError: The sizes of the split are not those in the task's spec.
    """

    def __init__(
        self, dataset: Dataset, seed: int, narrow: Callable[[Split], Split] | None = None
    ) -> None:
        self.seed = seed
        self._dataset = dataset
        self._narrow = narrow
        self._epoch: tuple[int, IntArray] | None = None

    @cached_property
    def split(self) -> Split:
        """The split; missing validation and test splits are cut from training."""
        split = self._dataset.split(generator(self.seed, _SPLIT))
        _check_split(split, self._dataset)
        if self._dataset.spec.evaluation is None:
            split = completed(split, self._dataset, self.seed)
        return split if self._narrow is None else self._narrow(split)

    @property
    def epoch_pairs(self) -> int:
        """Training pairs in one epoch."""
        return len(self.split.train)

    def epoch(self, number: int) -> IntArray:
        """Return the shuffled training pairs of epoch `number` (from 0)."""
        if self._epoch is None or self._epoch[0] != number:
            order = generator(self.seed, _SHUFFLE, number).permutation(self.split.train)
            self._epoch = (number, order)
        return self._epoch[1]

    def between(self, start: int, stop: int) -> IntArray:
        """Return the pairs between two positions, shape (stop - start,)."""
        parts = [np.zeros(0, dtype=np.int64)]
        while start < stop:
            number, offset = divmod(start, self.epoch_pairs)
            part = self.epoch(number)[offset : offset + stop - start]
            parts.append(part)
            start += len(part)
        return np.concatenate(parts)

    def batches(self, batch_size: int, stop: int, start: int = 0) -> Iterator[Batch]:
        """Yield the batches between two positions.

        A batch never crosses the end of an epoch or of the budget, so the last one may be smaller.

        Args:
            batch_size: Pairs in a full batch.
            stop: The budget, in pairs.
            start: First position: 0 or the end of a batch.
        """
        position = start
        while position < stop:
            number, offset = divmod(position, self.epoch_pairs)
            order = self.epoch(number)
            end = min(offset + batch_size, self.epoch_pairs, offset + stop - position)
            position += end - offset
            yield Batch(order[offset:end], position)


def first_positions(order: IntArray, items: IntArray, n_items: int) -> IntArray:
    """Return the first position (from 1) of each of `items` in `order`; 0 if absent."""
    first = np.zeros(n_items, dtype=np.int64)
    # Backwards: of several values assigned to one element, the last one stays.
    first[order[::-1]] = np.arange(len(order), 0, -1)
    return first[items]


def _check_split(split: Split, dataset: Dataset) -> None:
    """Raise PluginError unless a split has the sizes in the task's spec and valid items."""
    spec = dataset.spec
    found = (len(split.train), len(split.validation), len(split.test))
    promised = (spec.train_size, spec.validation_size, spec.test_size)
    if found != promised:
        raise PluginError(
            f"task {spec.name!r} splits into {found[0]} training, {found[1]} validation and "
            f"{found[2]} test items; its spec promises {promised[0]}, {promised[1]} and "
            f"{promised[2]}"
        )
    for items in (split.train, split.validation, split.test):
        if len(items) and not 0 <= items.min() <= items.max() < len(dataset.items):
            raise PluginError(
                f"task {spec.name!r} splits items outside its 0..{len(dataset.items) - 1}"
            )


@dataclass(frozen=True, eq=False)
class Relabelling:
    """A permutation of C class ids.

    Attributes:
        forward: The id that models see for each true class, shape (C,).
    """

    forward: IntArray

    def hide(self, targets: Targets) -> Targets:
        """Return the ids that models see for true class ids of any shape."""
        return self.forward[targets.astype(np.int64)]

    def reveal_columns(self, logits: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Return logits (..., C) with columns in true class order."""
        return logits[..., self.forward]

    def hide_columns(self, values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Return values (..., C), given in true class order, in the order that models see."""
        return values[..., np.argsort(self.forward)]


def relabelling(n_classes: int, salt: str, seed: int) -> Relabelling:
    """Return the permutation of `n_classes` class ids for a salt and a seed."""
    rng = hidden_generator(salt, seed, str(n_classes))
    return Relabelling(forward=rng.permutation(n_classes).astype(np.int64))


def hidden_generator(salt: str, seed: int, purpose: str) -> np.random.Generator:
    """Return a generator that cannot be predicted without the salt."""
    digest = hashlib.sha256(f"{salt}\0{seed}\0{purpose}".encode()).digest()
    return np.random.default_rng(np.frombuffer(digest, dtype=np.uint32))
