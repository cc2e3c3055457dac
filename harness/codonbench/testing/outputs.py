"""Checks of a module's outputs: shape, side effects, prior knowledge, independence of rows."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from codonbench.contracts import BatchLearner, TaskView
from codonbench.contracts.run_spec import PUBLIC_SALT
from codonbench.data.encodings import canonical
from codonbench.data.stream import IntArray, relabelling
from codonbench.plugins.failures import last_line
from codonbench.testing.checks import Checks, Verdict, failed, passed, skipped, warning
from codonbench.testing.environment import generators, moved
from codonbench.testing.subject import DEVICE, ModelSubject
from codonbench.training.determinism import seeded_globals

CHECKS = Checks[ModelSubject]()

_ROWS = 16  # rows compared one by one

_SEEDS = 5
_DRAWS = 2_000
_SPREADS = 6  # standard deviations above chance; a known code is at 40 or more
_MOSTLY = 0.95  # least share of pairs with equal outputs that are of one class
_MANY = 0.5  # least share of pairs of one class with equal outputs

_RULE = (
    "what it knows must come from the pairs it is shown; class ids are permuted from seed to "
    "seed, so a built-in code is worth nothing in a run and is not allowed in one"
)


@CHECKS.hold("shape", "device", "fresh", "settings")
def has_shape(subject: ModelSubject) -> Verdict:
    """One row of outputs for each input."""
    words, name = "", _name(subject)
    for encoding, variant in subject.variants().items():
        module = variant.build().to(DEVICE)
        encode = variant.encoder(encoding)
        for training, rows in _occasions(variant, module):
            module.train(training)
            inputs = encode(variant.sample(rows))
            with torch.set_grad_enabled(training), _rows_named(encoding, variant.view):
                outputs = module(inputs)
            expected = (rows, variant.view.n_outputs)
            shape = tuple(outputs.shape) if isinstance(outputs, Tensor) else type(outputs).__name__
            if shape != expected:
                return failed(
                    f"for {rows} inputs of {encoding} {tuple(inputs.shape)} it gave "
                    f"{_shown(shape)}, expected {name} {expected}: one row an input, "
                    f"one column a {_COLUMN[variant.view.target]}"
                )
            if not outputs.dtype.is_floating_point:
                return failed(f"its {name} are {outputs.dtype}, expected torch.float32")
            if outputs.device.type != DEVICE:
                return failed(f"its {name} are on {outputs.device}, expected {DEVICE}")
            if outputs.dtype != torch.float32:
                words = f"its {name} are {outputs.dtype}; evaluations round them to torch.float32"
    if words:
        return warning(words)
    shapes = f"({subject.config.batch_size}, {subject.view.n_outputs}) torch.float32"
    return passed(f"{shapes} in {' and in '.join(subject.variants())}")


@contextmanager
def _rows_named(encoding: str, view: TaskView) -> Iterator[None]:
    """Add the number of letter indices to the error of an embedding with too few rows."""
    try:
        yield
    except IndexError as error:
        if canonical(encoding, view) != f"{view.symbol}_index" or view.n_inputs is not None:
            raise
        rows = view.padding_index + 1
        message = (
            f"{error}; {encoding} runs from 0 to {rows - 1}, which pads: nn.Embedding({rows}, ...)"
        )
        raise IndexError(message).with_traceback(error.__traceback__) from None


_COLUMN = {"classes": "class", "labels": "label", "quantities": "quantity"}


def _name(subject: ModelSubject) -> str:
    """Return the name of a module's outputs for the task."""
    return "outputs" if subject.view.target == "quantities" else "logits"


def _occasions(subject: ModelSubject, module: torch.nn.Module) -> Iterator[tuple[bool, int]]:
    """Yield (training, rows) as in a run: full batch, last batch of an epoch, evaluation."""
    size, pairs = subject.config.batch_size, subject.setup.stream.epoch_pairs
    if not isinstance(module, BatchLearner):
        yield True, min(size, pairs)
        if pairs % size:
            yield True, pairs % size
    yield False, 1
    yield False, len(subject.evaluated)


def _shown(shape: tuple[int, ...] | str) -> str:
    return f"shape {shape}" if isinstance(shape, tuple) else f"a {shape}"


@CHECKS.hold("logits", "shape", advisory=True)
def are_logits(subject: ModelSubject) -> Verdict:
    """Outputs are logits."""
    if subject.view.target == "quantities":
        return skipped("of quantities, the module returns the quantities themselves")
    if isinstance(module := subject.build(), BatchLearner):
        return skipped("the model learns without gradients")
    with torch.no_grad():
        rows = module.eval()(subject.encoder()(subject.sample(_ROWS)))
    sums, ones = rows.sum(dim=1), rows.new_ones(len(rows))
    if subject.view.target == "labels":
        function, likely = "sigmoid", bool(((rows >= 0) & (rows <= 1)).all())
    else:
        function = "softmax"
        likely = bool((rows >= 0).all()) and torch.allclose(sums, ones, atol=1e-4)
    if likely:
        return warning(
            f"its outputs are such as come of a {function}; the loss takes logits and applies the "
            f"{function} itself, so twice: leave out the last one"
        )
    return passed()


@CHECKS.hold("portable", "shape", advisory=True)
def follows_inputs(subject: ModelSubject) -> Verdict:
    """The forward pass works on the device of its inputs.

    PyTorch's ``meta`` device, available on every machine, is used in place of a GPU.
    """
    inputs = subject.encoder()(subject.sample(4)).to("meta")
    for training in (True, False):
        module = subject.build().to("meta").train(training)
        try:
            with torch.no_grad():
                module(inputs)
        except Exception as error:  # operations that need data fail on meta; ignored
            message = str(error)
            if "device" in message and "cpu" in message:
                return warning(
                    f"on another device forward fails: {last_line(error)}; make new tensors with "
                    "device=inputs.device, or register_buffer what is constant"
                )
    return passed()


@CHECKS.hold("inputs", "shape")
def leaves_inputs(subject: ModelSubject) -> Verdict:
    """Inputs and targets are not changed."""
    state = subject.state()
    index = subject.batches[0]
    inputs, targets = state.encode(index), state.targets[index]
    before = inputs.clone(), targets.clone()
    for training in (False, True):
        state.module.train(training)
        with torch.no_grad():
            state.module(inputs)
    if isinstance(state.module, BatchLearner):
        with torch.no_grad():
            state.module.update(inputs, targets)
    for what, now, then in (("inputs", inputs, before[0]), ("targets", targets, before[1])):
        changed = int((~torch.isclose(now, then, rtol=0, atol=0, equal_nan=True)).sum())
        if changed:
            return failed(
                f"it changed {changed:,} of {then.numel():,} values of its {what} in place; work "
                "on a copy, and mind operations that end in an underscore"
            )
    return passed()


@CHECKS.hold("untaught", "inputs")
def predicts_at_chance(subject: ModelSubject) -> Verdict:
    """An untrained module predicts no better than chance.

    Untrained modules of five seeds are scored against the true class ids and against those of the
    run; chance is the score under random permutations of ids. A module whose outputs are equal
    exactly for inputs of one class has the code built in without names.
    """
    if subject.setup.labels is None:
        return skipped("the targets are known from the start")
    unit, names = subject.dataset.spec.input.unit, subject.dataset.spec.target.names
    truth = subject.dataset.targets[subject.evaluated.numpy()].astype(np.int64)
    logits = [_untrained(subject, seed) for seed in range(_SEEDS)]
    answers = [_answers(table) for table in logits]
    hidden = [relabelling(len(names), PUBLIC_SALT, seed).hide(truth) for seed in range(_SEEDS)]
    mean, spread = _chance(answers, truth, len(names))
    items = _SEEDS * len(truth)
    for labels, how in (([truth] * _SEEDS, "by true class id"), (hidden, "as a run counts them")):
        right = sum(int((a == b).sum()) for a, b in zip(answers, labels, strict=True))
        if right > mean + _SPREADS * spread and right > mean + 1:
            return failed(
                f"untrained, it has {right} of {items} {unit}s right {how} ({_SEEDS} "
                f"seeds), where chance gives {mean:.0f}, hardly ever more than "
                f"{mean + _SPREADS * spread:.0f}: it knows the answers already; {_RULE}"
            )
    alike, together, of = _grouping(logits[0], truth)
    if of and together >= _MOSTLY * alike and together >= _MANY * of:
        return failed(
            f"untrained, it gives the same output to {alike} pairs of {unit}s, of which "
            f"{together} belong to one class, of {of} such pairs in all: the classes are built in, "
            f"without their names; {_RULE}"
        )
    return passed(f"{right} of {items} right untrained; chance gives {mean:.0f}")


def _untrained(subject: ModelSubject, seed: int) -> npt.NDArray[np.float64]:
    """Return the outputs (N, C) of an untrained module."""
    module = subject.build(seed).to(DEVICE).eval()
    with seeded_globals(seed), torch.no_grad():
        logits = module(subject.encoder()(subject.evaluated))
    return np.asarray(logits.double().numpy())


def _answers(logits: npt.NDArray[np.float64]) -> IntArray:
    """Return the class with the highest output for each input (P,); -1 for ties."""
    best = logits.argmax(axis=1)
    tied = (logits == logits.max(axis=1, keepdims=True)).sum(axis=1) != 1
    return np.where(tied, -1, best).astype(np.int64)


def _chance(answers: list[IntArray], truth: IntArray, n_classes: int) -> tuple[float, float]:
    """Return mean and standard deviation of the number of right answers under random class ids."""
    rng = np.random.default_rng(0)
    ids = np.stack([rng.permutation(n_classes) for _ in range(_DRAWS)])
    hits = np.stack([(ids[:, truth] == answer).sum(axis=1) for answer in answers])
    return float(hits.mean(axis=1).sum()), float(np.sqrt(hits.var(axis=1).sum()))


def _grouping(logits: npt.NDArray[np.float64], truth: IntArray) -> tuple[int, int, int]:
    """Count pairs with equal outputs, those of one class among them, and all pairs of one class."""
    above = np.triu_indices(len(truth), k=1)
    same_class = (truth[:, None] == truth[None])[above]
    scale = np.abs(logits).max() or 1.0
    apart = np.abs(logits[:, None] - logits[None]).max(axis=2)[above]
    same_output = apart < 1e-6 * scale
    return int(same_output.sum()), int((same_output & same_class).sum()), int(same_class.sum())


@CHECKS.hold("evaluation", "inputs")
def draws_nothing(subject: ModelSubject) -> Verdict:
    """Evaluation draws no random numbers."""
    with seeded_globals(0):
        state = subject.state()
        state.module.eval()
        before = generators()
        with torch.no_grad():
            outputs = [state.module(state.encode(subject.evaluated)) for _ in range(2)]
        drawn_from = moved(before)
    if drawn_from:
        return failed(
            f"in evaluation it draws random numbers from {drawn_from}: it would neither repeat nor "
            "leave training alone; draw only where self.training is true"
        )
    if outputs[0].numpy().tobytes() != outputs[1].numpy().tobytes():
        return failed(
            "two evaluations of the same weights give different outputs; in evaluation, let the "
            "output depend on inputs and weights alone"
        )
    return passed()


@CHECKS.hold("rows", "evaluation")
def keeps_rows_apart(subject: ModelSubject) -> Verdict:
    """row_independent is declared correctly."""
    claimed = subject.plugin().row_independent
    module = subject.build()
    if isinstance(module, BatchLearner):
        return passed("not applicable to a module that learns by update()")
    try:
        trouble = _mixing(subject, torch.float64, 1e-9)
    except RuntimeError:  # its forward requires float32
        trouble = _mixing(subject, torch.float32, 1e-4)
    if claimed and trouble:
        return failed(
            f"it claims row_independent, but {trouble}; drop the claim, "
            "and the plain loop will train it"
        )
    if claimed:
        return passed("claimed, and true")
    if trouble:
        return passed(f"not claimed, rightly: {trouble}")
    return passed(
        "not claimed, but true as far as was seen: row_independent=True lets a "
        "faster engine train it"
    )


def _mixing(subject: ModelSubject, dtype: torch.dtype, tolerance: float) -> str:
    """Return how rows affect one another in training or evaluation; empty if they do not."""
    size = min(subject.config.batch_size, _ROWS)
    for training in (True, False):
        state = subject.state(dtype=dtype)
        state.module.train(training)
        inputs = state.encode(subject.batches[0][:size])
        when = "in training" if training else "in evaluation"
        with torch.no_grad():
            whole = state.module(inputs)
            if not _close(state.module(inputs), whole, tolerance):
                return f"{when} one batch gives other outputs each time: it draws random numbers"
            order = torch.arange(len(inputs)).flip(0)
            if not _close(state.module(inputs[order]), whole[order], tolerance):
                return f"{when} the batch in another order gives rows other outputs"
            for row in range(len(inputs)):
                try:
                    alone = state.module(inputs[row : row + 1])
                except ValueError as error:  # batch norm refuses a single row
                    return f"{when} it cannot take a row alone: {error}"
                if not _close(alone, whole[row : row + 1], tolerance):
                    worst = float((alone - whole[row]).abs().max())
                    return (
                        f"{when} a row alone gives outputs {worst:.1g} away from its own in a batch"
                    )
    return ""


def _close(these: Tensor, those: Tensor, tolerance: float) -> bool:
    return torch.allclose(these, those, rtol=tolerance, atol=tolerance, equal_nan=True)
