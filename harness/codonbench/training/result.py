"""What a run leaves behind, and the trajectory it comes to."""

from __future__ import annotations

import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import torch

from codonbench.contracts import Trajectory, TrajectoryFacts
from codonbench.contracts.machine import TorchFacts
from codonbench.contracts.run_record import Engine, Status, hash_weights
from codonbench.engines.errors import CannotCapture
from codonbench.errors import UsageError
from codonbench.plugins.source_lines import file_of, place
from codonbench.protocols.schedule import WINDOW_PAIRS
from codonbench.protocols.setup import Setting
from codonbench.records.printable import storable
from codonbench.training.feed import Probes
from codonbench.training.loop import ENGINE, ENGINE_VERSION

MOST_DETAILS = 16_000
"""Characters of a traceback that are kept."""


@dataclass
class Lab:
    """What a run leaves behind.

    Attributes:
        probes: What was seen at each probe, in the learner's labels.
        module: What is trained; None for computed rows, where building it failed, and where
            it lives in another process.
        parameters: How many of its numbers are trained.
        weights_sha256: Of its final weights; None where there are none.
        status, error: How it ended.
        details: The traceback of what ended it, or its end; empty where nothing did.
        build_seconds: Time to build the module and its optimiser.
        train_seconds: Time of the training loop without its probes.
        engine: What executed the training steps.
        facts: Of the interpreter that trained; None where that is this one.
        known: Metric values that a computed row knows in closed form; None where one was trained.
    """

    probes: Probes
    module: torch.nn.Module | None = None
    parameters: int = 0
    weights_sha256: str | None = None
    status: Status = "done"
    error: str | None = None
    details: str = ""
    build_seconds: float = 0.0
    train_seconds: float = 0.0
    engine: Engine = field(default_factory=lambda: Engine(name=ENGINE, version=ENGINE_VERSION))
    facts: TorchFacts | None = None
    known: Mapping[str, float | None] | None = None


@contextmanager
def last_words(plugin: type, *labs: Lab) -> Iterator[None]:
    """Turn Ctrl-C and a plugin's exception into the status of the labs they end.

    Args:
        plugin: Whose code runs; the line of it that failed is named.
        labs: Of the runs under way.

    Raises:
        UsageError: The model cannot serve this task: what was asked is at fault.
        CannotCapture: To be tried on another rung.
    """
    try:
        yield
    except KeyboardInterrupt:
        _end(labs, "interrupted", None)
    except (UsageError, CannotCapture):
        raise
    except (Exception, SystemExit) as error:  # the plugin's own: the record's last words
        where = place(error.__traceback__, file_of(plugin))
        details = "".join(traceback.format_exception(error)).encode("utf-8", errors="replace")
        words = storable(f"{type(error).__name__}: {error}{where}")
        _end(labs, "error", words, details.decode("utf-8")[-MOST_DETAILS:])


def _end(labs: Sequence[Lab], status: Status, error: str | None, details: str = "") -> None:
    """Set how the labs ended that were not over yet."""
    for lab in labs:
        if not lab.probes.over:
            lab.status, lab.error, lab.details = status, error, details


def settled(lab: Lab) -> Lab:
    """Take down what a lab ends with."""
    if lab.module is not None:
        lab.parameters = sum(p.numel() for p in lab.module.parameters() if p.requires_grad)
        lab.weights_sha256 = hash_weights(lab.module.state_dict())
    return lab


def make_trajectory(lab: Lab, setting: Setting) -> Trajectory:
    """Return the run's trajectory, its columns back in true class order."""
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
    return Trajectory(
        task=spec,
        facts=TrajectoryFacts(
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
