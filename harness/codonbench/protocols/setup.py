"""What a run's spec, its data and its seed fix before any module is trained."""

from __future__ import annotations

from functools import cached_property

import numpy as np
import numpy.typing as npt

from codonbench.contracts import Dataset, Outputs, Targets
from codonbench.contracts.run_spec import RunSpec
from codonbench.data.relabelling import Relabelling, hidden_generator, relabelling
from codonbench.data.stream import BatchClock, Stream
from codonbench.protocols.base import Protocol

IntArray = npt.NDArray[np.int64]


class RunSetup:
    """What is fixed about one run.

    Args:
        run_spec: What was asked.
        dataset: On what.
        protocol: By which protocol.
        batch_size: Pairs in a full batch.

    Attributes:
        dataset: The targets are this run's, where it is a control.
        clock: Where batches end.
        stream: The seed's split and its pairs.
        labels: The seed's permutation of class ids; None where there is none.
        hidden: Each item's target as the model is told it, shape (N, ...).
    """

    def __init__(
        self, run_spec: RunSpec, dataset: Dataset, protocol: Protocol, batch_size: int
    ) -> None:
        self.run_spec = run_spec
        self.protocol = protocol
        salt, seed = run_spec.salt, run_spec.seed
        self.dataset = dataset = dataset.for_run(hidden_generator(salt, seed, "control"))
        self.stream = Stream(dataset, seed)
        self._batch_size = batch_size
        self.labels: Relabelling | None = None
        self.hidden: Targets = dataset.targets
        if not protocol.tells_targets:
            self.labels = relabelling(len(dataset.spec.target.names), salt, seed)
            self.hidden = self.labels.hide(dataset.targets)

    @cached_property
    def clock(self) -> BatchClock:
        """Where batches end; the split is drawn for it."""
        return BatchClock(self._batch_size, self.epoch_pairs, self.run_spec.budget_pairs)

    @property
    def epoch_pairs(self) -> int:
        """Pairs in one epoch."""
        if self.dataset.spec.evaluation is not None:  # nothing is cut from training
            return self.dataset.spec.train_size
        return self.stream.epoch_pairs

    def evaluated(self) -> dict[str, IntArray]:
        """Return the items of each split that a model may be asked about, by its name."""
        if self.dataset.spec.evaluation is not None:
            return {"evaluation": self.dataset.evaluation}
        split = self.stream.split
        return {"validation": split.validation, "test": split.test}

    @property
    def class_weights(self) -> npt.NDArray[np.float64] | None:
        """Loss weight of each class id as the model knows it, shape (C,); None for none."""
        weights = self.dataset.spec.target.class_weights
        if weights is None:
            return None
        values = np.asarray(weights, dtype=np.float64)
        return values if self.labels is None else self.labels.hide_columns(values)

    def revealed(self, outputs: Outputs) -> Outputs:
        """Return outputs (..., K) with their columns in true order."""
        return outputs if self.labels is None else self.labels.reveal_columns(outputs)
