"""Motifs that a first layer's filters look for, as matrices, and how like known ones they are."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from pydantic import computed_field
from torch import Tensor, nn

from codonbench.contracts import Frozen

FloatArray = npt.NDArray[np.float64]

ACTIVE = 0.5
"""Of a filter's highest score, from which on a site counts: as in Alipanahi et al. 2015 and Kelley
et al. 2016."""

FEWEST = 10
"""Sites of a filter that has a matrix."""

SIMILAR = 0.8
"""From which on a filter's motif is said to be a known one; see `similarity`."""

OVERLAP = 5
"""Places, at least, at which two matrices are compared."""


class Motif(Frozen):
    """What one filter looks for.

    Attributes:
        filter: Its number, from 0.
        sites: How many there are.
        probabilities: Of each letter at each place, (width, letters).
        known: The motif of those known that it is most like; empty where none is.
        similarity: Correlation with that.
    """

    filter: int
    sites: int
    probabilities: tuple[tuple[float, ...], ...]
    known: str = ""
    similarity: float = 0.0

    @computed_field  # type: ignore[prop-decorator]
    @property
    def bits(self) -> float:
        """Information of all places, in bits, against letters drawn evenly."""
        return float(information(np.asarray(self.probabilities)).sum())


def information(probabilities: FloatArray) -> FloatArray:
    """Return the information of each place in bits, (width,): log2 of the letters less entropy."""
    entropy = -(probabilities * np.log2(np.maximum(probabilities, 1e-12))).sum(axis=1)
    return np.asarray(np.log2(probabilities.shape[1]) - entropy)


def consensus(probabilities: FloatArray, alphabet: str) -> str:
    """Return each place's letter where it has more than half, else a dot."""
    best = probabilities.argmax(axis=1)
    sure = probabilities.max(axis=1) > 0.5
    return "".join(alphabet[b] if s else "." for b, s in zip(best, sure, strict=True))


def first_filters(module: nn.Module, channels: int) -> nn.Conv1d | None:
    """Return the first convolution over letters that sees more than one; None where there is none.

    Args:
        module: Where to look.
        channels: Of a letter's one-hot.
    """
    for part in module.modules():
        if not isinstance(part, nn.Conv1d) or part.kernel_size[0] == 1 or part.groups > 1:
            continue
        if part.in_channels == channels:
            return part
    return None


@torch.no_grad()
def motifs_of(filters: nn.Conv1d, letters: Tensor) -> list[Motif]:
    """Return the motif of each filter that has one, most sites first.

    Args:
        filters: Over letters.
        letters: One-hot, (N, L, C).
    """
    scores = F.conv1d(letters.transpose(1, 2), filters.weight, dilation=filters.dilation)
    width, dilation = filters.kernel_size[0], filters.dilation[0]
    found = []
    for number, own in enumerate(scores.transpose(0, 1)):
        item, place = torch.nonzero((own >= ACTIVE * own.max()) & (own > 0), as_tuple=True)
        if len(item) < FEWEST:
            continue
        places = place[:, None] + dilation * torch.arange(width)
        counts = letters[item[:, None], places].sum(0).double() + 0.25
        matrix = (counts / counts.sum(1, keepdim=True)).tolist()
        found.append(Motif(filter=number, sites=len(item), probabilities=tuple(map(tuple, matrix))))
    return sorted(found, key=lambda motif: -motif.sites)


def similarity(these: FloatArray, those: FloatArray) -> float:
    """Return how like a known motif one is, -1 to 1, over all ways to lay one beside the other.

    The correlation of what each probability is above an even one, at the places that both have,
    `OVERLAP` or all of the shorter one at least; places of the known one that are left count as
    missed.

    Args:
        these: Probabilities of the motif found, (width, letters).
        those: Of the known one.
    """
    least, best = min(OVERLAP, len(these), len(those)), -1.0
    for shift in range(least - len(those), len(these) - least + 1):
        a = these[max(0, shift) : shift + len(those)]
        b = those[max(0, -shift) : max(0, -shift) + len(a)]
        x, y = (a - 1 / a.shape[1]).ravel(), (b - 1 / b.shape[1]).ravel()
        # What the second has beyond the first counts as missed, so that a corner is not enough
        size = float(np.linalg.norm(x) * np.linalg.norm(those - 1 / those.shape[1]))
        best = max(best, float(x @ y) / size if size else 0.0)
    return best


def beside_known(
    motifs: list[Motif], known: Mapping[str, FloatArray], *, both_strands: bool
) -> list[Motif]:
    """Return motifs with the known one that each is most like, those most like one first.

    Args:
        motifs: Found.
        known: Probability of each letter at each place, (width, letters), by name.
        both_strands: Whether a motif may stand as its reverse complement, letters being such that
            the complement of the first is the last.
    """
    if not known:
        return motifs
    beside = []
    for motif in motifs:
        own = np.asarray(motif.probabilities)
        near = {
            name: max(
                similarity(own, each)
                for each in ([matrix, matrix[::-1, ::-1]] if both_strands else [matrix])
            )
            for name, matrix in known.items()
        }
        most = max(near, key=near.__getitem__)
        beside.append(motif.model_copy(update={"known": most, "similarity": near[most]}))
    return sorted(beside, key=lambda motif: -motif.similarity)
