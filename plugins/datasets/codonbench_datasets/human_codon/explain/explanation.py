"""Which letters a trained model leans on, input by input, and on average."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from pydantic import Field

from codonbench.audit.repeat import Repetition
from codonbench.contracts import BatchLearner, Dataset, Frozen, Model, Sequences, TaskSpec
from codonbench.data.encodings import canonical, make_encoder
from codonbench.errors import UsageError
from codonbench_datasets.human_codon.asked import asked
from codonbench_datasets.human_codon.explain.attribution import (
    FloatArray,
    IntArray,
    advantage,
    integrated_gradients,
    shapley,
)

Method = Literal["substitution", "integrated gradients", "the code itself"]
"""The last is substitution in the code and not in the model: 1 for the true class, 0 for another.
What a model that knows the code must lean on is there to compare with."""


_TIE = 1e-9  # what rounding alone makes of equal shares


class Attribution(Frozen):
    """What one method says.

    Attributes:
        method: Which.
        values: What each position of each input adds to the true class's advantage, in
            logits, shape (P, length). Below 0 where it speaks against the true class.
        residual: The largest amount, over the inputs, by which the values of an input miss what
            they should add up to, in logits.
        span: The largest sum that an input's values have, for scale.
    """

    method: Method
    values: tuple[tuple[float, ...], ...]
    residual: float = Field(ge=0)
    span: float = Field(ge=0)

    @property
    def shares(self) -> FloatArray:
        """Each position's part in an input's sum of absolute values, shape (P, length).

        Where all are 0 each has the same.
        """
        sizes = np.abs(np.asarray(self.values))
        total = sizes.sum(axis=1, keepdims=True)
        even = np.full_like(sizes, 1 / sizes.shape[1])
        return np.asarray(np.divide(sizes, total, out=even, where=total > 0))


class Explanation(Frozen):
    """Which letters a trained model leans on.

    Attributes:
        run: The record's name.
        same_weights: Whether the repetition that was looked into has the recorded weights.
        encoding: What the model is handed.
        inputs, meanings: The probe set, and the true class of each, shape (P,).
        right: Which inputs the model has right at its end, shape (P,).
        silent: Whether the class is the same whatever letter stands there, (P, length). The
            third position of a fourfold degenerate codon is silent.
        attributions: One a method that is defined for this model.
        remarks: Why a method is not.
    """

    run: str
    same_weights: bool
    encoding: str
    inputs: tuple[str, ...]
    meanings: tuple[str, ...]
    right: tuple[bool, ...]
    silent: tuple[tuple[bool, ...], ...]
    attributions: tuple[Attribution, ...]
    remarks: tuple[str, ...] = ()


class Summary(Frozen):
    """One method's shares, averaged over some inputs.

    Attributes:
        method: Which.
        over: Which inputs: ``all`` or ``position 3 silent``.
        n: How many they are.
        shares: Mean share of each position, shape (length,).
        least: At how many of them the last position has the smallest share.
    """

    method: Method
    over: str
    n: int
    shares: tuple[float, ...]
    least: int


def explain(repetition: Repetition) -> Explanation:
    """Return which letters the model of a repetition leans on.

    Raises:
        UsageError: The run has no trained module, or ended in what is not finite, or the
            task's inputs are not all words of one length.
    """
    record, module = repetition.recorded, repetition.module
    plugin = repetition.job.entry.cls
    if module is None or not issubclass(plugin, Model):
        raise UsageError(f"{record.name} has no trained module to explain")
    setup, spec = repetition.setup, repetition.trajectory.task
    logits = repetition.trajectory.outputs[-1].astype(np.float64)
    if not np.isfinite(logits).all():
        raise UsageError(f"{record.name} ended in NaN or infinity: there is nothing to explain")
    letters = _letters(setup.dataset)
    labels = repetition.trajectory.targets.astype(np.int64)
    model = plugin(repetition.job.config)
    encoding = canonical(model.encoding, spec.view())
    attributions = [
        _by_substitution(
            "the code itself", letters, np.eye(len(spec.target.names))[labels], labels
        ),
        _by_substitution("substitution", letters, logits, labels),
    ]
    why_not = _no_gradients(encoding, spec, module)
    if not why_not:
        encode = make_encoder(
            encoding, spec.view(), setup.dataset.items, torch.device("cpu"), torch.float64
        )
        encoded = encode(torch.as_tensor(setup.dataset.evaluation))
        columns = setup.hidden[setup.dataset.evaluation].astype(np.int64)
        values, off = integrated_gradients(module, encoded, columns, spec.input.max_length)
        attributions.append(_attribution("integrated gradients", values, off))
    return Explanation(
        run=record.name,
        same_weights=repetition.same_weights,
        encoding=encoding,
        inputs=asked(spec).inputs,
        meanings=tuple(spec.target.names[label] for label in labels),
        right=tuple(repetition.trajectory.right[-1].tolist()),
        silent=tuple(map(tuple, silent_positions(letters, labels).tolist())),
        attributions=tuple(attributions),
        remarks=(why_not,) if why_not else (),
    )


def _letters(dataset: Dataset) -> IntArray:
    """Return the evaluation set as letter indices, shape (P, L).

    Raises:
        UsageError: It is not made of words of one length.
    """
    items, lengths = dataset.items, dataset.spec.input
    if not isinstance(items, Sequences) or lengths.min_length != lengths.max_length:
        raise UsageError(f"task {dataset.spec.name!r} does not ask words of one length")
    return items.take(dataset.evaluation).rows().astype(np.int64)


def _no_gradients(encoding: str, spec: TaskSpec, module: torch.nn.Module) -> str:
    """Return why integrated gradients are not defined; nothing where they are."""
    if isinstance(module, BatchLearner):
        return "No integrated gradients: the model does not learn by gradient."
    unit, symbol = spec.input.unit, spec.input.symbol
    if encoding == f"{symbol}_index":
        return (
            f"No integrated gradients: the model is handed {symbol}s as indices, and there "
            "is no way from one index to another that a gradient could follow."
        )
    if not encoding.startswith(f"{spec.input.symbol}_"):
        return (
            f"No integrated gradients: the model is handed the {unit} as a whole "
            f"({encoding}), so its input has no {symbol}s that a gradient could tell apart. "
            "What it has learned of them shows in what it does when one is substituted."
        )
    return ""


def _by_substitution(
    method: Method, letters: IntArray, logits: FloatArray, labels: IntArray
) -> Attribution:
    ahead = advantage(logits)
    worth = ahead[:, labels].T  # of input i's class, at every input j
    values = shapley(letters, worth)
    difference = ahead[np.arange(len(labels)), labels] - worth.mean(axis=1)
    off = float(np.abs(values.sum(axis=1) - difference).max())
    return _attribution(method, values, off)


def _attribution(method: Method, values: FloatArray, residual: float) -> Attribution:
    return Attribution(
        method=method,
        values=tuple(map(tuple, values.tolist())),
        residual=residual,
        span=float(np.abs(values.sum(axis=1)).max()),
    )


def silent_positions(letters: IntArray, labels: IntArray) -> np.ndarray:
    """Return whether an input's class is the same whatever letter stands at a position.

    Args:
        letters: Letter indices of all words of one length, shape (P, length).
        labels: Class of each, shape (P,).

    Returns:
        Shape (P, length).
    """
    columns = []
    for position in range(letters.shape[1]):
        others = np.delete(letters, position, axis=1)
        siblings = (others[:, None] == others[None]).all(axis=2)
        columns.append((~siblings | (labels[:, None] == labels[None])).all(axis=1))
    return np.stack(columns, axis=1)


def summaries(explanation: Explanation) -> list[Summary]:
    """Return each method's mean shares over all inputs, and apart by whether the last is silent."""
    last_silent = np.asarray(explanation.silent)[:, -1]
    n_positions = len(explanation.silent[0])
    groups = {
        "all": np.ones(len(last_silent), dtype=np.bool_),
        f"position {n_positions} silent": last_silent,
        f"position {n_positions} not silent": ~last_silent,
    }
    found = []
    for attribution in explanation.attributions:
        shares = attribution.shares
        last_least = shares[:, -1] < shares[:, :-1].min(axis=1, initial=np.inf) - _TIE
        found += [
            Summary(
                method=attribution.method,
                over=over,
                n=int(members.sum()),
                shares=tuple(shares[members].mean(axis=0).tolist()),
                least=int(last_least[members].sum()),
            )
            for over, members in groups.items()
            if members.any()
        ]
    return found
