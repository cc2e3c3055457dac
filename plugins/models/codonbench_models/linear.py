"""Linear models fitted by scikit-learn: on k-mer counts of sequences, and on features.

Logistic regression for classes, one for each label, and ridge regression for quantities, each on
columns standardised over the training items. The penalty is chosen by cross-validation within
training.
"""

from __future__ import annotations

import warnings
from abc import abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from codonbench.contracts import (
    BaseConfig,
    Estimator,
    ModelInfo,
    Sequences,
    SequenceTuples,
    TaskView,
    TrainingSet,
)
from codonbench.errors import ConfigError
from codonbench_models._kmers import count_kmers, sequences_of
from codonbench_models.presets import ours

FloatArray = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]

PENALTIES = (1e0, 1e1, 1e2, 1e3, 1e4)
"""To choose from: the factor of the squared weights (half of them, for classes), beside the summed
loss. With columns standardised, which is best depends little on how many items there are."""

FOLDS = 3
MOST_ITEMS = 20_000
"""Of training, drawn at random, by which a penalty is chosen; it is then fitted on all."""


class LinearConfig(BaseConfig):
    """Hyperparameters of a linear model."""

    penalty: float | None = Field(
        default=None,
        ge=0,
        description="factor of the squared weights; chosen by cross-validation where it is null",
    )
    class_weights: Literal["none", "balanced"] = Field(
        default="none", description="balanced: each class counts alike, however many items it has"
    )


class _OneClass:
    """What takes a regression's place where all items that are known are of one class.

    Its log-odds are those of Laplace's rule of succession, (n + 1) to 1 after n such items.

    Args:
        known: The classes, shape (n,).
        n_columns: What a regression would be fitted on.
        n_classes: That there are.
    """

    def __init__(self, known: IntArray, n_columns: int, n_classes: int) -> None:
        only = int(known[0]) if len(known) else 0
        odds = float(np.log(len(known) + 1))
        self.classes_ = np.array([only])
        self.coef_ = np.zeros((1, n_columns), dtype=np.float32)
        sign = -1 if n_classes == 2 and only == 0 else 1
        self.intercept_ = np.array([sign * odds], dtype=np.float32)

    def predict_proba(self, columns: FloatArray) -> FloatArray:
        """Return 1 for the class, shape (N, 1)."""
        return np.ones((len(columns), 1), dtype=np.float32)


class LinearModel(Estimator):
    """Base of `Linear` and `KmerLinear`, which supply `columns`."""

    Config: ClassVar[type[BaseConfig]] = LinearConfig
    config: LinearConfig

    encoding = "items"
    """The items as the task has them."""

    @abstractmethod
    def columns(self, items: Any) -> FloatArray:
        """Return what the model is linear in, shape (N, D)."""

    def fit(self, training: TrainingSet) -> None:
        """Fit weights and bias."""
        self.task = training.task
        columns = self.columns(training.items)
        mean, deviation = columns.mean(axis=0), columns.std(axis=0)
        deviation[deviation == 0] = 1
        columns -= mean
        columns /= deviation
        kind, targets, rng = training.task.target, training.targets, training.rng
        if kind == "quantities":
            fits = [self._ridge(columns, column, rng) for column in targets.T]
        elif kind == "labels":
            fits = [self._logistic(columns, column, 2, rng) for column in targets.T]
        else:
            fits = [self._logistic(columns, targets, training.task.n_outputs, rng)]
        # As weights of the columns before they were standardised
        self.weights = np.concatenate([weights for weights, _ in fits]) / deviation
        self.bias = np.concatenate([bias for _, bias in fits]) - self.weights @ mean

    def predict(self, items: Any) -> FloatArray:
        """Return log-odds of classes or labels, or quantities, shape (N, K)."""
        outputs = self.columns(items) @ self.weights.T + self.bias
        if self.task.target == "classes" and outputs.shape[1] == 1:
            outputs = np.concatenate([-outputs / 2, outputs / 2], axis=1)
        return np.asarray(outputs, dtype=np.float32)

    def learned(self) -> Mapping[str, npt.NDArray[Any]]:
        """Return weights (K, D), one row for two classes, and bias (K,)."""
        return {"weights": self.weights, "bias": self.bias}

    def _ridge(
        self, columns: FloatArray, targets: FloatArray, rng: np.random.Generator
    ) -> tuple[FloatArray, FloatArray]:
        """Return weights (1, D) and bias (1,) for one quantity."""
        from scipy.linalg import LinAlgWarning
        from sklearn.linear_model import Ridge

        def fit(index: IntArray, penalty: float) -> Any:
            with warnings.catch_warnings():  # counts of k-mers add up to those of shorter ones
                warnings.simplefilter("ignore", LinAlgWarning)
                return Ridge(alpha=penalty).fit(columns[index], targets[index])

        def loss(model: Any, index: IntArray) -> float:
            return float(((model.predict(columns[index]) - targets[index]) ** 2).sum())

        known = np.flatnonzero(~np.isnan(targets))
        model = fit(known, self._penalty(known, fit, loss, rng))
        return model.coef_[None], np.atleast_1d(model.intercept_)

    def _logistic(
        self,
        columns: FloatArray,
        targets: npt.NDArray[Any],
        n_classes: int,
        rng: np.random.Generator,
    ) -> tuple[FloatArray, FloatArray]:
        """Return weights (K, D) and bias (K,) for classes 0 to K - 1; one row for two classes."""
        from sklearn.linear_model import LogisticRegression

        balanced = "balanced" if self.config.class_weights == "balanced" else None

        def fit(index: IntArray, penalty: float) -> Any:
            known = targets[index].astype(np.int64)
            if len(np.unique(known)) < 2:
                return _OneClass(known, columns.shape[1], n_classes)
            model = LogisticRegression(C=1 / penalty, class_weight=balanced, max_iter=1000)
            return model.fit(columns[index], known)

        def loss(model: Any, index: IntArray) -> float:
            likely = np.full((len(index), n_classes), 1e-9)
            likely[:, model.classes_] += model.predict_proba(columns[index])
            return float(-np.log(likely[np.arange(len(index)), targets[index].astype(int)]).sum())

        known = np.flatnonzero(~np.isnan(targets))
        model = fit(known, self._penalty(known, fit, loss, rng))
        if isinstance(model, _OneClass):
            warnings.warn(
                "a label or class is the same in all training items; nothing can be fitted, and "
                "each item is answered so",
                stacklevel=2,
            )
        if n_classes == 2:
            return model.coef_, model.intercept_
        weights = np.zeros((n_classes, columns.shape[1]), dtype=np.float32)
        bias = np.full(n_classes, -20.0, dtype=np.float32)  # of a class that training lacks
        weights[model.classes_], bias[model.classes_] = model.coef_, model.intercept_
        return weights, bias

    def _penalty(
        self,
        index: IntArray,
        fit: Callable[[IntArray, float], Any],
        loss: Callable[[Any, IntArray], float],
        rng: np.random.Generator,
    ) -> float:
        """Return the configured penalty, or that of the smallest loss on held-out folds."""
        if self.config.penalty is not None:
            return self.config.penalty
        folds = np.array_split(rng.permutation(index)[:MOST_ITEMS], FOLDS)
        losses = dict.fromkeys(PENALTIES, 0.0)
        for i, held_out in enumerate(folds):
            others = np.concatenate(folds[:i] + folds[i + 1 :])
            for penalty in losses if len(others) and len(held_out) else ():
                losses[penalty] += loss(fit(others, penalty), held_out)
        return min(losses, key=losses.__getitem__)


class Linear(LinearModel):
    """Logistic or ridge regression on features."""

    info: ClassVar[ModelInfo] = ours(
        "linear",
        "Logistic regression, ridge for quantities, on standardised features",
    )

    encoding = "features"
    """Numbers (N, F)."""

    def columns(self, items: Any) -> FloatArray:
        """Return the features, shape (N, F)."""
        return np.array(items, dtype=np.float32)


class KmerLinearConfig(LinearConfig):
    """Hyperparameters of `KmerLinear`."""

    k: int = Field(
        default=5,
        ge=1,
        le=8,
        description="letters in the longest k-mers; fewer where the alphabet has more letters than "
        "DNA, so that there are no more than 4^k of them",
    )


class KmerLinear(LinearModel):
    """Logistic or ridge regression on how often each k-mer stands in an item, k from 1 up."""

    info: ClassVar[ModelInfo] = ours(
        "kmer-linear",
        "Logistic regression, ridge for quantities, on counts of 1- to 5-mers",
        role="reference",
    )
    Config: ClassVar[type[BaseConfig]] = KmerLinearConfig
    config: KmerLinearConfig

    encoding = "items"
    """Sequences as the task has them, one or several an item."""

    def check_task(self, task: TaskView) -> None:
        """Refuse features, which have no k-mers."""
        if not task.sequences:
            raise ConfigError(
                f"model {self.info.name!r} counts k-mers of sequences, but the items of task "
                f"{task.task!r} are features; choose 'linear', which reads those"
            )

    def columns(self, items: Sequences | SequenceTuples) -> FloatArray:
        """Return the counts, shape (N, D): D = 4 + 16 + 64 + 256 + 1024 for DNA."""
        counts = [
            count_kmers(sequences, k, size)
            for sequences, size in sequences_of(items, self.task)
            for k in range(1, self.config.k + 1)
            if k == 1 or size**k <= 4**self.config.k
        ]
        return np.concatenate(counts, axis=1)
