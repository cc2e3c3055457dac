"""The setting of a run: what plan, data and seed fix before any module learns."""

from __future__ import annotations

from functools import cached_property

import numpy as np

from codonbench.config import RunPlan
from codonbench.contracts import Dataset
from codonbench.lesson import Brief, IntArray
from codonbench.probes import BatchClock, frame_positions
from codonbench.relabelling import Relabelling, hidden_generator, relabelling
from codonbench.seeding import chance_of
from codonbench.streams import Stream


class Setting:
    """What a plan and a dataset fix before any model is looked at.

    Attributes:
        plan, dataset: What was asked, on what; the labels are this run's, where it is a control.
        labels: The seed's permutation of class ids.
        hidden: Each input's class id as the learner is told it, shape (N,).
        clock: Where batches end.
        frames, frame_set: Where the frames of the paper's instrument fall.
    """

    def __init__(self, plan: RunPlan, dataset: Dataset, batch_size: int) -> None:
        self.plan = plan
        self.dataset = dataset = dataset.for_run(hidden_generator(plan.salt, plan.seed, "control"))
        self.labels: Relabelling = relabelling(len(dataset.spec.classes), plan.salt, plan.seed)
        self.hidden: IntArray = self.labels.hide(dataset.labels)
        self.clock = BatchClock(batch_size, dataset.spec.train_size, plan.budget_pairs)
        self.frames = frame_positions(self.clock, dataset.spec)
        self.frame_set = frozenset(self.frames)

    @cached_property
    def stream(self) -> Stream:
        """The seed's pairs, drawn when first asked for, which takes a moment."""
        return Stream(self.dataset, self.plan.seed)

    def brief(self) -> Brief:
        """Return what a learner is told before the first pair."""
        spec, plan = self.dataset.spec, self.plan
        weights = spec.class_weights
        return Brief(
            view=spec.view(),
            inputs=self.dataset.inputs,
            probe=self.dataset.probe,
            class_weights=None
            if weights is None
            else self.labels.hide_columns(np.asarray(weights, dtype=np.float64)),
            clock=self.clock,
            chance=chance_of(plan.seed),
            device=plan.device,
            threads=plan.threads,
            engine=plan.engine,
        )
