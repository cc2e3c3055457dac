"""Class ids permuted, so that a table learned elsewhere is worth nothing here.

An honest learner cannot tell; one with the answers built in fails. The permutation derives from
(salt, seed). The salt is public by default and written into every record.
"""

import hashlib
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from codonbench.contracts import Targets

IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Relabelling:
    """A permutation of C class ids.

    Attributes:
        forward: The id a learner sees for each true class, shape (C,).
    """

    forward: IntArray

    def hide(self, targets: Targets) -> Targets:
        """Return the ids a model sees for true class ids, any shape."""
        return self.forward[targets.astype(np.int64)]

    def reveal_columns(self, logits: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Return logits (..., C) with their columns in true class order."""
        return logits[..., self.forward]

    def hide_columns(self, values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Return per-class values (..., C), given in true order, in the learner's order."""
        return values[..., np.argsort(self.forward)]


def relabelling(n_classes: int, salt: str, seed: int) -> Relabelling:
    """Return the permutation of `n_classes` class ids that (salt, seed) gives."""
    rng = hidden_generator(salt, seed, str(n_classes))
    return Relabelling(forward=rng.permutation(n_classes).astype(np.int64))


def hidden_generator(salt: str, seed: int, purpose: str) -> np.random.Generator:
    """Return a generator that nobody can foresee who does not know the salt."""
    digest = hashlib.sha256(f"{salt}\0{seed}\0{purpose}".encode()).digest()
    return np.random.default_rng(np.frombuffer(digest, dtype=np.uint32))
