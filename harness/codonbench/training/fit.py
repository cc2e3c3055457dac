"""Models that are fitted once on all training items, then evaluated on validation and test."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from codonbench.contracts import (
    BaseConfig,
    Estimator,
    Model,
    Outputs,
    SequenceTuples,
    TrainingSet,
)
from codonbench.contracts.run_record import FITTED
from codonbench.data.encodings import encode_all
from codonbench.errors import PluginError
from codonbench.protocols.referee import Evaluation, RunOutputs
from codonbench.training.determinism import hash_weights, seeded_globals
from codonbench.training.loop import Referees, check_real
from codonbench.training.request import TrainRequest, TrainResult, errors_noted


def fit_runs(
    model: type[Model] | type[Estimator],
    config: BaseConfig,
    requests: Sequence[TrainRequest],
    referees: Referees,
    fit: Callable[[Any, TrainRequest, Referees, TrainResult], None],
) -> Iterator[tuple[int, TrainResult]]:
    """Fit a model once for each request; yield each run's number and result as it ends.

    A run that was cut short begins anew. An exception of the plugin ends in status ``error``,
    Ctrl-C in ``interrupted``, after which no more follow.

    Args:
        model: The estimator's class.
        config: Its configuration.
        requests: One a seed.
        referees: Of all of them.
        fit: Fits an instance and shows what is owed until the run is over: `fit_estimator`, or
            `probe.fit_probe`.

    Raises:
        UsageError: The model cannot serve this task.
    """
    for request in requests:
        result = TrainResult(engine=FITTED)
        referees.begin(request.run)
        with seeded_globals(request.chance), errors_noted(model, result, view=request.view):
            fit(model(config), request, referees, result)
        yield request.run, result
        if result.status == "interrupted":
            return


def fit_estimator(
    estimator: Estimator, request: TrainRequest, referees: Referees, result: TrainResult
) -> None:
    """Fit an estimator, and show what is owed, until the run is over."""
    encoding = estimator.encoding
    estimator.check_task(request.view)
    encode_all(encoding, request.view, request.items, np.zeros(0, dtype=np.int64))  # is it offered?
    [answer] = referees.answer([RunOutputs(request.run, 0, None)])
    due, index = answer.evaluation, answer.index
    assert due is not None
    index = index[: due.position]
    items = encode_all(encoding, request.view, request.items, index)
    rng = np.random.default_rng(request.chance)
    weights = None if request.weights is None else request.weights[index]
    if request.clock.budget_pairs:
        estimator.fit(TrainingSet(request.view, items, request.targets[index], rng, weights))
        result.estimator = estimator
    result.position = due.position
    learned = estimator.learned() if request.clock.budget_pairs else {}
    if learned:
        result.parameters = sum(array.size for array in learned.values())
        result.weights_sha256 = hash_weights(dict(learned))
    while due is not None:
        started = time.perf_counter()
        outputs = _outputs(estimator, request, due)
        result.evaluate_seconds += time.perf_counter() - started
        [answer] = referees.answer([RunOutputs(request.run, due.position, outputs)])
        due = answer.evaluation
    result.over = True


def _outputs(estimator: Estimator, request: TrainRequest, due: Evaluation) -> Outputs:
    """Return an estimator's outputs for a split (N, K), float32.

    Raises:
        PluginError: It gives something else.
    """
    index, n_outputs = request.evaluated[due.split], request.view.n_outputs
    if not len(index):
        return np.zeros((0, n_outputs), dtype=np.float32)
    if not request.clock.budget_pairs:
        return _effects(estimator, request, index)
    items = encode_all(estimator.encoding, request.view, request.items, index)
    outputs: npt.NDArray[Any] = np.asarray(estimator.predict(items))
    expected = (len(index), n_outputs)
    if outputs.shape != expected:
        raise PluginError(f"predict() gives outputs {outputs.shape}, expected {expected}")
    check_real(outputs, "predict()")
    return np.array(outputs, dtype=np.float32)


def _effects(estimator: Estimator, request: TrainRequest, index: npt.NDArray[np.int64]) -> Outputs:
    """Return an estimator's answers to variants, the same for each column, (N, K), float32.

    Raises:
        ConfigError: It has to be fitted.
        PluginError: It gives something else.
    """
    view, encoding = request.view, estimator.encoding
    if not (view.input.variants and isinstance(request.items, SequenceTuples)):
        estimator.score_variants(None, None)  # says that it has to be fitted
    parts = request.items.parts if isinstance(request.items, SequenceTuples) else ()
    pair = (encode_all(encoding, view.of_one_sequence(), part, index) for part in parts)
    effects: npt.NDArray[Any] = np.asarray(estimator.score_variants(*pair))
    if effects.shape != (len(index),):
        raise PluginError(f"score_variants() gives {effects.shape}, expected ({len(index)},)")
    check_real(effects, "score_variants()")
    return np.repeat(effects[:, None].astype(np.float32), view.n_outputs, axis=1)
