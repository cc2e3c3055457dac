"""What a protocol is: what is evaluated and when, which state is selected, when a run ends."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import numpy.typing as npt
from pydantic import JsonValue

from codonbench.contracts import Outputs

if TYPE_CHECKING:
    from codonbench.protocols.setup import RunSetup

IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Evaluation:
    """Outputs that a run owes.

    Attributes:
        position: Pairs presented before them.
        split: Of which items: ``evaluation``, ``validation`` or ``test``.
        of_selected: Whether of the state that was selected, which is put back for it.
    """

    position: int
    split: str
    of_selected: bool = False


class Schedule(ABC):
    """One run's evaluations, each decided once the one before is known.

    Attributes:
        keep: Whether the state that was evaluated last is the one selected so far.
        selected: Where the selected state stands; None where no state is selected.
        finite: False once an output was NaN or infinite.
    """

    keep: bool = False
    selected: int | None = None
    finite: bool = True

    @abstractmethod
    def first(self) -> Evaluation:
        """Return the first evaluation."""

    @abstractmethod
    def next(self, evaluation: Evaluation, outputs: Outputs) -> Evaluation | None:
        """Return the evaluation after one that is done; None where the run is over.

        Args:
            evaluation: What was owed.
            outputs: What came, shape (N, K), in the model's own labels. Not finite is the end.
        """

    @abstractmethod
    def progress(self) -> str:
        """Return in a few words how far the run has come, for the person who waits."""

    def arrays(self) -> Mapping[str, IntArray]:
        """Return what goes into the trajectory beside outputs."""
        return {}

    def facts(self) -> dict[str, JsonValue]:
        """Return what the trajectory's `TrajectoryFacts.protocol` says."""
        return {}


class Protocol(ABC):
    """A protocol plugin.

    Class attributes:
        name: As in `TaskSpec.protocol`.
        summary: One line.
        stop_rules: What may end a run before its budget, by name, the default first; ``budget``
            is the rule that spends it all.
        split: What is looked at along the way.
        tells_targets: True where training targets are known from the start; where they are not,
            each is told as its pair is presented, and class ids are permuted by salt and seed.
        needs: The splits that a task must have for it, beside training.
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    stop_rules: ClassVar[tuple[str, ...]] = ("budget",)
    split: ClassVar[str]
    tells_targets: ClassVar[bool]

    @abstractmethod
    def schedule(self, setup: RunSetup) -> Schedule:
        """Return the schedule of one run."""

    def constant(self, setup: RunSetup) -> Sequence[Evaluation]:
        """Return the evaluations that tell all of a row whose outputs never change."""
        return (Evaluation(setup.clock.budget_pairs, self.split),)
