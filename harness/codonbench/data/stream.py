"""What a seed decides of what a model is shown: the order of examples, and the classes' ids.

The stream is, for a task, its data and a seed, the one fixed order of training examples.

Every model of that seed gets the same examples in the same order whatever its batch size, so
"pairs presented" (an item and its target) is a position in the stream, and a run can stop and
go on at any position where a batch ends.

Class ids are permuted, so that a table learned elsewhere is worth nothing here. An honest learner
cannot tell; one with the answers built in fails. The permutation derives from (salt, seed). The
salt is public by default and written into every record.
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

_SPLIT, _SHUFFLE = 0, 1  # the two uses of chance, each with generators of its own


def generator(seed: int, *purpose: int) -> np.random.Generator:
    """Return the seed's generator for one purpose, independent of all others."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence((seed, *purpose))))


@dataclass(frozen=True)
class Batch:
    """A run of consecutive pairs of the stream.

    Attributes:
        index: Items, as indices into ``dataset.items``, shape (B,).
        pairs: Pairs presented once this batch has been.
    """

    index: IntArray
    pairs: int


@dataclass(frozen=True)
class BatchClock:
    """Positions at which batches end, for epochs that may not divide by the batch size."""

    batch_size: int
    epoch_pairs: int
    budget_pairs: int

    def end_of(self, position: int) -> int:
        """Return where the batch that holds pair number `position` (from 1) ends."""
        if position <= 0 or not self.budget_pairs:
            return 0
        epoch, offset = divmod(position - 1, self.epoch_pairs)
        within = min((offset // self.batch_size + 1) * self.batch_size, self.epoch_pairs)
        return min(epoch * self.epoch_pairs + within, self.budget_pairs)

    @property
    def batches(self) -> int:
        """How many batches the whole budget has."""
        epochs, rest = divmod(self.budget_pairs, self.epoch_pairs)
        size = self.batch_size
        return epochs * -(-self.epoch_pairs // size) + -(-rest // size)

    def last_end_by(self, position: int) -> int:
        """Return the last end of a batch at or before `position`."""
        end = self.end_of(position)
        if end <= position:
            return end
        epoch, offset = divmod(position, self.epoch_pairs)
        return epoch * self.epoch_pairs + offset // self.batch_size * self.batch_size

    def step(self, position: int, batches: int = 1) -> int:
        """Return where the batch ends that comes `batches` after the one ending at `position`."""
        for _ in range(batches):
            position = self.end_of(position + 1)
        return position


class Stream:
    """One seed's split, and its training pairs, epoch after epoch.

    Args:
        dataset: What is split.
        seed: Of the split and of the order.
        narrow: Returns what of the seed's split a run is given; all of it where it is None.

    Raises:
        PluginError: The dataset splits otherwise than its task promises.
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
        """The seed's split; what the data lack of validation and test is cut from training."""
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
        """Return epoch `number` (from 0): a fresh shuffle of the training pairs."""
        if self._epoch is None or self._epoch[0] != number:
            order = generator(self.seed, _SHUFFLE, number).permutation(self.split.train)
            self._epoch = (number, order)
        return self._epoch[1]

    def between(self, start: int, stop: int) -> IntArray:
        """Return the pairs from position `start` to position `stop`, shape (stop - start,)."""
        parts = [np.zeros(0, dtype=np.int64)]
        while start < stop:
            number, offset = divmod(start, self.epoch_pairs)
            part = self.epoch(number)[offset : offset + stop - start]
            parts.append(part)
            start += len(part)
        return np.concatenate(parts)

    def batches(self, batch_size: int, stop: int, start: int = 0) -> Iterator[Batch]:
        """Yield batches from position `start` to position `stop`, in pairs.

        A batch never crosses the end of an epoch or of the budget: the last one before either
        may be smaller.

        Args:
            batch_size: Pairs in a full batch.
            stop: The budget.
            start: Where to begin: 0 or a position at which a batch ended.
        """
        position = start
        while position < stop:
            number, offset = divmod(position, self.epoch_pairs)
            order = self.epoch(number)
            end = min(offset + batch_size, self.epoch_pairs, offset + stop - position)
            position += end - offset
            yield Batch(order[offset:end], position)


def first_positions(order: IntArray, items: IntArray, n_items: int) -> IntArray:
    """Return where (from 1) each of `items` first stands in `order`, 0 where nowhere."""
    first = np.zeros(n_items, dtype=np.int64)
    # Backwards, because of all the values given to one place the last one stays.
    first[order[::-1]] = np.arange(len(order), 0, -1)
    return first[items]


def _check_split(split: Split, dataset: Dataset) -> None:
    """Raise PluginError where a split is not what its task promises."""
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
        forward: The id a learner sees for each true class, shape (C,).
    """

    forward: IntArray

    def hide(self, targets: Targets) -> Targets:
        """Return the ids a model sees for true class ids, any shape."""
        return self.forward[targets.astype(np.int64)]

    def reveal_columns(self, logits: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Return logits (..., C) with their columns in true class order."""
        return logits[..., self.forward]

    def hide_columns(self, values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Return per-class values (..., C), given in true order, in the learner's order."""
        return values[..., np.argsort(self.forward)]


def relabelling(n_classes: int, salt: str, seed: int) -> Relabelling:
    """Return the permutation of `n_classes` class ids that (salt, seed) gives."""
    rng = hidden_generator(salt, seed, str(n_classes))
    return Relabelling(forward=rng.permutation(n_classes).astype(np.int64))


def hidden_generator(salt: str, seed: int, purpose: str) -> np.random.Generator:
    """Return a generator that cannot be predicted without the salt."""
    digest = hashlib.sha256(f"{salt}\0{seed}\0{purpose}".encode()).digest()
    return np.random.default_rng(np.frombuffer(digest, dtype=np.uint32))
