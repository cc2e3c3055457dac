"""What the training items that are most alike say: what memory of them is worth."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from pydantic import Field

from codonbench.contracts import (
    BaseConfig,
    Estimator,
    Features,
    ModelInfo,
    Sequences,
    SequenceTuples,
    TrainingSet,
)
from codonbench_models._kmers import kmer_sets, sequences_of
from codonbench_models.presets import ours

FloatArray = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]

NEIGHBOURS = (1, 5, 20, 100)
"""To choose from."""

MOST_ITEMS = 2_000
"""Of training, drawn at random, by which the number of neighbours is chosen."""

_SIMILARITIES = 1 << 23  # at once: 32 MB


class NearestConfig(BaseConfig):
    """Hyperparameters of `Nearest`."""

    k: int = Field(
        default=7, ge=1, le=12, description="letters in a k-mer; sequences are alike that share it"
    )
    neighbours: int | None = Field(
        default=None,
        ge=1,
        description="training items that are asked; chosen by leaving items out where it is null",
    )


class Nearest(Estimator):
    """The mean over the nearest training items, weighted by how alike they are.

    Likeness is a cosine: of which k-mers stand in a sequence, or of features standardised over the
    training items. The mean of all training items has a part in it too, that of one neighbour as
    alike as the others are on average, so that no probability is 0 or 1.
    """

    info: ClassVar[ModelInfo] = ours(
        "nearest",
        "What the training items say that share most k-mers, or whose features are most alike",
        role="reference",
    )
    Config: ClassVar[type[BaseConfig]] = NearestConfig
    config: NearestConfig

    encoding = "items"
    """Sequences or features, as the task has them."""

    def fit(self, training: TrainingSet) -> None:
        """Remember the training items; choose the number of neighbours by leaving some out."""
        self.task, items = training.task, training.items
        if isinstance(items, Features):
            self.mean, deviation = items.values.mean(axis=0), items.values.std(axis=0)
            self.deviation = np.where(deviation > 0, deviation, 1)
        self.rows = self._rows(items)
        self.columns = self.rows.T
        targets = training.targets
        if self.task.target == "classes":
            targets = np.eye(self.task.n_outputs, dtype=np.float32)[targets.astype(np.int64)]
        self.known = ~np.isnan(targets)
        self.values = np.where(self.known, targets, 0)
        self.prior = self.values.sum(axis=0) / np.maximum(self.known.sum(axis=0), 1)
        self.neighbours = self.config.neighbours or self._choose(training.rng)

    def predict(self, items: Any) -> FloatArray:
        """Return log-probabilities of classes, log-odds of labels, or quantities, (N, K)."""
        [means] = self._means(self._rows(items), (self.neighbours,))
        if self.task.target == "quantities":
            return means
        likely = np.clip(means, 1e-6, 1 - 1e-6)
        odds = np.log(likely) if self.task.target == "classes" else np.log(likely / (1 - likely))
        return np.asarray(odds, dtype=np.float32)

    def _rows(self, items: Sequences | SequenceTuples | Features) -> Any:
        """Return items as rows of length 1: an array (N, F), or a sparse one over k-mers."""
        from scipy.sparse import diags_array, hstack

        if isinstance(items, Features):
            rows = (items.values - self.mean) / self.deviation
            lengths = np.sqrt((rows**2).sum(axis=1, keepdims=True))
            return rows / np.maximum(lengths, np.finfo(np.float32).tiny)
        parts = sequences_of(items, self.task)
        sets = hstack([kmer_sets(part, self._k(size), size) for part, size in parts], format="csr")
        lengths = np.sqrt(np.maximum(sets.sum(axis=1), 1))
        return diags_array(1 / lengths, dtype=np.float32).tocsr() @ sets

    def _k(self, size: int) -> int:
        """Return how long k-mers are, so that there are no more than 4^k of them."""
        return max(k for k in range(1, self.config.k + 1) if k == 1 or size**k <= 4**self.config.k)

    def _choose(self, rng: np.random.Generator) -> int:
        """Return the number of neighbours of the smallest squared error on items left out."""
        index = rng.permutation(len(self.values))[:MOST_ITEMS]
        numbers = tuple(n for n in NEIGHBOURS if n < len(self.values)) or (1,)
        found = self._means(self.rows[index], numbers, left_out=index)
        known, right = self.known[index], self.values[index]
        errors = [((means - right)[known] ** 2).sum() for means in found]
        return numbers[int(np.argmin(errors))]

    def _means(
        self, rows: Any, numbers: tuple[int, ...], left_out: IntArray | None = None
    ) -> list[FloatArray]:
        """Return the weighted means (M, K) over each of some numbers of neighbours.

        Args:
            rows: M items, as `_rows` has them.
            numbers: Of neighbours.
            left_out: For each, the training item that it is and that may not be asked, shape (M,).
        """
        n_train, n_outputs = self.values.shape
        most = min(max(numbers), n_train)
        found = [np.empty((rows.shape[0], n_outputs), dtype=np.float32) for _ in numbers]
        step = max(1, _SIMILARITIES // n_train)
        for start in range(0, rows.shape[0], step):
            part = slice(start, start + step)
            alike = rows[part] @ self.columns
            alike = alike if isinstance(alike, np.ndarray) else alike.toarray()
            if left_out is not None:
                alike[np.arange(len(alike)), left_out[part]] = -np.inf
            nearest = np.argpartition(-alike, most - 1, axis=1)[:, :most]
            weights = np.take_along_axis(alike, nearest, axis=1)
            order = np.argsort(-weights, axis=1, kind="stable")
            nearest = np.take_along_axis(nearest, order, axis=1)
            weights = np.maximum(np.take_along_axis(weights, order, axis=1), 0)
            for means, number in zip(found, numbers, strict=True):
                means[part] = self._mean(nearest[:, :number], weights[:, :number])
        return found

    def _mean(self, nearest: IntArray, weights: FloatArray) -> FloatArray:
        """Return the mean over neighbours (M, n) with weights (M, n), shape (M, K)."""
        known = self.known[nearest] * weights[:, :, None]
        own = weights.mean(axis=1)[:, None] + 1e-9  # of the mean over all training items
        total = (known * self.values[nearest]).sum(axis=1) + own * self.prior
        return np.asarray(total / (known.sum(axis=1) + own), dtype=np.float32)
