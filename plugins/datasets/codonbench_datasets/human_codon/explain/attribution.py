"""What each letter is worth: by putting others in its place, and by integrated gradients.

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
from itertools import combinations
from math import factorial

import numpy as np
import torch
from captum.attr import IntegratedGradients
from torch import Tensor, nn

from codonbench.contracts.trajectory import FloatArray, IntArray
from codonbench.errors import UsageError

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
