"""The stream: for a task, its data and a seed, the one fixed order of training pairs.

Every model of that seed gets the same pairs in the same order whatever its batch size, so
"pairs consumed" is a position in the stream, and a run can stop and resume at a cursor.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from codonbench.contracts import Dataset
from codonbench.errors import PluginError

IntArray = npt.NDArray[np.int64]

_DRAW, _SHUFFLE = 0, 1  # the two uses of chance, each with generators of its own


def generator(seed: int, *purpose: int) -> np.random.Generator:
    """Return the seed's generator for one purpose, independent of all others."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence((seed, *purpose))))


@dataclass(frozen=True)
class Batch:
    """A run of consecutive pairs of the stream.

    Attributes:
        index: Inputs, as indices into ``dataset.inputs``, shape (B,).
        pairs: Pairs presented once this batch has been.
    """

    index: IntArray
    pairs: int


class Stream:
    """One seed's training pairs, epoch after epoch, and the facts that metrics need.

    Attributes:
        train: Training pairs in drawn order, shape (epoch_pairs,).
        test: Held-out pairs, shape (m,).
        first_seen: Position (from 1) of each probe input in the first epoch, shape (P,);
            0 where no training pair shows it.
        all_seen: Position at which every probe input has been shown; None if never.
        test_counts: How often each probe input is held out, shape (P,).

    Raises:
        PluginError: The dataset draws other pairs than its task promises.
    """

    def __init__(self, dataset: Dataset, seed: int) -> None:
        self.seed = seed
        self.train, self.test = dataset.draw(generator(seed, _DRAW))
        _check_drawn(self.train, self.test, dataset)
        self._epoch: tuple[int, IntArray] | None = None
        self.first_seen = _first_positions(self.epoch(0), dataset.probe, len(dataset.inputs))
        shown = dataset.spec.enumerable and bool(self.first_seen.all())
        self.all_seen = int(self.first_seen.max()) if shown else None
        counts = np.bincount(self.test, minlength=len(dataset.inputs))
        # A held-out sample is its own test set: one of each.
        self.test_counts = (
            counts[dataset.probe]
            if dataset.spec.enumerable
            else np.ones(len(dataset.probe), dtype=np.int64)
        )

    @property
    def epoch_pairs(self) -> int:
        """Training pairs in one epoch."""
        return len(self.train)

    def epoch(self, number: int) -> IntArray:
        """Return epoch `number` (from 0): a fresh shuffle of the training pairs."""
        if self._epoch is None or self._epoch[0] != number:
            order = generator(self.seed, _SHUFFLE, number).permutation(self.train)
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


def _check_drawn(train: IntArray, test: IntArray, dataset: Dataset) -> None:
    """Raise PluginError where a draw is not what its task promises."""
    spec = dataset.spec
    if (len(train), len(test)) != (spec.train_size, spec.test_size):
        raise PluginError(
            f"task {spec.name!r} drew {len(train)} training and {len(test)} held-out pairs; "
            f"its spec promises {spec.train_size} and {spec.test_size}"
        )
    for pairs in (train, test):
        if len(pairs) and not 0 <= pairs.min() <= pairs.max() < len(dataset.inputs):
            raise PluginError(
                f"task {spec.name!r} drew pairs outside its inputs 0..{len(dataset.inputs) - 1}"
            )


def _first_positions(order: IntArray, probe: IntArray, n_inputs: int) -> IntArray:
    """Return where (from 1) each probe input first stands in `order`, 0 where nowhere."""
    first = np.zeros(n_inputs, dtype=np.int64)
    # Backwards, because of all the values given to one place the last one stays.
    first[order[::-1]] = np.arange(len(order), 0, -1)
    return first[probe]
