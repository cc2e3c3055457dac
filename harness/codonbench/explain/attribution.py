"""What each letter of a sequence adds to what a model says, by several methods.

Saliency: the gradient at the letter that is there (Simonyan, Vedaldi and Zisserman 2013, arXiv
1312.6034, times the input). Integrated gradients: Sundararajan, Taly and Yan, ICML 2017. DeepLIFT:
Shrikumar, Greenside and Kundaje, ICML 2017, with the rescale rule. These three are captum's; the
latter two go from a baseline of each letter in equal parts, and their values should add up to the
difference. Mutagenesis: each letter replaced by each other in turn, many at once.
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
"""Points of the rule by which integrated gradients go from the baseline to the sequence."""

WORST = 0.05
"""Of the difference from the baseline that values may miss, for a method to be shown."""


class AskedOutput(nn.Module):
    """One number of what a module says of one sequence: an output, or a class's advantage.

    Args:
        module: Maps one-hot letters to outputs (B, K).
        column: Which output.
        advantage: Whether the mean of the other outputs is taken off, as of classes, whose logits
            mean nothing apart.
        mask: What is handed beside the letters, (1, L, 1); None where nothing is.
    """

    def __init__(
        self, module: nn.Module, column: int, *, advantage: bool, mask: Tensor | None = None
    ) -> None:
        super().__init__()
        self.module, self.column, self.advantage, self.mask = module, column, advantage, mask

    def forward(self, letters: Tensor) -> Tensor:
        """Return the number for each of one-hot letters (B, L, C): (B,)."""
        if self.mask is not None:
            letters = torch.cat([letters, self.mask.expand(len(letters), -1, -1)], dim=2)
        return chosen(self.module(letters), self.column, advantage=self.advantage)


def chosen(outputs: Tensor, column: int, *, advantage: bool) -> Tensor:
    """Return one output (B,) of (B, K), less the mean of the others where `advantage`."""
    own = outputs[:, column]
    if not advantage or outputs.shape[1] < 2:
        return own
    return own - (outputs.sum(1) - own) / (outputs.shape[1] - 1)


def saliency(asked: AskedOutput, letters: Tensor) -> FloatArray:
    """Return the gradient at each letter that is there, (L,).

    Args:
        asked: What is asked about.
        letters: One-hot, (1, L, C).
    """
    letters = letters.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(asked(letters).sum(), letters)
    return _by_place(gradient * letters)


def integrated_gradients(asked: AskedOutput, letters: Tensor) -> tuple[FloatArray, float]:
    """Return what each letter adds, (L,), and which share of the difference these values miss."""
    return _from_baseline(IntegratedGradients(asked), asked, letters, n_steps=STEPS)


def deep_lift(asked: AskedOutput, letters: Tensor) -> tuple[FloatArray, float]:
    """Return what each letter adds, (L,), and which share of the difference these values miss.

    Its rules know the activations and poolings that are modules of their own. What else is not
    linear, such as a maximum in a function or a gate, shows in what the values miss.

    Raises:
        RuntimeError, AssertionError: captum cannot follow the module.
    """
    exactly = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(False)  # its poolings have no other way on some devices
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # captum's, of the hooks that it sets
            return _from_baseline(DeepLift(asked), asked, letters)
    finally:
        torch.use_deterministic_algorithms(exactly)


def _from_baseline(
    method: Any, asked: AskedOutput, letters: Tensor, **more: Any
) -> tuple[FloatArray, float]:
    baseline = torch.full_like(letters, 1 / letters.shape[2])
    values = method.attribute(letters.clone(), baselines=baseline, **more).detach()
    with torch.no_grad():
        whole = float(asked(letters) - asked(baseline))
    return _by_place(values), abs(float(values.sum()) - whole) / max(abs(whole), 1e-6)


def _by_place(values: Tensor) -> FloatArray:
    return np.asarray(values.detach().double().sum(2)[0].numpy())


AT_ONCE = 1 << 13
"""Letters of mutants that a model is handed at a time."""


def mutagenesis(
    score: Callable[[Letters], FloatArray], letters: Letters, size: int, at_once: int = AT_ONCE
) -> FloatArray:
    """Return how a score changes with each letter at each place, (L, size); 0 for the one there.

    Args:
        score: Of sequences (n, L), as letter indices: (n,).
        letters: Of the sequence, (L,).
        size: Letters of the alphabet.
        at_once: Letters that `score` is handed at a time, but one sequence at least.
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
    """Return what the score loses, on average, where a place has another letter: (L,).

    Args:
        changes: Of `mutagenesis`, (L, size).
        letters: Of the sequence, (L,); a place whose letter is unknown loses against all.
    """
    rivals = changes.shape[1] - (letters < changes.shape[1])
    return np.asarray(-changes.sum(axis=1) / rivals)
