"""Position weight matrices, with or without the letters before, as for splice sites."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from pydantic import Field

from codonbench.contracts import BaseConfig, Estimator, ModelInfo, Sequences, TaskView, TrainingSet
from codonbench.errors import ConfigError
from codonbench_models.presets import Presets, one_sequence, ours

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


class SplicePwmConfig(BaseConfig):
    """Hyperparameters of `SplicePwm`."""

    order: int = Field(
        default=1,
        ge=0,
        le=4,
        description="letters before a place that its letter depends on: 0 for a position weight "
        "matrix, 1 for a first-order Markov model",
    )
    pseudocount: float = Field(
        default=1.0,
        gt=0,
        le=1e6,
        description="items of each class, spread evenly over the letters, added to those counted",
    )
    first: int = Field(default=0, ge=0, le=1 << 20, description="first place that counts, from 0")
    places: int | None = Field(
        default=None, ge=1, le=1 << 20, description="places that count; null for all from the first"
    )


class SplicePwm(Estimator):
    """Log-odds of each letter at each place given those before it, added up over the places.

    The models that a maximum entropy model of splice sites was held against: its weight matrix and
    its Markov model. Unknown letters, and those after one, say nothing.
    """

    info: ClassVar[ModelInfo] = ours(
        "splice-pwm",
        "Position weight matrices, first-order: log-odds of letters place by place",
        reference="Yeo and Burge 2004 (MaxEntScan), Journal of Computational Biology 11, 377-394",
    )
    Config: ClassVar[type[BaseConfig]] = SplicePwmConfig
    presets: ClassVar[Presets] = {"splice-pwm-independent": {"order": 0}}
    config: SplicePwmConfig

    encoding = "items"
    """The items as the task has them."""

    def check_task(self, task: TaskView) -> None:
        """Refuse items that are no single sequences of one length, and quantities."""
        length = one_sequence(task, self.info.name).max_length
        if task.target == "quantities":
            raise ConfigError(
                f"model {self.info.name!r} serves classes and labels, but task {task.task!r} asks "
                "for quantities; choose another, such as 'kmer-linear'"
            )
        if self.config.first >= length:
            raise ConfigError(
                f"model {self.info.name!r}: first={self.config.first}, but an item of task "
                f"{task.task!r} has places 0 to {length - 1}"
            )

    def fit(self, training: TrainingSet) -> None:
        """Count letters, place by place."""
        self.size, self.kind = len(training.task.alphabet), training.task.target
        words, known = self._words(training.items)
        targets = training.targets
        counted = np.ones(len(words)) if training.weights is None else training.weights
        columns = [targets] if self.kind == "classes" else list(targets.T)
        n_classes = training.task.n_outputs if self.kind == "classes" else 2
        tables, priors = [], []
        for column in columns:
            for c in range(n_classes):
                weights = np.where(column == c, counted, 0.0)
                tables.append(self._log_probabilities(words, known, weights))
                priors.append(np.log(weights.sum() + self.config.pseudocount))
        self.tables, self.priors = np.stack(tables), np.array(priors)

    def predict(self, items: Any) -> npt.NDArray[np.float32]:
        """Return log-probabilities of classes up to a constant, or log-odds of labels, (N, K)."""
        words, known = self._words(items)
        places = np.arange(words.shape[1])
        scores = [np.where(known, t[places, words], 0.0).sum(1) for t in self.tables]
        outputs = np.stack(scores, axis=1) + self.priors
        if self.kind == "labels":
            outputs = outputs[:, 1::2] - outputs[:, ::2]
        return np.asarray(outputs, dtype=np.float32)

    def learned(self) -> Mapping[str, npt.NDArray[Any]]:
        """Return the log-probabilities (classes, places, words), and those of the classes."""
        return {"tables": self.tables, "priors": self.priors}

    def _words(self, items: Sequences) -> tuple[IntArray, npt.NDArray[np.bool_]]:
        """Return each place's letter and those before it as one number, (N, places), and if known.

        A place has the letters before it that there are: at the first one the number is its letter.
        """
        config = self.config
        stop = None if config.places is None else config.first + config.places
        rows = items.rows()[:, config.first : stop].astype(np.int64)
        words, known = np.zeros_like(rows), np.ones(rows.shape, dtype=np.bool_)
        for before in range(config.order, -1, -1):
            letters = rows[:, : rows.shape[1] - before]
            words[:, before:] = words[:, before:] * self.size + letters
            known[:, before:] &= letters < self.size
        return np.where(known, words, 0), known

    def _log_probabilities(
        self, words: IntArray, known: npt.NDArray[np.bool_], weights: FloatArray
    ) -> FloatArray:
        """Return log P(letter | those before it) at each place, (places, words)."""
        many = self.size ** (self.config.order + 1)
        table = np.full((words.shape[1], many), self.config.pseudocount / many)
        for place in range(words.shape[1]):
            index = words[known[:, place], place]
            table[place] += np.bincount(index, weights[known[:, place]], minlength=many)
        by_letter = table.reshape(len(table), -1, self.size)
        log = np.log(by_letter / by_letter.sum(2, keepdims=True))
        return np.asarray(log.reshape(table.shape))
