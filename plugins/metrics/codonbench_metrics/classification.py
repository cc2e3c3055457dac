"""Scores of classes and labels, from the answers or probabilities given to items of one split.

An item is answered with the class of the largest logit; of equal ones the first, as
`numpy.argmax` has it.
"""

from __future__ import annotations

import math
import re
import warnings
from abc import abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt

from codonbench import Output, SplitMetric, TaskSpec
from codonbench.contracts import MetricValue, Outputs, Targets
from codonbench.contracts.task import TargetKind
from codonbench_metrics import _counts

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
Logits = npt.NDArray[np.floating[Any]]


class OneScore(SplitMetric):
    """A score, and each target's own where there are several labels or quantities.

    The targets' own stand beside the score under ``auroc_LABEL``. None: no items, outputs that are
    not finite, or it is undefined.

    Class attributes:
        unit, direction: Of the value.
        least, most: Its bounds, as in `Output`.
    """

    version: ClassVar[str] = "1"
    unit: ClassVar[str] = "share"
    direction: ClassVar[Literal["lower", "higher"]] = "higher"
    least: ClassVar[float | None] = 0
    most: ClassVar[float | None] = 1

    def outputs(self, task: TaskSpec) -> Mapping[str, Output]:
        """Return the score, under the metric's name, and each target's own."""
        own = Output(
            unit=self.unit,
            direction=self.direction,
            summary=self.summary,
            least=self.least,
            most=self.most,
        )
        return {self.name: own} | {
            name: own.model_copy(update={"summary": f"{target}: {self.summary}"})
            for name, target in zip(self.names(task), task.target.names, strict=False)
        }

    def names(self, task: TaskSpec) -> list[str]:
        """Return what each target's own value is called; nothing where there is one in all."""
        kind, targets = task.target.kind, task.target.names
        if kind == "classes" or (kind == "quantities" and len(targets) == 1):
            return []
        names: dict[str, None] = {}
        for index, target in enumerate(targets):
            name = f"{self.name}_{re.sub(r'[^A-Za-z0-9_]', '_', target)}"[:56]
            names[f"{name}_{index}" if name in names else name] = None
        return list(names)

    def score(
        self, targets: Targets, outputs: Outputs, task: TaskSpec
    ) -> Mapping[str, MetricValue]:
        """Return the value, or None where it is undefined."""
        value = None
        if len(outputs) and np.isfinite(outputs).all():
            with warnings.catch_warnings():  # of what is undefined, which null says
                warnings.simplefilter("ignore")
                value = self.value(targets, outputs.astype(np.float64))
        return {self.name: None if value is None or not math.isfinite(value) else float(value)}

    @abstractmethod
    def value(self, targets: Targets, outputs: FloatArray) -> float | None:
        """Return the value; None or NaN where it is undefined.

        Args:
            targets: Class ids (N,), or quantities (N, K), NaN where one is missing; N >= 1.
            outputs: Logits (N, C), or quantities (N, K); all finite.
        """


class ClassScore(OneScore):
    """A score of one class an item, or of several labels: each label's own, and their mean.

    The class that is answered has the largest logit; where several are largest it is the first of
    them, as `numpy.argmax` has it. A label is a question of two classes, with the logits 0 and its
    own. One whose score is undefined on the test items, because all or none have it, counts in no
    mean; that is so for every model.
    """

    serves_targets: ClassVar[frozenset[TargetKind]] = frozenset({"classes", "labels"})

    def score(
        self, targets: Targets, outputs: Outputs, task: TaskSpec
    ) -> Mapping[str, MetricValue]:
        """Return the value, and each label's own."""
        if task.target.kind != "labels":
            return super().score(targets, outputs, task)
        own: dict[str, MetricValue] = {}
        finite = bool(len(outputs) and np.isfinite(outputs).all())
        for name, known, logits in zip(self.names(task), targets.T, outputs.T, strict=True):
            there = ~np.isnan(known)
            value = None
            if finite and there.any():
                value = self.of_label(known[there].astype(np.int64), logits[there])
            own[name] = None if value is None else float(value)
        values = [float(value) for value in own.values() if isinstance(value, float)]
        return {self.name: float(np.mean(values)) if values else None} | own

    def of_label(self, targets: IntArray, logits: Outputs) -> float | None:
        """Return the score of one label; None where it is undefined.

        Args:
            targets: 0 or 1 for each item, shape (n,), n >= 1.
            logits: Shape (n,), all finite.
        """
        return self.value(targets, as_classes(logits))


class CountedScore(ClassScore):
    """A score of classes of which samples of the items are scored from counts."""

    def resampled(
        self, name: str, targets: Targets, outputs: Outputs, counts: FloatArray, task: TaskSpec
    ) -> FloatArray:
        """Return the score of each sample, of labels the mean of those that have one."""
        if task.target.kind != "labels":
            return self.of_samples(targets, outputs, counts)
        own = self.names(task)
        values = []
        for k in [own.index(name)] if name in own else range(len(own)):
            there = ~np.isnan(targets[:, k])
            known = targets[there, k].astype(np.int64)
            values.append(
                self.of_samples(
                    known, as_classes(outputs[there, k]), _counts.of_items(counts, there)
                )
            )
        defined = np.isfinite(values)
        with np.errstate(invalid="ignore"):
            return np.asarray(np.where(defined, values, 0).sum(axis=0) / defined.sum(axis=0))

    @abstractmethod
    def of_samples(self, targets: Targets, outputs: Logits, counts: FloatArray) -> FloatArray:
        """Return the score of classes (n,) and logits (n, C) in each sample, (B, n) to (B,)."""


def as_classes(logits: Outputs) -> FloatArray:
    """Return a label's logits (n,) as those of two classes (n, 2): without it, and with it."""
    return np.stack([np.zeros(len(logits)), logits.astype(np.float64)], axis=1)


def log_probabilities(logits: FloatArray) -> FloatArray:
    """Return the logarithm of the softmax over classes (N, C)."""
    shifted = logits - logits.max(axis=1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True)))


def one_against_rest(targets: Targets, logits: FloatArray) -> list[tuple[IntArray, FloatArray]]:
    """Return whether each item is of a class and how much it looks so, for each class to rank.

    Two classes are one question: how far the second's logit leads. Of more, each class that some
    item is of is asked for by its log-probability. Nothing where all items are of one class.
    """
    present = np.unique(targets)
    if len(present) < 2:
        return []
    if logits.shape[1] == 2:
        return [((targets == 1).astype(np.int64), logits[:, 1] - logits[:, 0])]
    scores = log_probabilities(logits)
    return [((targets == c).astype(np.int64), scores[:, c]) for c in present]


def confusions(targets: Targets, outputs: Logits, counts: FloatArray) -> FloatArray:
    """Return the confusion matrix of each sample of the items, shape (B, C, C)."""
    answers = outputs.argmax(axis=1)
    return _counts.confusions(targets.astype(np.int64), answers, outputs.shape[1], counts)


class Accuracy(CountedScore):
    """The share of items whose largest logit is their class's; of equal ones the first counts."""

    name = "accuracy"
    summary = "Share of the test items that are answered with their class"

    def value(self, targets: Targets, outputs: FloatArray) -> float:
        """Return the score."""
        from sklearn.metrics import accuracy_score

        return float(accuracy_score(targets, outputs.argmax(axis=1)))

    def of_samples(self, targets: Targets, outputs: Logits, counts: FloatArray) -> FloatArray:
        """Return the score of each sample."""
        right = outputs.argmax(axis=1) == targets
        return np.asarray(counts @ right.astype(np.float64) / counts.sum(axis=1))


class BalancedAccuracy(CountedScore):
    """The mean recall of the classes that some item is of."""

    name = "balanced_accuracy"
    summary = "Mean over classes of the share of their test items that are answered right"

    def value(self, targets: Targets, outputs: FloatArray) -> float:
        """Return the score."""
        from sklearn.metrics import recall_score

        return float(
            recall_score(
                targets,
                outputs.argmax(axis=1),
                labels=np.unique(targets),
                average="macro",
                zero_division=0,
            )
        )

    def of_samples(self, targets: Targets, outputs: Logits, counts: FloatArray) -> FloatArray:
        """Return the score of each sample."""
        return _counts.recall(confusions(targets, outputs, counts))


class Mcc(CountedScore):
    """Correlation of answers and classes, -1 to 1; 0 where all answers are one class.

    That is scikit-learn's convention. A null would drop a failed seed from a row's mean.
    """

    name = "mcc"
    title = "MCC"
    default_for: ClassVar[frozenset[TargetKind]] = frozenset({"classes"})
    unit = "correlation"
    least = -1
    summary = "Matthews correlation coefficient of answers and classes of the test items"

    def value(self, targets: Targets, outputs: FloatArray) -> float | None:
        """Return the coefficient; None where all items are of one class."""
        from sklearn.metrics import matthews_corrcoef

        if len(np.unique(targets)) < 2:
            return None
        return float(matthews_corrcoef(targets, outputs.argmax(axis=1)))

    def of_samples(self, targets: Targets, outputs: Logits, counts: FloatArray) -> FloatArray:
        """Return the score of each sample."""
        return _counts.mcc(confusions(targets, outputs, counts))


class MacroF1(ClassScore):
    """The mean F1 of the classes that some item or some answer is of; 0 for one never right."""

    name = "macro_f1"
    title = "macro F1"
    unit = "F1"
    summary = "Mean over classes of the F1 score on the test items"

    def value(self, targets: Targets, outputs: FloatArray) -> float:
        """Return the score."""
        from sklearn.metrics import f1_score

        return float(f1_score(targets, outputs.argmax(axis=1), average="macro", zero_division=0))

    def of_label(self, targets: IntArray, logits: Outputs) -> float:
        """Return F1 of the items that probably have the label; 0 where none has or is said to."""
        from sklearn.metrics import f1_score

        return float(f1_score(targets, logits > 0, zero_division=0))


class Auroc(CountedScore):
    """The chance that an item of a class is ranked above one of the rest, ties counting half."""

    name = "auroc"
    title = "AUROC"
    by_order = True
    default_for: ClassVar[frozenset[TargetKind]] = frozenset({"labels"})
    unit = "area"
    summary = "Area under the ROC curve on the test items; of several classes, mean of one-vs-rest"

    def value(self, targets: Targets, outputs: FloatArray) -> float | None:
        """Return the area; None where all items are of one class."""
        from sklearn.metrics import roc_auc_score

        asked = one_against_rest(targets, outputs)
        return float(np.mean([roc_auc_score(*pair) for pair in asked])) if asked else None

    def of_samples(self, targets: Targets, outputs: Logits, counts: FloatArray) -> FloatArray:
        """Return the score of each sample."""
        return _mean_area(_counts.auroc, targets, outputs, counts)


class Auprc(CountedScore):
    """The mean precision over the ranks at which an item of the class is found."""

    name = "auprc"
    title = "AUPRC"
    by_order = True
    unit = "area"
    summary = (
        "Average precision on the test items; of several classes the mean, each against the rest"
    )

    def value(self, targets: Targets, outputs: FloatArray) -> float | None:
        """Return the area; None where all items are of one class."""
        from sklearn.metrics import average_precision_score

        asked = one_against_rest(targets, outputs)
        return float(np.mean([average_precision_score(*pair) for pair in asked])) if asked else None

    def of_samples(self, targets: Targets, outputs: Logits, counts: FloatArray) -> FloatArray:
        """Return the score of each sample."""
        return _mean_area(_counts.average_precision, targets, outputs, counts)


def _mean_area(
    area: Callable[[npt.NDArray[np.bool_], FloatArray, FloatArray], FloatArray],
    targets: Targets,
    outputs: Logits,
    counts: FloatArray,
) -> FloatArray:
    """Return the mean over what is asked of an area, in each sample; NaN where all are of one."""
    asked = one_against_rest(targets, outputs.astype(np.float64))
    if not asked:
        return np.full(len(counts), np.nan)
    areas = np.array([area(is_of == 1, scores, counts) for is_of, scores in asked])
    there = np.isfinite(areas)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.where(there, areas, 0).sum(axis=0) / there.sum(axis=0))


class LogLoss(ClassScore):
    """The mean of -log p(class of the item), in nats; no probability is clipped."""

    name = "log_loss"
    unit = "nats"
    direction = "lower"
    most = None
    summary = "Mean negative log-probability of the test items' classes"

    def value(self, targets: Targets, outputs: FloatArray) -> float:
        """Return the score."""
        return float(-log_probabilities(outputs)[np.arange(len(targets)), targets].mean())


class Brier(ClassScore):
    """The mean of (p - y)^2: of two classes for the second, 0 to 1; of more in sum, 0 to 2."""

    name = "brier"
    unit = "squared probability"
    direction = "lower"
    most = 2
    summary = "Mean squared error of the probabilities given to the test items' classes"

    def value(self, targets: Targets, outputs: FloatArray) -> float:
        """Return the score."""
        from sklearn.metrics import brier_score_loss

        n_classes = outputs.shape[1]
        p = np.exp(log_probabilities(outputs))
        if n_classes == 2:
            return float(brier_score_loss(targets, p[:, 1], labels=[0, 1]))
        return float(brier_score_loss(targets, p, labels=list(range(n_classes))))


BINS = 15
"""Of equal width, each with its upper edge, as in Guo et al., ICML 2017."""


class Ece(ClassScore):
    """The mean over items of the gap, in their bin, between accuracy and mean probability.

    Items lie in 15 bins of equal width, by the probability of their answer.
    """

    name = "ece"
    title = "ECE"
    by_order = True
    unit = "probability"
    direction = "lower"
    summary = "Expected calibration error of the answers on the test items, 15 bins"

    def value(self, targets: Targets, outputs: FloatArray) -> float:
        """Return the score."""
        answers, confidence = outputs.argmax(axis=1), np.exp(log_probabilities(outputs).max(axis=1))
        bins = np.clip(np.ceil(confidence * BINS).astype(np.int64) - 1, 0, BINS - 1)
        gap = np.bincount(bins, weights=(answers == targets) - confidence, minlength=BINS)
        return float(np.abs(gap).sum() / len(targets))
