"""One run as whoever trains is given it: what may be known before the first pair, and no more."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from codonbench.contracts import Items, Targets, TaskView
from codonbench.contracts.provenance import DeviceKind
from codonbench.contracts.run_spec import EngineChoice
from codonbench.data.stream import BatchClock, generator
from codonbench.protocols.base import RunSetup

IntArray = npt.NDArray[np.int64]

Chance = tuple[int, int, int]
"""Where PyTorch's, Python's and NumPy's global generators begin."""

_MODEL = 2  # beside the stream's own uses of the seed


def chance_of(seed: int) -> Chance:
    """Return where a seed's global generators begin; it does not tell the seed."""
    chance = generator(seed, _MODEL)
    first, second = int(chance.integers(2**63)), int(chance.integers(2**63))
    return first, second, int(chance.integers(2**32))


@dataclass(frozen=True)
class TrainRequest:
    """One run, as whoever trains is given it.

    Attributes:
        run: Its number for the referees.
        view: The task, as a model may know it.
        items: All items that indices may name.
        evaluated: Items of each split that the model may be asked about, by the split's name.
        targets: Of the items, as far as they are known from the start, shape (N, ...).
        trained: Which items those are, shape (n,); empty where each target is told with its pair.
        class_weights: Loss weight of each class id (C,), permuted as the ids are; or None.
        clock: Where batches end.
        chance: Where the global generators begin.
        device, threads, engine: As in the spec.
        start, state: Where it goes on, and the file it goes on from, where it was cut short.
    """

    run: int
    view: TaskView
    items: Items
    evaluated: dict[str, IntArray]
    targets: Targets
    trained: IntArray
    class_weights: npt.NDArray[np.float64] | None
    clock: BatchClock
    chance: Chance
    device: DeviceKind
    threads: int
    engine: EngineChoice
    start: int = 0
    state: Path | None = None


def train_request(run: int, setup: RunSetup) -> TrainRequest:
    """Return what whoever trains a run is told of it before the first pair."""
    run_spec, dataset = setup.run_spec, setup.dataset
    told = setup.protocol.tells_targets
    trained = np.unique(setup.stream.split.train) if told else np.zeros(0, dtype=np.int64)
    targets = np.zeros_like(setup.hidden)
    targets[trained] = setup.hidden[trained]
    return TrainRequest(
        run=run,
        view=dataset.spec.view(),
        items=dataset.items,
        evaluated=setup.evaluated(),
        targets=targets,
        trained=trained,
        class_weights=setup.class_weights,
        clock=setup.clock,
        chance=chance_of(run_spec.seed),
        device=run_spec.device,
        threads=run_spec.threads,
        engine=run_spec.engine,
    )
