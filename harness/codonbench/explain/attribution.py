"""Attribute a model's output to the letters of a sequence, by several methods.

Saliency: gradient times input (Simonyan, Vedaldi and Zisserman 2013, arXiv 1312.6034). Integrated
gradients: Sundararajan, Taly and Yan, ICML 2017. DeepLIFT: Shrikumar, Greenside and Kundaje, ICML
2017, with the rescale rule. The latter two are captum's; their baseline has all letters in equal
parts, and attributions should sum to the difference from the baseline's output. In silico
mutagenesis: each letter replaced by each other one.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from captum.attr import DeepLift, IntegratedGradients
from torch import Tensor, nn

FloatArray = npt.NDArray[np.float64]
Letters = npt.NDArray[np.uint8]

STEPS = 64
"""Integration points of integrated gradients, from the baseline to the sequence."""

WORST = 0.05
"""Largest relative error of the sum of attributions for a method to be shown."""


class AskedOutput(nn.Module):
    """The scalar output to explain: one output of a module, or the advantage of one class.

    Args:
        module: Maps one-hot letters to outputs (B, K).
        column: Index of the output.
        advantage: Whether to subtract the mean of the other outputs, as for classes, whose logits
            are meaningful only relative to one another.
        mask: Mask channel of the input, (1, L, 1); None if the encoding has none.
    """

    def __init__(
        self, module: nn.Module, column: int, *, advantage: bool, mask: Tensor | None = None
    ) -> None:
        super().__init__()
        self.module, self.column, self.advantage, self.mask = module, column, advantage, mask

    def forward(self, letters: Tensor) -> Tensor:
        """Return the scalar outputs (B,) for one-hot letters (B, L, C)."""
        if self.mask is not None:
            letters = torch.cat([letters, self.mask.expand(len(letters), -1, -1)], dim=2)
        return chosen(self.module(letters), self.column, advantage=self.advantage)


def chosen(outputs: Tensor, column: int, *, advantage: bool) -> Tensor:
    """Return one column (B,) of outputs (B, K), less the mean of the others if `advantage`."""
    own = outputs[:, column]
    if not advantage or outputs.shape[1] < 2:
        return own
    return own - (outputs.sum(1) - own) / (outputs.shape[1] - 1)


def saliency(output: AskedOutput, letters: Tensor) -> FloatArray:
    """Return gradient times input at each position, (L,).

    Args:
        output: The output to explain.
        letters: One-hot letters, (1, L, C).
    """
    letters = letters.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(output(letters).sum(), letters)
    return _by_place(gradient * letters)


def integrated_gradients(output: AskedOutput, letters: Tensor) -> tuple[FloatArray, float]:
    """Return the attribution of each letter, (L,), and the relative error of their sum."""
    return _from_baseline(IntegratedGradients(output), output, letters, n_steps=STEPS)


def deep_lift(output: AskedOutput, letters: Tensor) -> tuple[FloatArray, float]:
    """Return the attribution of each letter, (L,), and the relative error of their sum.

    The rules apply to activations and poolings that are modules. Other nonlinear operations, such
    as a functional maximum or a gate, increase the error.

    Raises:
        RuntimeError, AssertionError: captum cannot handle the module.
    """
    exactly = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(False)  # its poolings need it on some devices
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # captum's, on its hooks
            return _from_baseline(DeepLift(output), output, letters)
    finally:
        torch.use_deterministic_algorithms(exactly)


def _from_baseline(
    method: Any, output: AskedOutput, letters: Tensor, **more: Any
) -> tuple[FloatArray, float]:
    baseline = torch.full_like(letters, 1 / letters.shape[2])
    values = method.attribute(letters.clone(), baselines=baseline, **more).detach()
    with torch.no_grad():
        whole = float(output(letters) - output(baseline))
    return _by_place(values), abs(float(values.sum()) - whole) / max(abs(whole), 1e-6)


def _by_place(values: Tensor) -> FloatArray:
    return np.asarray(values.detach().double().sum(2)[0].numpy())


AT_ONCE = 1 << 13
"""Letters of mutants in a batch."""


def mutagenesis(
    score: Callable[[Letters], FloatArray], letters: Letters, size: int, at_once: int = AT_ONCE
) -> FloatArray:
    """Return the change of a score for each letter at each position, (L, size).

    The change is 0 for the letter of the sequence.

    Args:
        score: Maps sequences (n, L) of letter indices to scores (n,).
        letters: Letter indices of the sequence, (L,).
        size: Letters of the alphabet.
        at_once: Letters in a batch for `score`, which has at least one sequence.
    """
    length = len(letters)
    places, others = np.divmod(np.arange(length * size), size)
    differs = letters[places] != others
    places, others = places[differs], others[differs]
    changes = np.zeros((length, size))
    before = score(letters[None])[0]
    step = max(1, at_once // length)
    for start in range(0, len(places), step):
        part = slice(start, start + step)
        mutants = np.repeat(letters[None], len(places[part]), axis=0)
        mutants[np.arange(len(mutants)), places[part]] = others[part]
        changes[places[part], others[part]] = score(mutants) - before
    return changes


def lost(changes: FloatArray, letters: Letters) -> FloatArray:
    """Return the mean loss of score over all other letters at each position, (L,).

    Args:
        changes: Result of `mutagenesis`, (L, size).
        letters: Letter indices of the sequence, (L,); for an unknown one all letters are others.
    """
    rivals = changes.shape[1] - (letters < changes.shape[1])
    return np.asarray(-changes.sum(axis=1) / rivals)
