"""How many pairs it takes to be shown every input once: the coupon collector's law.

The coupon collector with unequal frequencies. Let pairs arrive as a Poisson process of one a
unit of time, input i with probability p_i. The inputs then arrive independently, and

    F(t) = P(all seen by t) = prod_i (1 - exp(-p_i t)),    E[T] = integral of (1 - F) over t >= 0

T is the sum of N waiting times of mean 1, where N counts the pairs and does not depend on them.
So E[T] = E[N] exactly (Wald), and Var[T] = Var[N] + E[N]: the mean is the discrete mean itself,
while the quantiles are those of T, wider than those of N by little where E[N] is large beside 1.

Pairs are taken to be drawn independently. A real stream draws whole reading frames, and its
shuffled epochs repeat one sample; each seed's own ``all_seen`` assumes nothing.

Source: Flajolet, Gardy and Thimonier, "Birthday paradox, coupon collectors, caching algorithms
and self-organizing search", Discrete Applied Mathematics 39 (1992), 207-229.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from codonbench.contracts import ModelInfo, Reference, TaskSpec
from codonbench.errors import DataError
from codonbench_models.presets import evaluation_set, ours

Frequencies = npt.NDArray[np.float64]

QUANTILES = {"bound_q05": 0.05, "bound_q50": 0.5, "bound_q95": 0.95}


def expected_pairs(frequencies: Frequencies) -> float:
    """Return the mean number of draws until every input has been drawn.

    Two inputs at 1/2 each: the first draw is new, then a coin is tossed until the other side
    falls, so 1 + 2 = 3. Sixty-four at 1/64: 64 (1 + 1/2 + ... + 1/64) = 303.6.

    Args:
        frequencies: Probability of each input (P,); what they leave of 1 is drawn in vain.

    Returns:
        The mean; infinity where an input is never drawn.

    Raises:
        DataError: Not probabilities.
    """
    from scipy.integrate import quad  # here, because SciPy takes half a second to load

    p = _checked(frequencies)
    if p.min() == 0:
        return math.inf

    # With t = exp(u) the integrand is one smooth hump a few units wide, however unequal p is.
    # Above t_max what is left of 1 - F is below exp(-40); below t_max / 1e16 lies 1e-16 of it.
    log_t_max = math.log((math.log(len(p)) + 40) / p.min())

    def integrand(u: float) -> float:
        t = math.exp(u)
        return -math.expm1(_log_all_seen(p, t)) * t

    mean, _ = quad(integrand, log_t_max - 37, log_t_max, epsabs=0, epsrel=1e-10, limit=500)
    return float(mean)


def quantile_pairs(frequencies: Frequencies, q: float) -> float:
    """Return the t by which, with probability `q`, every input has been drawn: F(t) = q.

    One input at frequency p: ``-ln(1 - q) / p``.

    Args:
        frequencies: Probability of each input (P,).
        q: Strictly between 0 and 1.

    Returns:
        The quantile of the Poissonised time; infinity where an input is never drawn.

    Raises:
        DataError: Not probabilities.
    """
    from scipy.optimize import brentq  # here, as above

    p = _checked(frequencies)
    if not 0 < q < 1:
        raise DataError(f"a quantile lies strictly between 0 and 1, not at {q}")
    if p.min() == 0:
        return math.inf
    # F(t) <= 1 - exp(-p_min t) < p_min t, and F(t) >= 1 - P exp(-p_min t): so q is between.
    low = q / p.min()
    high = math.log(2 * len(p) / (1 - q)) / p.min()
    return float(brentq(lambda t: _log_all_seen(p, t) - math.log(q), low, high, rtol=1e-12))


def _log_all_seen(p: Frequencies, t: float) -> float:
    """Return log F(t), for t > 0."""
    return float(np.log1p(-np.exp(-p * t)).sum())


def _checked(frequencies: Frequencies) -> Frequencies:
    """Return `frequencies` as float64 if they can be probabilities of distinct inputs."""
    p = np.asarray(frequencies, dtype=np.float64)
    if p.ndim != 1 or p.size == 0:
        raise DataError(f"frequencies must be a list of one number for each input, not {p.shape}")
    if not (np.isfinite(p).all() and p.min() >= 0 and p.sum() <= 1 + 1e-9):
        raise DataError(
            "frequencies must be finite, not negative and sum to at most 1; "
            f"given smallest {p.min()}, sum {p.sum()}"
        )
    return p


class Bound(Reference):
    """The mean and quantiles of ``all_seen`` over streams, from the task's frequencies alone.

    ``pairs_consumed`` is the median, `bound_q50`, because it stands among medians over seeds;
    the mean is `bound_mean`. No learner that must see an input to know it
    beats it on average; one that guesses or exploits structure in the inputs can.
    """

    info: ClassVar[ModelInfo] = ours(
        "bound",
        "Closed-form lower bound: pairs until every input has been seen, computed",
        role="reference",
    )

    def values(self, task: TaskSpec, frequencies: Frequencies | None) -> Mapping[str, float | None]:
        """Return mean and quantiles in pairs.

        Args:
            task: The task; the bound depends on nothing but `frequencies`.
            frequencies: Probability of each probe input (P,), or None where unknown.

        Returns:
            ``bound_mean``, ``bound_q05``, ``bound_q50``, ``bound_q95``, and ``pairs_consumed``,
            which is the median; all None where frequencies are unknown, one is zero, or the task's
            probe set is a sample of inputs that cannot be enumerated.
        """
        evaluation_set(task, self.info.name)
        if frequencies is None or not task.input.enumerable:
            return dict.fromkeys(("pairs_consumed", "bound_mean", *QUANTILES))
        mean = _finite(expected_pairs(frequencies))
        quantiles = {name: _finite(quantile_pairs(frequencies, q)) for name, q in QUANTILES.items()}
        return {"pairs_consumed": quantiles["bound_q50"], "bound_mean": mean, **quantiles}


def _finite(value: float) -> float | None:
    """Return `value`, or None for never."""
    return value if math.isfinite(value) else None
