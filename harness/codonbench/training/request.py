"""What a trainer knows of one run, and what it returns.

A request holds what may be known before the first pair, and no more.
"""

from __future__ import annotations

import re
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from codonbench.contracts import Estimator, Items, Targets, TaskView
from codonbench.contracts.base import DeviceKind
from codonbench.contracts.model import ModelBase
from codonbench.contracts.run_record import Engine, Status, TorchFacts
from codonbench.contracts.run_spec import EngineChoice
from codonbench.data.stream import BatchClock, IntArray, generator, hidden_generator
from codonbench.errors import CannotCapture, PluginError, UsageError
from codonbench.plugins.failures import file_of, maker_of, place, remedy
from codonbench.protocols.referee import RunSetup
from codonbench.records.files import storable

if TYPE_CHECKING:
    import torch


Chance = tuple[int, int, int]
"""Seeds of PyTorch's, Python's and NumPy's global generators."""

_MODEL = 2  # beside the stream's own uses of the seed


def chance_of(seed: int, salt: str = "") -> Chance:
    """Return the seeds of a run's global generators; the run's own seed does not follow from them.

    Args:
        seed: The run's.
        salt: Without it they cannot be known; empty where they follow from the seed alone.
    """
    chance = hidden_generator(salt, seed, "model") if salt else generator(seed, _MODEL)
    first, second = int(chance.integers(2**63)), int(chance.integers(2**63))
    return first, second, int(chance.integers(2**32))


@dataclass(frozen=True)
class TrainRequest:
    """What a trainer knows of one run.

    Attributes:
        run: Number of the run for the referees.
        view: The task, as a model may know it.
        items: All items that indices may name.
        evaluated: Items of each split that the model may be asked about, by the split's name.
        targets: Of the items, as far as they are known from the start, shape (N, ...).
        trained: Which items those are, shape (n,); empty where each target is told with its pair.
        class_weights: Loss weight of each class id (C,), permuted as the ids are; None where the
            configuration asks for none.
        clock: Where batches end.
        chance: Seeds of the global generators.
        device, threads, engine: As in the spec.
        start, state: Where it goes on, and the file it goes on from, where it was cut short.
        weights: What each item counts in the loss, (N,), 0 where it is not trained on; None where
            all count alike.
        plain_because: Why the plain loop trains it, whatever `engine` says; else empty.
        protocol: By which it is trained, by its name.
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
    weights: npt.NDArray[np.float32] | None = None
    plain_because: str = ""
    protocol: str = ""


def train_request(run: int, setup: RunSetup) -> TrainRequest:
    """Return what a trainer knows of a run before the first pair."""
    run_spec, dataset = setup.run_spec, setup.dataset
    tells = setup.protocol.tells_targets
    trained = np.unique(setup.stream.split.train) if tells else np.zeros(0, dtype=np.int64)
    targets = np.zeros_like(setup.hidden)
    targets[trained] = setup.hidden[trained]
    weights = None
    if dataset.weights is not None:
        weights = np.zeros_like(dataset.weights)
        weights[trained] = dataset.weights[trained]
    return TrainRequest(
        run=run,
        view=dataset.spec.view(),
        items=dataset.items,
        evaluated=setup.evaluated(),
        targets=targets,
        trained=trained,
        class_weights=setup.class_weights,
        weights=weights,
        clock=setup.clock,
        chance=chance_of(run_spec.seed, run_spec.salt if run_spec.is_salted else ""),
        device=run_spec.device,
        threads=run_spec.threads,
        engine=run_spec.engine,
        protocol=setup.protocol.name,
    )


ENGINE, ENGINE_VERSION = "eager", "2"
"""The plain loop, by its name in a record."""

MOST_DETAILS = 16_000
"""Characters of a traceback that are kept."""


@dataclass
class TrainResult:
    """What a training leaves behind.

    Attributes:
        module: What is trained; None where building it failed, and where it lives in another
            process.
        estimator: What was fitted, in place of a module.
        parameters: How many of its numbers are trained.
        weights_sha256: Of its final weights; None where there are none.
        position: Pairs presented.
        over: Whether the run came to its end.
        status, error: How it ended.
        details: The traceback of what ended it, or its end; empty where nothing did.
        build_seconds: Time to build the module and its optimiser.
        train_seconds: Time of the training loop without its evaluations.
        evaluate_seconds: Time of the evaluations.
        engine: What executed the training steps.
        anew: Why it is to be trained anew, by the plain loop: the captured step turned out not to
            be that; empty where it is not.
        resumed: Where it was taken up again after it had been cut short, in pairs.
        facts: Of the interpreter that trained; None where that is this one.
        about: What the module says of itself, for the record.
        known: Metric values that a computed row knows in closed form; None where one was trained.
    """

    module: torch.nn.Module | None = None
    estimator: Estimator | None = None
    parameters: int = 0
    weights_sha256: str | None = None
    position: int = 0
    over: bool = False
    status: Status = "done"
    error: str | None = None
    details: str = ""
    build_seconds: float = 0.0
    train_seconds: float = 0.0
    evaluate_seconds: float = 0.0
    engine: Engine = field(default_factory=lambda: Engine(name=ENGINE, version=ENGINE_VERSION))
    anew: str = ""
    resumed: tuple[int, ...] = ()
    facts: TorchFacts | None = None
    known: Mapping[str, float | None] | None = None
    about: dict[str, str | int | float | bool] = field(default_factory=dict)


@contextmanager
def errors_noted(
    plugin: type[ModelBase], *results: TrainResult, view: TaskView | None = None
) -> Iterator[None]:
    """Turn Ctrl-C and a plugin's exception into the status of the results they end.

    Args:
        plugin: The plugin; the line of its code that failed is named.
        results: Results of the runs under way.
        view: The task, where the plugin computes on items, whose lengths a fault of shapes says.

    Raises:
        UsageError: The model cannot serve this task.
        CannotCapture: To be tried on another rung.
    """
    try:
        yield
    except KeyboardInterrupt:
        _end(results, "interrupted", None)
    except (UsageError, CannotCapture, GeneratorExit):
        raise
    except BaseException as error:  # the plugin's own: it goes into the record
        where = place(error.__traceback__, file_of(plugin), maker_of(plugin))
        details = "".join(traceback.format_exception(error)).encode("utf-8", errors="replace")
        prefix = f"model {plugin.info.name!r}: " if isinstance(error, PluginError) else ""
        message = f"{type(error).__name__}: {prefix}{error_text(error)}"
        words = storable(f"{message}{where}{_lengths(error, view)}{remedy(message)}")
        _end(results, "error", words, details.decode("utf-8")[-MOST_DETAILS:])


def _lengths(error: BaseException, view: TaskView | None) -> str:
    """Return how long items are, where they differ and an error is about a shape or size."""
    if view is None or view.kind == "features" or view.min_length == view.max_length:
        return ""
    if not isinstance(error, RuntimeError | ValueError) or not re.search("shape|size", str(error)):
        return ""
    span = f"{view.min_length:,} to {view.max_length:,} letters"
    return f"; sequences have {span}, and a batch is padded to its longest"


def error_text(error: BaseException) -> str:
    """Return an exception's message, though a plugin's own ``__str__`` may fail."""
    try:
        return str(error)
    except BaseException as another:
        return f"its message failed: {type(another).__name__}"


def _end(
    results: Sequence[TrainResult], status: Status, error: str | None, details: str = ""
) -> None:
    """Set how the results ended that were not over yet."""
    for result in results:
        if not result.over:
            result.status, result.error, result.details = status, error, details
