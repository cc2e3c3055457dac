"""Gradient-boosted trees on how often each k-mer stands in an item, by scikit-learn.

Trees see what a linear model of k-mers cannot: that one matters where another is there.
Ke et al., "LightGBM", NeurIPS 2017, is what scikit-learn's histogram trees follow.
"""

from __future__ import annotations

from typing import Any, ClassVar

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

_NEVER = -20.0
"""Log-odds of a class that training lacks."""


class KmerGbmConfig(BaseConfig):
    """Hyperparameters of `KmerGbm`."""

    k: int = Field(
        default=4,
        ge=1,
        le=6,
        description="letters in the longest k-mers; fewer where the alphabet has more letters than "
        "DNA, so that there are no more than 4^k of them",
    )
    trees: int = Field(default=200, ge=1, le=10_000, description="rounds of boosting")
    leaves: int = Field(default=31, ge=2, le=1_000, description="of a tree, at most")
    learning_rate: float = Field(default=0.1, gt=0, le=1, description="what a tree counts")
    share: float = Field(
        default=0.3, gt=0, le=1, description="of the k-mers that a split chooses among, at random"
    )


class KmerGbm(Estimator):
    """Gradient-boosted trees on counts of k-mers, k from 1 up."""

    info: ClassVar[ModelInfo] = ours(
        "kmer-gbm",
        "Gradient-boosted trees on counts of 1- to 4-mers",
        role="reference",
    )
    Config: ClassVar[type[BaseConfig]] = KmerGbmConfig
    config: KmerGbmConfig

    encoding = "items"
    """Sequences as the task has them, one or several an item."""

    def check_task(self, task: TaskView) -> None:
        """Refuse features, which have no k-mers."""
        if not task.sequences:
            raise ConfigError(
                f"model {self.info.name!r} counts k-mers of sequences, but the items of task "
                f"{task.task!r} are features; choose 'linear', which reads those"
            )

    def fit(self, training: TrainingSet) -> None:
        """Fit one ensemble for classes, or one for each label or quantity."""
        from threadpoolctl import threadpool_limits

        self.task = training.task
        columns, targets = self._counts(training.items), training.targets
        single = training.task.target == "classes"
        with threadpool_limits(1):  # sums of gradients do not depend on how many threads there are
            self.models = [
                self._fitted(columns, column, training.weights, training.rng)
                for column in ([targets] if single else targets.T)
            ]

    def predict(self, items: Any) -> FloatArray:
        """Return log-odds of classes or labels, or quantities, shape (N, K)."""
        columns, kind = self._counts(items), self.task.target
        if kind == "quantities":
            return np.stack([model.predict(columns) for model in self.models], axis=1)
        if kind == "labels":
            both = [_log_odds(model, columns, 2) for model in self.models]
            return np.stack([each[:, 1] - each[:, 0] for each in both], axis=1)
        return _log_odds(self.models[0], columns, self.task.n_outputs)

    def _counts(self, items: Sequences | SequenceTuples) -> FloatArray:
        """Return the counts, shape (N, D): D = 4 + 16 + 64 + 256 for DNA."""
        counts = [
            count_kmers(sequences, k, size)
            for sequences, size in sequences_of(items, self.task)
            for k in range(1, self.config.k + 1)
            if k == 1 or size**k <= 4**self.config.k
        ]
        return np.concatenate(counts, axis=1)

    def _fitted(
        self,
        columns: FloatArray,
        targets: npt.NDArray[Any],
        weights: FloatArray | None,
        rng: np.random.Generator,
    ) -> Any:
        """Return trees for one quantity or for classes, or the only class that there is."""
        from sklearn.ensemble import HistGradientBoostingClassifier as Classifier
        from sklearn.ensemble import HistGradientBoostingRegressor as Regressor

        config, known = self.config, ~np.isnan(targets)
        quantity = self.task.target == "quantities"
        own = targets[known] if quantity else targets[known].astype(np.int64)
        if not quantity and len(np.unique(own)) < 2:
            return int(own[0]) if len(own) else 0
        trees = (Regressor if quantity else Classifier)(
            learning_rate=config.learning_rate,
            max_iter=config.trees,
            max_leaf_nodes=config.leaves,
            max_features=config.share,
            early_stopping=False,
            random_state=int(rng.integers(2**31)),
        )
        return trees.fit(columns[known], own, None if weights is None else weights[known])


def _log_odds(model: Any, columns: FloatArray, n_classes: int) -> FloatArray:
    """Return the logits of all classes, (N, K), `_NEVER` for those that training lacks."""
    if n_classes == 2 and not isinstance(model, int):
        lead = model.decision_function(columns)
        return np.stack([-lead / 2, lead / 2], axis=1).astype(np.float32)
    logits = np.full((len(columns), n_classes), _NEVER, dtype=np.float32)
    if isinstance(model, int):
        logits[:, model] = 0
        return logits
    found = model.decision_function(columns)
    logits[:, model.classes_] = np.stack([-found / 2, found / 2], 1) if found.ndim == 1 else found
    return logits
