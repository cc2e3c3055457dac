"""Row zero for variants: what composition and words of a few letters say of a changed letter.

Neither looks at what was measured.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from pydantic import Field

from codonbench.contracts import BaseConfig, Estimator, ModelInfo, Sequences, TaskView, TrainingSet
from codonbench.errors import ConfigError
from codonbench_models.presets import ours

FloatArray = npt.NDArray[np.float64]

_BASES = 4


class VariantEstimator(Estimator):
    """Base of estimators that score variants of nucleotides and are never fitted."""

    encoding = "items"
    """Sequences as the task has them."""

    def check_task(self, task: TaskView) -> None:
        """Refuse items that are no variants.

        Raises:
            ConfigError: They are not.
        """
        if not task.input.variants:
            raise ConfigError(
                f"model {self.info.name!r} scores variants, but those of task {task.task!r} are "
                "not such; choose 'kmer-linear'"
            )

    def fit(self, training: TrainingSet) -> None:
        """Learn nothing."""

    def predict(self, items: Any) -> FloatArray:
        """Refuse what is no variant; `check_task` has done so before."""
        raise NotImplementedError


class VariantGc(VariantEstimator):
    """How many more of the letters are G or C: 1, 0 or -1 for a substitution."""

    info: ClassVar[ModelInfo] = ours(
        "variant-gc", "Change in the number of G and C, in no need of training", role="reference"
    )

    def score_variants(self, reference: Sequences, alternative: Sequences) -> FloatArray:
        """Return the change, shape (N,)."""
        return _gc(alternative) - _gc(reference)


def _gc(sequences: Sequences) -> FloatArray:
    """Return how many letters of each sequence are C or G, indices 1 and 2, shape (N,)."""
    return _sums(((sequences.letters == 1) | (sequences.letters == 2)).astype(float), sequences)


def _sums(values: FloatArray, sequences: Sequences) -> FloatArray:
    """Return the sum over each sequence of a value a letter, shape (N,)."""
    total = np.concatenate([[0.0], np.cumsum(values)])
    return np.asarray(total[sequences.offsets[1:]] - total[sequences.offsets[:-1]])


class VariantMarkovConfig(BaseConfig):
    """Hyperparameters of `VariantMarkov`."""

    order: int = Field(default=3, ge=0, le=8, description="letters that the next one depends on")
    pseudocount: float = Field(default=1.0, gt=0, le=1e6, description="added to each word's count")


class VariantMarkov(VariantEstimator):
    """Log-likelihood ratio under a Markov chain of the reference sequences, each counted once."""

    info: ClassVar[ModelInfo] = ours(
        "variant-markov",
        "Log-likelihood ratio under a Markov chain counted on the task's reference sequences",
        role="reference",
    )
    Config: ClassVar[type[BaseConfig]] = VariantMarkovConfig
    config: VariantMarkovConfig

    def score_variants(self, reference: Sequences, alternative: Sequences) -> FloatArray:
        """Return log p(alternative) - log p(reference) in nats, shape (N,)."""
        bounds = zip(reference.offsets[:-1], reference.offsets[1:], strict=True)
        seen = {reference.letters[a:b].tobytes() for a, b in bounds}
        k = self.config.order + 1
        counts = np.full(_BASES**k, self.config.pseudocount)
        for text in sorted(seen):
            letters = np.frombuffer(text, dtype=np.uint8)
            words = _words(letters, k)
            counts += np.bincount(words[words >= 0], minlength=len(counts))
        table = counts.reshape(-1, _BASES)
        logs = np.log(table / table.sum(axis=1, keepdims=True)).ravel()
        return _log_likelihood(alternative, k, logs) - _log_likelihood(reference, k, logs)


def _words(letters: npt.NDArray[np.uint8], k: int) -> npt.NDArray[np.int64]:
    """Return which of 4^k words ends at each letter; -1 where a letter of it is unknown."""
    n = len(letters)
    words = np.zeros(n, dtype=np.int64)
    known = np.arange(n) >= k - 1
    for back in range(k):
        shifted = np.roll(letters, back).astype(np.int64)
        words += np.where(shifted < _BASES, shifted, 0) * _BASES**back
        known &= shifted < _BASES
    return np.where(known, words, -1)


def _log_likelihood(sequences: Sequences, k: int, logs: FloatArray) -> FloatArray:
    """Return the log-probability of each sequence, given its first letters, shape (N,)."""
    words = _words(sequences.letters, k)
    place = np.arange(len(words)) - np.repeat(sequences.offsets[:-1], sequences.lengths)
    counted = (words >= 0) & (place >= k - 1)
    return _sums(np.where(counted, logs[words], 0.0), sequences)
