"""The setting of one run, and what happens in it: a module learns, or a row is computed."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch

from codonbench.config import RunPlan
from codonbench.contracts import (
    BatchLearner,
    Dataset,
    Model,
    ModelConfig,
    Reference,
    Trace,
    TraceFacts,
    required_right,
)
from codonbench.encodings import make_encoder
from codonbench.errors import UsageError
from codonbench.probes import WINDOW_PAIRS, BatchClock, ProbeSchedule, frame_positions
from codonbench.records import Status
from codonbench.relabelling import Relabelling, relabelling
from codonbench.seeding import seeded_globals
from codonbench.stopping import Watcher
from codonbench.streams import Stream
from codonbench.training import Course, Lesson, OnProbe, Probes, train


class Setting:
    """What a plan and a dataset fix before any model is looked at.

    Attributes:
        plan, dataset: What was asked, on what.
        labels: The seed's permutation of class ids.
        stream: The seed's pairs.
        clock: Where batches end.
        frames: Where the frames of the paper's instrument fall.
    """

    def __init__(self, plan: RunPlan, dataset: Dataset, batch_size: int) -> None:
        self.plan = plan
        self.dataset = dataset
        self.labels: Relabelling = relabelling(len(dataset.spec.classes), plan.salt, plan.seed)
        self.stream = Stream(dataset, plan.seed)
        self.clock = BatchClock(batch_size, self.stream.epoch_pairs, plan.budget_pairs)
        self.frames = frame_positions(self.clock, dataset.spec)


@dataclass
class Lab:
    """What a run leaves behind.

    Attributes:
        probes: What was seen at each probe, in the learner's labels.
        module: What was trained; None for computed rows and where building it failed.
        status, error: How it ended.
        build_seconds: Time to build the module and its optimiser.
        train_seconds: Time of the training loop without its probes.
        known: Metric values that a computed row knows in closed form; None where one was trained.
    """

    probes: Probes
    module: torch.nn.Module | None = None
    status: Status = "done"
    error: str | None = None
    build_seconds: float = 0.0
    train_seconds: float = 0.0
    known: Mapping[str, float | None] | None = None


def learn(model: type[Model], config: ModelConfig, setting: Setting, on_probe: OnProbe) -> Lab:
    """Build the model's module and train it, under the seed's own chance.

    An exception of the plugin ends in status ``error``, Ctrl-C in ``interrupted``; what was
    seen until then is kept.

    Raises:
        UsageError: The model cannot serve this task.
    """
    lab = Lab(Probes())
    dataset = setting.dataset
    hidden = setting.labels.hide(dataset.labels)
    needed = required_right(dataset.spec)
    watcher = Watcher(hidden[dataset.probe], needed, setting.plan.stop)
    schedule = ProbeSchedule(setting.clock, dataset.spec, setting.stream.all_seen)
    started = time.perf_counter()
    with seeded_globals(setting.plan.seed):
        try:
            lesson = make_lesson(model(config), config, setting)
            lab.module = lesson.module
            lab.build_seconds = time.perf_counter() - started
            course = Course(
                lesson,
                setting.stream,
                setting.clock,
                schedule,
                watcher,
                lab.probes,
                on_probe,
                frozenset(setting.frames),
            )
            train(course)
        except KeyboardInterrupt:
            lab.status = "interrupted"
        except UsageError:  # the model cannot serve this task: what was asked is at fault
            raise
        except (Exception, SystemExit) as error:  # the plugin's own: the record's last words
            lab.status, lab.error = "error", _last_words(error)
    lab.train_seconds = time.perf_counter() - started - lab.build_seconds - lab.probes.seconds
    if lab.status == "done" and not watcher.finite:
        lab.status = "diverged"
    return lab


def make_lesson(plugin: Model, config: ModelConfig, setting: Setting) -> Lesson:
    """Put module, optimiser, encoded inputs and hidden labels on the device."""
    dataset, labels = setting.dataset, setting.labels
    view = dataset.spec.view()
    device = torch.device(setting.plan.device)
    module = plugin.build(view).to(device)
    encode = make_encoder(plugin.encoding, view, dataset.inputs, device)
    weights = dataset.spec.class_weights
    return Lesson(
        module=module,
        optimizer=None if isinstance(module, BatchLearner) else plugin.configure_optimizer(module),
        encode=encode,
        labels=torch.as_tensor(labels.hide(dataset.labels), device=device),
        n_classes=view.n_classes,
        probe=torch.as_tensor(dataset.probe, device=device),
        class_weights=None
        if weights is None
        else torch.as_tensor(
            labels.hide_columns(np.asarray(weights)), dtype=torch.float32, device=device
        ),
        weighting=config.class_weights,
    )


def compute(row: type[Reference], config: ModelConfig, setting: Setting) -> Lab:
    """Lay out a computed row's constant logits as if it had been probed all through a run.

    An exception of the plugin ends in status ``error``.

    Raises:
        UsageError: The row cannot serve this task.
    """
    lab = Lab(Probes(), known={})
    dataset = setting.dataset
    with seeded_globals(setting.plan.seed):
        try:
            plugin = row(config)
            lab.known = dict(plugin.values(dataset.spec, dataset.frequencies))
            logits = plugin.logits(dataset.spec)
        except UsageError:
            raise
        except (Exception, SystemExit) as error:
            lab.status, lab.error = "error", _last_words(error)
            return lab
    if logits is None:
        return lab
    clock, stream, frames = setting.clock, setting.stream, setting.frames
    positions = {0, clock.end_of(WINDOW_PAIRS), clock.budget_pairs, *frames}
    as_learned = setting.labels.hide_columns(logits.astype(np.float64)).astype(np.float32)
    lab.probes.position = clock.budget_pairs
    lab.probes.pairs = sorted(positions)
    lab.probes.logits = [as_learned] * len(positions)
    lab.probes.frame_pairs = list(frames)
    for frame in frames:
        epoch, end = divmod(frame - 1, stream.epoch_pairs)
        batch = stream.epoch(epoch)[end + 1 - clock.batch_size : end + 1]
        lab.probes.frame_inputs.append(batch)
    return lab


def _last_words(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"


def make_trace(lab: Lab, setting: Setting) -> Trace:
    """Return the run's trace, its columns back in true class order."""
    spec, stream, clock, probes = (
        setting.dataset.spec,
        setting.stream,
        setting.clock,
        lab.probes,
    )
    logits = np.zeros((0, len(spec.probe_inputs), len(spec.classes)), dtype=np.float32)
    if probes.logits:
        logits = setting.labels.reveal_columns(np.stack(probes.logits))
    frame_inputs = np.zeros((0, clock.batch_size), dtype=np.int64)
    if probes.frame_inputs:
        place = np.full(len(setting.dataset.inputs), -1, dtype=np.int64)
        place[setting.dataset.probe] = np.arange(len(setting.dataset.probe))
        frame_inputs = place[np.stack(probes.frame_inputs)]
    return Trace(
        task=spec,
        facts=TraceFacts(
            batch_size=clock.batch_size,
            epoch_pairs=stream.epoch_pairs,
            budget_pairs=clock.budget_pairs,
            pairs=probes.position,
            complete=probes.position >= clock.budget_pairs or lab.status == "diverged",
            window_pairs=WINDOW_PAIRS,
        ),
        pairs=np.asarray(probes.pairs, dtype=np.int64),
        logits=logits,
        first_seen=stream.first_seen,
        test_counts=stream.test_counts.astype(np.int64),
        frame_pairs=np.asarray(probes.frame_pairs, dtype=np.int64),
        frame_inputs=frame_inputs,
    )
