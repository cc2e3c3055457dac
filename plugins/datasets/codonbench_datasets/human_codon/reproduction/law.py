"""The instrument's own law: by which look a model that knows everything is done.

Such a model is done as soon as each codon has been in one of the batches looked at. With pairs
drawn independently, codon i with probability p_i, N draws hold all of them with probability

    P(N) = N! [t^N] prod_i (exp(p_i t) - 1)

(Flajolet, Gardy and Thimonier, Discrete Applied Mathematics 39 (1992) 207-229). The coefficient is
Cauchy's integral over the circle |t| = N, which a sum over evenly spaced points gives to rounding.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from codonbench.contracts.run_record import DatasetFacts
from codonbench_datasets.human_codon.orfs import (
    CODONS,
    expected_frequencies,
    human_usage,
    orf_lengths,
)
from codonbench_datasets.human_codon.reproduction.publications import Instrument

Frequencies = npt.NDArray[np.float64]


def all_drawn(frequencies: Frequencies, n: int) -> float:
    """Return the probability that `n` independent draws hold every item.

    Two items at 1/2 each: 1 - 2 (1/2)^n, so 1/2 for two draws.

    Args:
        frequencies: Of each item, summing to 1, shape (P,).
        n: At least 1.
    """
    # The terms aside from the wanted one lie multiples of the number of points away, where a
    # Poisson variable of mean n has next to no probability.
    points = 64 + math.ceil(12 * math.sqrt(n))
    z = n * np.exp(2j * np.pi * np.arange(points) / points)
    factors = np.log(-np.expm1(-np.outer(z, frequencies))).sum(axis=1)  # their product overflows
    terms = np.exp(z - n - n * np.log(z / n) + factors)
    scale = math.exp(math.lgamma(n + 1) + n - n * math.log(n))
    return float(np.clip(scale * terms.mean().real, 0.0, 1.0))


def done_by_look(
    frequencies: Frequencies, instrument: Instrument, epochs: int
) -> tuple[float, ...]:
    """Return how likely it is that a model that knows everything is done by each look, from 0.

    Args:
        frequencies: Of the codons, shape (64,).
        instrument: How many inputs a look sees, and how many looks there are in an epoch.
        epochs: Of the budget.
    """
    looks = range(1, 1 + epochs * len(instrument.frames))
    return 0.0, *(all_drawn(frequencies, look * instrument.frame_inputs) for look in looks)


def codon_frequencies(dataset: DatasetFacts, mean_length: int | None) -> Frequencies | None:
    """Return the codons' frequencies in recorded data, shape (64,); None where they are not known.

    They are known of the file that `HumanUsage` was measured on, and of the ORFs simulated by it.

    Args:
        dataset: Of a record.
        mean_length: The task option.
    """
    usage = human_usage()
    if dataset.simulated:
        return expected_frequencies(usage, orf_lengths(usage, mean_length))
    if dataset.provenance.get("file_sha256") != usage.source_sha256:
        return None
    counts = np.array([usage.counts[codon] for codon in CODONS], dtype=np.float64)
    return np.asarray(counts / counts.sum())
