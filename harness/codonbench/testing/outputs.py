"""What a module makes of its inputs: one row of logits for each, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from codonbench.contracts import BatchLearner
from codonbench.testing.checklist import last_line
from codonbench.testing.findings import Verdict, failed, passed, skipped, warning
from codonbench.testing.subject import DEVICE, Subject

_ROWS = 16  # rows held one by one


def has_shape(subject: Subject) -> Verdict:
    """Hold shape, dtype and device of the logits, in every encoding the model may ask for."""
    words = ""
    for encoding, variant in subject.variants().items():
        module = variant.build().to(DEVICE)
        encode = variant.encoder(encoding)
        for training, rows in _occasions(variant, module):
            module.train(training)
            inputs = encode(variant.sample(rows))
            with torch.set_grad_enabled(training):
                logits = module(inputs)
            expected = (rows, variant.view.n_classes)
            shape = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
            if shape != expected:
                return failed(
                    f"for {rows} inputs of {encoding} {tuple(inputs.shape)} it gave "
                    f"{_shown(shape)}, expected logits {expected}: one row an input, "
                    "one column a class"
                )
            if not logits.dtype.is_floating_point:
                return failed(f"its logits are {logits.dtype}, expected torch.float32")
            if logits.device.type != DEVICE:
                return failed(f"its logits are on {logits.device}, expected {DEVICE}")
            if logits.dtype != torch.float32:
                words = f"its logits are {logits.dtype}; probes round them to torch.float32"
    if words:
        return warning(words)
    shapes = f"({subject.config.batch_size}, {subject.view.n_classes}) torch.float32"
    return passed(f"{shapes} in {' and in '.join(subject.variants())}")


def _occasions(subject: Subject, module: torch.nn.Module) -> Iterator[tuple[bool, int]]:
    """Yield (training, rows) as a run has them: batches, an epoch's last one, the probe set."""
    size, rest = subject.config.batch_size, subject.setup.stream.epoch_pairs
    if not isinstance(module, BatchLearner):
        yield True, min(size, rest)
        if rest % size:
            yield True, rest % size
    yield False, 1
    yield False, len(subject.dataset.evaluation)


def _shown(shape: tuple[int, ...] | str) -> str:
    return f"shape {shape}" if isinstance(shape, tuple) else f"a {shape}"


def are_logits(subject: Subject) -> Verdict:
    """Look whether the outputs are probabilities, of which the loss takes a softmax again."""
    if isinstance(module := subject.build(), BatchLearner):
        return skipped("the model learns without gradients")
    with torch.no_grad():
        rows = module.eval()(subject.encoder(subject.plugin().encoding)(subject.sample(_ROWS)))
    sums = rows.sum(dim=1)
    if bool((rows >= 0).all()) and torch.allclose(sums, torch.ones_like(sums), atol=1e-4):
        return warning(
            "its rows are not negative and sum to 1, as after a softmax; the loss takes logits "
            "and applies the softmax itself, so twice: leave out the last one"
        )
    return passed()


def follows_inputs(subject: Subject) -> Verdict:
    """Look whether forward makes tensors elsewhere than its inputs are.

    PyTorch's ``meta`` device, which every machine has, stands for the GPU.
    """
    inputs = subject.encoder(subject.plugin().encoding)(subject.sample(4)).to("meta")
    for training in (True, False):
        module = subject.build().to("meta").train(training)
        try:
            with torch.no_grad():
                module(inputs)
        except Exception as error:  # much cannot be done without data, and is not asked here
            said = str(error)
            if "device" in said and "cpu" in said:
                return warning(
                    f"on another device forward fails: {last_line(error)}; make new tensors with "
                    "device=inputs.device, or register_buffer what is constant"
                )
    return passed()


def leaves_inputs(subject: Subject) -> Verdict:
    """Hold that inputs and labels come back as they were handed over."""
    state = subject.state()
    index = subject.batches[0]
    inputs, labels = state.encode(index), state.targets[index]
    before = inputs.clone(), labels.clone()
    for training in (False, True):
        state.module.train(training)
        with torch.no_grad():
            state.module(inputs)
    if isinstance(state.module, BatchLearner):
        with torch.no_grad():
            state.module.update(inputs, labels)
    for what, now, then in (("inputs", inputs, before[0]), ("labels", labels, before[1])):
        if not torch.equal(now, then):
            changed = int((now != then).sum())
            return failed(
                f"it changed {changed:,} of {then.numel():,} values of its {what} in place; work "
                "on a copy, and mind operations that end in an underscore"
            )
    return passed()


def keeps_rows_apart(subject: Subject) -> Verdict:
    """Hold the claim that a row's logits depend on that row alone; hint where it is not made."""
    claimed = subject.plugin().row_independent
    module = subject.build()
    if isinstance(module, BatchLearner):
        return passed("not asked of a module that learns by update()")
    try:
        trouble = _mixing(subject, torch.float64, 1e-9)
    except RuntimeError:  # float32 is written into its forward
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
        "not claimed, but true as far as was seen: row_independent=True in its ModelInfo lets a "
        "faster engine train it"
    )


def _mixing(subject: Subject, dtype: torch.dtype, tolerance: float) -> str:
    """Return how rows are seen to mix in training or evaluation, or nothing."""
    size = min(subject.config.batch_size, _ROWS)
    for training in (True, False):
        state = subject.state(dtype=dtype)
        state.module.train(training)
        inputs = state.encode(subject.batches[0][:size])
        when = "in training" if training else "in evaluation"
        with torch.no_grad():
            whole = state.module(inputs)
            if not _close(state.module(inputs), whole, tolerance):
                return f"{when} one batch gives other logits each time: it draws random numbers"
            order = torch.arange(len(inputs)).flip(0)
            if not _close(state.module(inputs[order]), whole[order], tolerance):
                return f"{when} the batch in another order gives rows other logits"
            for row in range(len(inputs)):
                try:
                    alone = state.module(inputs[row : row + 1])
                except ValueError as error:  # batch norm refuses a single row
                    return f"{when} it cannot take a row alone: {error}"
                if not _close(alone, whole[row : row + 1], tolerance):
                    worst = float((alone - whole[row]).abs().max())
                    return (
                        f"{when} a row alone gives logits {worst:.1g} away from its own in a batch"
                    )
    return ""


def _close(these: Tensor, those: Tensor, tolerance: float) -> bool:
    return torch.allclose(these, those, rtol=tolerance, atol=tolerance, equal_nan=True)
