"""Which letters a trained model leans on, input by input and on average: data, text, figure.

By putting others in a letter's place, and by integrated gradients.

Substitution is exact and for any model: Shapley values over the positions of an input. The worth of
a set of positions is the mean advantage over all inputs that agree with the input there, each
letter elsewhere being as likely as any other (the interventional value of Janzing, Minorics and
Bloebaum, AISTATS 2020); a position's value is what it adds to that, averaged over the orders in
which positions can be told. With three positions there are 8 sets, and no sampling. Only the logits
of all inputs are looked at, so it does not matter what the model is handed.

Integrated gradients are for models that are handed letters: M. Sundararajan, A. Taly and Q. Yan,
Axiomatic attribution for deep networks, ICML 2017, as captum computes them: the gradient along the
straight way from a baseline to the input, times that way. The baseline gives each letter of each
position the same weight (0.25 of each nucleotide), which favours none; a network has never been
shown such an input, and what it makes of the way there is part of the answer. That is the reason to
put substitution beside it, which asks about real inputs only.
"""

from __future__ import annotations

from copy import deepcopy
from functools import partial
from itertools import combinations
from math import factorial
from typing import Literal

import numpy as np
import torch
import typer
from captum.attr import IntegratedGradients
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from pydantic import Field, computed_field
from torch import Tensor, nn

from codonbench.audit.repeat import Repetition
from codonbench.cli.console import print_table
from codonbench.contracts import BatchLearner, Dataset, Frozen, Model, Sequences, TaskSpec
from codonbench.contracts.trajectory import FloatArray, IntArray
from codonbench.data.encodings import canonical, make_encoder
from codonbench.errors import UsageError
from codonbench.explain.explained import Explanation
from codonbench_datasets.human_codon.asked import asked
from codonbench_datasets.human_codon.plots.style import (
    BLACK,
    BLUE,
    GREY,
    ORANGE,
    SKY,
    VERMILLION,
    name_rows,
    new_figure,
    safe,
)

_MOST_POSITIONS = 10

STEPS = 256


def advantage(logits: FloatArray) -> FloatArray:
    """Return each class's logit less the mean of the others', shape (..., C)."""
    n_classes = logits.shape[-1]
    total = logits.sum(axis=-1, keepdims=True)
    return np.asarray(logits - (total - logits) / (n_classes - 1))


def shapley(letters: IntArray, worth: FloatArray) -> FloatArray:
    """Return what each position of each input is worth, shape (P, length).

    The values of an input add up to its worth less the mean worth over all inputs. Where worth is
    a sum of terms, one a letter, each is its term less the mean of that term over the letters.

    Args:
        letters: Letter indices of all words of one length, shape (P, length).
        worth: What is asked about input i (its own class's advantage), of every input j: (P, P).

    Raises:
        UsageError: The inputs are not all words of one length, or have too many positions.
    """
    n_inputs, length = letters.shape
    size = int(letters.max()) + 1
    is_all_words = len(np.unique(letters, axis=0)) == n_inputs == size**length
    if not is_all_words or length > _MOST_POSITIONS:
        raise UsageError(
            "substitution needs a task whose inputs are all words of one length, of "
            f"{_MOST_POSITIONS} letters at most; here are {n_inputs} of {length}"
        )
    worth_of = {
        known: _mean_where(letters, worth, known)
        for k in range(length + 1)
        for known in combinations(range(length), k)
    }
    values = np.zeros((n_inputs, length))
    for known, with_it in worth_of.items():
        for position in known:
            without = tuple(p for p in known if p != position)
            share = factorial(len(without)) * factorial(length - len(known)) / factorial(length)
            values[:, position] += share * (with_it - worth_of[without])
    return values


def _mean_where(letters: IntArray, worth: FloatArray, known: tuple[int, ...]) -> FloatArray:
    """Return, for each input, the mean worth over the inputs that agree with it at `known`."""
    at = letters[:, list(known)]
    agree = (at[:, None] == at[None]).all(axis=2)
    return np.asarray(np.where(agree, worth, 0.0).sum(axis=1) / agree.sum(axis=1))


def integrated_gradients(
    module: nn.Module, inputs: Tensor, classes: IntArray, length: int, steps: int = STEPS
) -> tuple[FloatArray, float]:
    """Return what each position of each input is worth, and how far the sums are off.

    In float64 and in evaluation mode, on a copy of the module on the CPU.

    Args:
        module: What was trained; maps one-hot letters (P, ...) to logits (P, C).
        inputs: One-hot letters, position by position: (P, length, letters) or that flattened.
        classes: The class whose advantage is asked about, as a column of the logits, shape (P,).
        length: Letters in one input.
        steps: Points of the Gauss-Legendre rule along the way.

    Returns:
        Values of shape (P, length), and the largest difference, over the inputs, between the
        sum of an input's values and what it should be: its advantage less the baseline's.
    """
    module = deepcopy(module).cpu().double().eval()
    encoded = inputs.detach().cpu().double()
    n_letters = encoded[0].numel() // length

    def advantage_of(rows: Tensor, column: Tensor) -> Tensor:
        logits: Tensor = module(rows)
        own = logits.gather(1, column[:, None])[:, 0]
        return own - (logits.sum(1) - own) / (logits.shape[1] - 1)

    values, off = IntegratedGradients(advantage_of).attribute(
        encoded,
        baselines=torch.full_like(encoded, 1 / n_letters),
        additional_forward_args=(torch.as_tensor(classes),),
        n_steps=steps,
        method="gausslegendre",
        internal_batch_size=4096,
        return_convergence_delta=True,
    )
    by_position = values.reshape(len(encoded), length, n_letters).sum(2)
    return np.asarray(by_position.detach().numpy()), float(off.abs().max())


Rows = tuple[tuple[float, ...], ...]

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
    values: Rows
    residual: float = Field(ge=0)
    span: float = Field(ge=0)

    @computed_field  # type: ignore[prop-decorator]
    @property
    def shares(self) -> Rows:
        """Each position's part in an input's sum of absolute values, shape (P, length).

        Where all are 0 each has the same.
        """
        sizes = np.abs(np.asarray(self.values))
        total = sizes.sum(axis=1, keepdims=True)
        even = np.full_like(sizes, 1 / sizes.shape[1])
        shares = np.divide(sizes, total, out=even, where=total > 0)
        return tuple(map(tuple, shares.tolist()))


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


class Leaning(Frozen):
    """Which letters a trained model leans on.

    Attributes:
        run: The record's name.
        same_weights: Whether the repetition that was looked into has the recorded weights.
        encoding: What the model is handed.
        inputs, meanings: The evaluation set, and the true class of each, shape (P,).
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

    @computed_field  # type: ignore[prop-decorator]
    @property
    def summaries(self) -> tuple[Summary, ...]:
        """Each method's mean shares over all inputs, and apart by whether the last is silent."""
        last_silent, n_positions = np.asarray(self.silent)[:, -1], len(self.silent[0])
        groups = {
            "all": np.ones(len(last_silent), dtype=np.bool_),
            f"position {n_positions} silent": last_silent,
            f"position {n_positions} not silent": ~last_silent,
        }
        found = []
        for attribution in self.attributions:
            shares = np.asarray(attribution.shares)
            least = shares[:, -1] < shares[:, :-1].min(axis=1, initial=np.inf) - _TIE
            found += [
                Summary(
                    method=attribution.method,
                    over=over,
                    n=int(members.sum()),
                    shares=tuple(shares[members].mean(axis=0).tolist()),
                    least=int(least[members].sum()),
                )
                for over, members in groups.items()
                if members.any()
            ]
        return tuple(found)


def explain_codons(repetition: Repetition) -> Explanation:
    """Return which letters the model of a repetition leans on, and how that is told.

    Raises:
        UsageError: As of `explain_run`.
    """
    found = explain_run(repetition)
    return Explanation(
        found, partial(print_explanation, found), lambda title: {"": draw_leaning(found, title)}
    )


def explain_run(repetition: Repetition) -> Leaning:
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
    encoding = canonical(plugin(repetition.job.config).encoding, spec.view())
    known = np.eye(len(spec.target.names))[labels]
    attributions = [
        _by_substitution("the code itself", letters, known, labels),
        _by_substitution("substitution", letters, logits, labels),
    ]
    why_not = _no_gradients(encoding, spec, module)
    if not why_not:
        on = torch.device("cpu"), torch.float64
        encode = make_encoder(encoding, spec.view(), setup.dataset.items, *on)
        encoded = encode(torch.as_tensor(setup.dataset.evaluation))
        columns = setup.hidden[setup.dataset.evaluation].astype(np.int64)
        values, off = integrated_gradients(module, encoded, columns, spec.input.max_length)
        attributions.append(_attribution("integrated gradients", values, off))
    return Leaning(
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
    unit, symbol = spec.input.unit, spec.input.symbol
    if isinstance(module, BatchLearner):
        why = "does not learn by gradient."
    elif encoding == f"{symbol}_index":
        why = (
            f"is handed {symbol}s as indices, and there "
            "is no way from one index to another that a gradient could follow."
        )
    elif not encoding.startswith(f"{symbol}_"):
        why = (
            f"is handed the {unit} as a whole "
            f"({encoding}), so its input has no {symbol}s that a gradient could tell apart. "
            "What it has learned of them shows in what it does when one is substituted."
        )
    else:
        return ""
    return f"No integrated gradients: the model {why}"


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


def print_explanation(explanation: Leaning) -> None:
    """Print a row for each input, then the means, then what they rest on."""
    positions = range(1, len(explanation.silent[0]) + 1)
    shown = explanation.attributions
    heads = [f"{a.method}: {p}" if p == 1 else str(p) for a in shown for p in positions]
    rows = []
    for i, (text, meaning) in enumerate(zip(explanation.inputs, explanation.meanings, strict=True)):
        silent = ", ".join(str(p + 1) for p, yes in enumerate(explanation.silent[i]) if yes)
        cells = [f"{x:.2f}" for attribution in shown for x in attribution.shares[i]]
        rows.append([text, meaning, silent or "-", *cells, "" if explanation.right[i] else "wrong"])
    print_table(["input", "class", "silent", *heads, ""], rows)
    typer.echo()
    print_table(
        ["mean share", "inputs", "n", *(f"position {p}" for p in positions), "last is least"],
        [
            [s.method, s.over, str(s.n), *(f"{x:.3f}" for x in s.shares), f"{s.least} of {s.n}"]
            for s in explanation.summaries
        ],
    )
    typer.echo()
    for attribution in shown:
        if attribution.method != "the code itself":
            typer.echo(
                f"{attribution.method}: values add up to within {attribution.residual:.1e} "
                f"of what they should, the largest sum being {attribution.span:.3g} logits"
            )
    for remark in explanation.remarks:
        typer.echo(remark)


_TITLES = {
    "substitution": "the model, by substitution",
    "integrated gradients": "by integrated gradients",
}


def draw_leaning(explanation: Leaning, title: str) -> Figure:
    """Return a panel for each method, with a bar for each input, divided among its positions.

    A dot marks an input whose last position is silent: whatever letter stands there, the class
    is the same. Below stand the means over all inputs and over those.

    Args:
        explanation: What to draw.
        title: Of the picture.
    """
    n_inputs, n_positions = len(explanation.inputs), len(explanation.silent[0])
    shown = explanation.attributions
    title = (
        f"{title}\ndots: position {n_positions} is silent, any letter there gives the same class"
    )
    figure = new_figure(2.0 + 1.85 * len(shown), max(3.0, 0.128 * n_inputs + 1.6), title)
    grid = figure.subplots(1, len(shown), sharey=True, squeeze=False)[0]
    # A colour for each position; the last, where the wobble is, stands out.
    colours = [(BLUE, SKY, ORANGE, GREY)[p % 4] for p in range(n_positions - 1)] + [VERMILLION]
    for axes, attribution in zip(grid, shown, strict=True):
        _draw_bars(axes, attribution, explanation, colours)
    words = zip(explanation.inputs, explanation.meanings, strict=True)
    names = [f"{safe(text, 12)} {safe(meaning, 12)}" for text, meaning in words]
    name_rows(grid[0], names, explanation.right)
    figure.legend(
        handles=grid[0].containers,
        labels=[f"position {p + 1}" for p in range(n_positions)],
        loc="outside lower center",
        ncols=n_positions,
        frameon=False,
        fontsize=7.5,
    )
    return figure


def _draw_bars(
    axes: Axes, attribution: Attribution, explanation: Leaning, colours: list[str]
) -> None:
    shares = np.asarray(attribution.shares)
    rows, left = np.arange(len(shares)), np.zeros(len(shares))
    for position, colour in enumerate(colours):
        axes.barh(rows, shares[:, position], left=left, height=0.84, color=colour)
        left = left + shares[:, position]
    silent = np.flatnonzero([row[-1] for row in explanation.silent])
    axes.plot(np.full(len(silent), 1.03), silent, ".", color=BLACK, markersize=3, clip_on=False)
    axes.set_xlim(0, 1)
    axes.set_xticks([0, 0.5, 1], ["0", "0.5", "1"])
    axes.set_ylim(len(shares) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0, pad=2)
    axes.set_title(_TITLES.get(attribution.method, attribution.method), fontsize=7.5)
    means = [s for s in explanation.summaries if s.method == attribution.method]
    lines = [f"{s.over} ({s.n}): " + " · ".join(f"{x:.2f}" for x in s.shares) for s in means]
    axes.set_xlabel("share\n" + "\n".join(lines), fontsize=6.2)
