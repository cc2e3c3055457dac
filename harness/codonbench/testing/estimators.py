"""Checks of estimators: their outputs, and what these depend on."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from codonbench.contracts import Estimator, Features, Sequences, SequenceTuples, TrainingSet
from codonbench.data.encodings import encode_all
from codonbench.errors import ConfigError
from codonbench.protocols.supervised import loss
from codonbench.testing.checks import Checks, Verdict, failed, passed, warning
from codonbench.testing.subject import ModelSubject
from codonbench.training.determinism import seeded_globals

CHECKS = Checks[ModelSubject]()

_MOST_ITEMS = 512
"""Most training items for a check."""

_FEW = 8  # items predicted one by one


@CHECKS.hold("served")
def is_served(subject: ModelSubject) -> Verdict:
    """The estimator supports the task."""
    if not subject.setup.protocol.tells_targets:
        return failed(
            f"task {subject.view.task!r} is evaluated during training, but an estimator is fitted "
            "once; check it on another with --task"
        )
    try:
        subject.cls(subject.config).check_task(subject.view)
        _items(subject, subject.evaluated.numpy()[:1])
    except ConfigError as error:
        return failed(f"{error}; let encoding be one of those, 'items' or 'text'")
    return passed(subject.cls(subject.config).encoding)


@CHECKS.hold("outputs", "served")
def gives_outputs(subject: ModelSubject) -> Verdict:
    """One row of outputs for each item."""
    index = subject.evaluated.numpy()
    outputs = _predict(_fitted(subject), _items(subject, index))
    expected = (len(index), subject.view.n_outputs)
    if outputs.shape != expected:
        return failed(f"predict gave {outputs.shape}, expected {expected}: (items, outputs)")
    if outputs.dtype.kind not in "fiu" or not np.isfinite(outputs).all():
        return failed(f"predict gave {outputs.dtype}, expected finite real numbers")
    return passed(f"{expected} {outputs.dtype}")


@CHECKS.hold("deterministic", "outputs")
def repeats(subject: ModelSubject) -> Verdict:
    """One seed gives one result."""
    items = _items(subject, subject.evaluated.numpy())
    first, second = (_predict(_fitted(subject), items) for _ in range(2))
    if first.tobytes() != second.tobytes():
        return failed(
            "fitted twice with one seed it gave two results; draw from training.rng, or leave "
            "random_state to numpy's global generator, which is seeded"
        )
    return passed()


@CHECKS.hold("inputs", "outputs")
def leaves_training_set(subject: ModelSubject) -> Verdict:
    """Items and targets are not changed."""
    training, items = _training_set(subject), _items(subject, subject.evaluated.numpy())
    given = (training.items, training.targets, items)
    before = [_content(each) for each in given]
    _fit(subject, training).predict(items)
    names = ("fit changed the items", "fit changed the targets", "predict changed the items")
    for words, content, each in zip(names, before, given, strict=True):
        if content != _content(each):
            return failed(f"{words} it was given; work on a copy")
    return passed()


@CHECKS.hold("rows", "outputs")
def keeps_items_apart(subject: ModelSubject) -> Verdict:
    """An item's outputs do not depend on other items."""
    estimator, index = _fitted(subject), subject.evaluated.numpy()[:_FEW]
    together = _predict(estimator, _items(subject, index))
    rows = [_predict(estimator, _items(subject, each)) for each in index[:, None]]
    alone = np.concatenate(rows)
    if not np.allclose(together, alone, rtol=1e-3, atol=1e-3):
        return failed(
            "an item's outputs depend on the items predicted with it; take what is common to "
            "items, such as a mean, from the training set"
        )
    return passed()


@CHECKS.hold("learning", "outputs", advisory=True)
def learns(subject: ModelSubject) -> Verdict:
    """The loss falls."""
    training, index = _training_set(subject), _trained(subject)
    outputs = _predict(_fit(subject, training), _items(subject, index))
    spec = subject.dataset.spec
    mean = outputs.mean(axis=0, keepdims=True).repeat(len(outputs), axis=0)
    fitted, constant = (loss(o, training.targets, spec) for o in (outputs, mean))
    if not fitted < constant:
        return warning(
            f"on the items it was fitted on its loss is {fitted:.3f}, and {constant:.3f} with the "
            "mean of its outputs for all; does it look at its items?"
        )
    return passed(f"loss {fitted:.3f}, and {constant:.3f} with the mean of its outputs")


def _trained(subject: ModelSubject) -> npt.NDArray[np.int64]:
    return subject.setup.stream.epoch(0)[:_MOST_ITEMS]


def _items(subject: ModelSubject, index: npt.NDArray[np.int64]) -> Any:
    encoding = subject.cls(subject.config).encoding
    return encode_all(encoding, subject.view, subject.dataset.items, index)


def _training_set(subject: ModelSubject) -> TrainingSet:
    index = _trained(subject)
    targets = subject.dataset.targets[index]
    return TrainingSet(subject.view, _items(subject, index), targets, np.random.default_rng(0))


def _fit(subject: ModelSubject, training: TrainingSet) -> Estimator:
    estimator: Estimator = subject.cls(subject.config)
    with seeded_globals(0):
        estimator.fit(training)
    subject.parameters = sum(array.size for array in estimator.learned().values())
    return estimator


def _predict(estimator: Estimator, items: Any) -> npt.NDArray[Any]:
    """Return outputs as a run does, which also accepts a list of rows."""
    return np.asarray(estimator.predict(items))


def _fitted(subject: ModelSubject) -> Estimator:
    return _fit(subject, _training_set(subject))


def _content(items: Any) -> bytes:
    """Return the content of items in any encoding, to be compared."""
    if isinstance(items, np.ndarray):
        return items.tobytes()
    if isinstance(items, Features):
        return items.values.tobytes()
    if isinstance(items, Sequences):
        return items.letters.tobytes()
    if isinstance(items, SequenceTuples | tuple):
        parts = items if isinstance(items, tuple) else items.parts
        return b"".join(map(_content, parts))
    return repr(items).encode()
