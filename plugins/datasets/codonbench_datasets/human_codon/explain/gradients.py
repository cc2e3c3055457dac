"""What each letter is worth, by integrated gradients, for models that are handed letters.

M. Sundararajan, A. Taly and Q. Yan, Axiomatic attribution for deep networks, ICML 2017, as captum
computes them: the gradient along the straight way from a baseline to the input, times that way. The
baseline gives each letter of each position the same weight (0.25 of each nucleotide), which favours
none; a network has never been shown such an input, and what it makes of the way there is part of
the answer. That is the reason to put `substitution` beside it, which asks about real inputs only.
"""

from __future__ import annotations

from copy import deepcopy

import numpy as np
import torch
from captum.attr import IntegratedGradients
from torch import Tensor, nn

from codonbench_datasets.human_codon.explain.substitution import FloatArray, IntArray

STEPS = 256


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
