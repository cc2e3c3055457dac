"""What a training leaves behind, beside what it has shown its referee."""

from __future__ import annotations

import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from codonbench.contracts.provenance import TorchFacts
from codonbench.contracts.run_record import Engine, Status
from codonbench.errors import CannotCapture, UsageError
from codonbench.plugins.failures import file_of, place
from codonbench.records.printable import storable

if TYPE_CHECKING:
    import torch

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
        facts: Of the interpreter that trained; None where that is this one.
        known: Metric values that a computed row knows in closed form; None where one was trained.
    """

    module: torch.nn.Module | None = None
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
    facts: TorchFacts | None = None
    known: Mapping[str, float | None] | None = None


@contextmanager
def last_words(plugin: type, *results: TrainResult) -> Iterator[None]:
    """Turn Ctrl-C and a plugin's exception into the status of the results they end.

    Args:
        plugin: Whose code runs; the line of it that failed is named.
        results: Of the runs under way.

    Raises:
        UsageError: The model cannot serve this task: what was asked is at fault.
        CannotCapture: To be tried on another rung.
    """
    try:
        yield
    except KeyboardInterrupt:
        _end(results, "interrupted", None)
    except (UsageError, CannotCapture):
        raise
    except (Exception, SystemExit) as error:  # the plugin's own: the record's last words
        where = place(error.__traceback__, file_of(plugin))
        details = "".join(traceback.format_exception(error)).encode("utf-8", errors="replace")
        words = storable(f"{type(error).__name__}: {error}{where}")
        _end(results, "error", words, details.decode("utf-8")[-MOST_DETAILS:])


def _end(
    results: Sequence[TrainResult], status: Status, error: str | None, details: str = ""
) -> None:
    """Set how the results ended that were not over yet."""
    for result in results:
        if not result.over:
            result.status, result.error, result.details = status, error, details
