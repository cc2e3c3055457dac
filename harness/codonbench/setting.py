"""The setting of a run: what plan, data and seed fix before any module learns."""

from __future__ import annotations

import numpy as np
import torch

from codonbench.config import RunPlan
from codonbench.contracts import BatchLearner, Dataset, Model, ModelConfig, required_right
from codonbench.encodings import make_encoder
from codonbench.probes import BatchClock, ProbeSchedule, frame_positions
from codonbench.relabelling import Relabelling, hidden_generator, relabelling
from codonbench.stopping import Watcher
from codonbench.streams import Stream
from codonbench.training import Course, Lesson, OnProbe, Probes


class Setting:
    """What a plan and a dataset fix before any model is looked at.

    Attributes:
        plan, dataset: What was asked, on what; the labels are this run's, where it is a control.
        labels: The seed's permutation of class ids.
        stream: The seed's pairs.
        clock: Where batches end.
        frames: Where the frames of the paper's instrument fall.
    """

    def __init__(self, plan: RunPlan, dataset: Dataset, batch_size: int) -> None:
        self.plan = plan
        self.dataset = dataset = dataset.for_run(hidden_generator(plan.salt, plan.seed, "control"))
        self.labels: Relabelling = relabelling(len(dataset.spec.classes), plan.salt, plan.seed)
        self.stream = Stream(dataset, plan.seed)
        self.clock = BatchClock(batch_size, self.stream.epoch_pairs, plan.budget_pairs)
        self.frames = frame_positions(self.clock, dataset.spec)


def make_lesson(
    plugin: Model, config: ModelConfig, setting: Setting, dtype: torch.dtype = torch.float32
) -> Lesson:
    """Put module, optimiser, encoded inputs and hidden labels on the device."""
    dataset, labels = setting.dataset, setting.labels
    view = dataset.spec.view()
    device = torch.device(setting.plan.device)
    module = plugin.build(view).to(device)
    if dtype != torch.float32:
        module = module.to(dtype)
    weights = dataset.spec.class_weights
    return Lesson(
        module=module,
        optimizer=None if isinstance(module, BatchLearner) else plugin.configure_optimizer(module),
        encode=make_encoder(plugin.encoding, view, dataset.inputs, device, dtype),
        labels=torch.as_tensor(labels.hide(dataset.labels), device=device),
        n_classes=view.n_classes,
        probe=torch.as_tensor(dataset.probe, device=device),
        fan=_fan(dataset),
        class_weights=None
        if weights is None
        else torch.as_tensor(labels.hide_columns(np.asarray(weights)), dtype=dtype, device=device),
        weighting=config.class_weights,
        batch_size=config.batch_size,
    )


def _fan(dataset: Dataset) -> int | None:
    """Return the alphabet's size where the inputs are every word in lexicographic order."""
    size, length = len(dataset.spec.alphabet), dataset.spec.length
    if size**length != len(dataset.inputs):
        return None
    words = np.indices((size,) * length).reshape(length, -1).T
    return size if np.array_equal(words, dataset.inputs) else None


def make_course(lesson: Lesson, setting: Setting, probes: Probes, on_probe: OnProbe) -> Course:
    """Return one seed's way through a lesson."""
    spec = setting.dataset.spec
    hidden = setting.labels.hide(setting.dataset.labels)[setting.dataset.probe]
    return Course(
        lesson,
        setting.stream,
        setting.clock,
        ProbeSchedule(setting.clock, spec, setting.stream.all_seen),
        Watcher(hidden, required_right(spec), setting.plan.stop),
        probes,
        on_probe,
        frozenset(setting.frames),
    )
