"""Motifs of first-layer filters as probability matrices, and their similarity to known motifs."""

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
"""Threshold of a site, as a share of the filter's highest score (Alipanahi et al. 2015, Kelley et
al. 2016)."""

FEWEST = 10
"""Fewest sites for a matrix."""

SIMILAR = 0.8
"""Least `similarity` of a motif to a known one for it to count as recovered."""

OVERLAP = 5
"""Least overlap of two matrices, in positions."""


class Motif(Frozen):
    """The motif of one filter.

    Attributes:
        filter: Index of the filter.
        sites: Number of sites.
        probabilities: Probability of each letter at each position, (width, letters).
        known: Name of the most similar known motif; empty if none is known.
        similarity: Similarity to that motif.
    """

    filter: int
    sites: int
    probabilities: tuple[tuple[float, ...], ...]
    known: str = ""
    similarity: float = 0.0

    @computed_field  # type: ignore[prop-decorator]
    @property
    def bits(self) -> float:
        """Total information in bits, relative to uniform letters."""
        return float(information(np.asarray(self.probabilities)).sum())


def information(probabilities: FloatArray) -> FloatArray:
    """Return the information at each position in bits, (width,): log2(letters) minus entropy."""
    entropy = -(probabilities * np.log2(np.maximum(probabilities, 1e-12))).sum(axis=1)
    return np.asarray(np.log2(probabilities.shape[1]) - entropy)


def consensus(probabilities: FloatArray, alphabet: str) -> str:
    """Return the letter with a probability above 0.5 at each position, else a dot."""
    best = probabilities.argmax(axis=1)
    sure = probabilities.max(axis=1) > 0.5
    return "".join(alphabet[b] if s else "." for b, s in zip(best, sure, strict=True))


def first_filters(module: nn.Module, channels: int) -> nn.Conv1d | None:
    """Return the first convolution over one-hot letters wider than one; None if there is none.

    Args:
        module: The module to search.
        channels: Channels of a one-hot letter.
    """
    for part in module.modules():
        if not isinstance(part, nn.Conv1d) or part.kernel_size[0] == 1 or part.groups > 1:
            continue
        if part.in_channels == channels:
            return part
    return None


@torch.no_grad()
def motifs_of(filters: nn.Conv1d, letters: Tensor) -> list[Motif]:
    """Return the motifs of filters with enough sites, most sites first.

    Args:
        filters: Convolution over letters.
        letters: One-hot letters, (N, L, C).
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
    """Return the similarity of a motif to a known one, -1 to 1: the maximum over all offsets.

    At each offset with an overlap of `OVERLAP` positions or all of the shorter motif, it is the
    correlation of probabilities minus uniform ones. Positions of the known motif outside the
    overlap count as missed.

    Args:
        these: Probabilities of the motif, (width, letters).
        those: Probabilities of the known motif, (width, letters).
    """
    least, best = min(OVERLAP, len(these), len(those)), -1.0
    for shift in range(least - len(those), len(these) - least + 1):
        a = these[max(0, shift) : shift + len(those)]
        b = those[max(0, -shift) : max(0, -shift) + len(a)]
        x, y = (a - 1 / a.shape[1]).ravel(), (b - 1 / b.shape[1]).ravel()
        # The norm of all of `those`: a match of one end is not enough
        size = float(np.linalg.norm(x) * np.linalg.norm(those - 1 / those.shape[1]))
        best = max(best, float(x @ y) / size if size else 0.0)
    return best


def beside_known(
    motifs: list[Motif], known: Mapping[str, FloatArray], *, both_strands: bool
) -> list[Motif]:
    """Return motifs with the most similar known motif of each, most similar first.

    Args:
        motifs: Motifs of filters.
        known: Probabilities of known motifs, (width, letters), by name.
        both_strands: Whether to compare reverse complements, too; the alphabet must then be such
            that reversing it gives complements.
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
