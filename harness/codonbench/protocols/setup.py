"""The setting of a run: what spec, data and seed fix before any module learns."""

from __future__ import annotations

from functools import cached_property

import numpy as np

from codonbench.contracts import Dataset
from codonbench.contracts.run_spec import RunSpec
from codonbench.data.relabelling import Relabelling, hidden_generator, relabelling
from codonbench.data.stream import Stream
from codonbench.protocols.schedule import BatchClock, frame_positions
from codonbench.training.seeding import chance_of
from codonbench.training.state import Brief, IntArray


class Setting:
    """What a spec and a dataset fix before any model is looked at.

    Attributes:
        run_spec, dataset: What was asked, on what; the labels are this run's, where it is a control.
        labels: The seed's permutation of class ids.
        hidden: Each input's class id as the learner is told it, shape (N,).
        clock: Where batches end.
        frames, frame_set: Where the frames of the paper's instrument fall.
    """

    def __init__(self, run_spec: RunSpec, dataset: Dataset, batch_size: int) -> None:
        self.run_spec = run_spec
        self.dataset = dataset = dataset.for_run(
            hidden_generator(run_spec.salt, run_spec.seed, "control")
        )
        self.labels: Relabelling = relabelling(
            len(dataset.spec.classes), run_spec.salt, run_spec.seed
        )
        self.hidden: IntArray = self.labels.hide(dataset.labels)
        self.clock = BatchClock(batch_size, dataset.spec.train_size, run_spec.budget_pairs)
        self.frames = frame_positions(self.clock, dataset.spec)
        self.frame_set = frozenset(self.frames)

    @cached_property
    def stream(self) -> Stream:
        """The seed's pairs, drawn when first asked for, which takes a moment."""
        return Stream(self.dataset, self.run_spec.seed)

    def brief(self) -> Brief:
        """Return what a learner is told before the first pair."""
        spec, run_spec = self.dataset.spec, self.run_spec
        weights = spec.class_weights
        return Brief(
            view=spec.view(),
            inputs=self.dataset.inputs,
            probe=self.dataset.probe,
            class_weights=None
            if weights is None
            else self.labels.hide_columns(np.asarray(weights, dtype=np.float64)),
            clock=self.clock,
            chance=chance_of(run_spec.seed),
            device=run_spec.device,
            threads=run_spec.threads,
            engine=run_spec.engine,
        )
