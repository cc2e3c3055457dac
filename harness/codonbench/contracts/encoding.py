"""What an encoding of a plugin's own gives: items as an array, for any model that names it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import numpy.typing as npt

from codonbench.contracts.dataset import Items
from codonbench.contracts.task import TaskView


class Encoding(ABC):
    """An encoding beside those of `codonbench.data.encodings`.

    It has to be defined in the file or distribution of the models that name it.

    Class attributes:
        name: As in a model's `encoding`; a task's own names come first.
    """

    name: ClassVar[str]

    def serves(self, view: TaskView) -> bool:
        """Return whether a task's items can be encoded: by default where they are sequences."""
        return view.kind == "sequence"

    @abstractmethod
    def encode(self, items: Items, view: TaskView) -> npt.NDArray[Any]:
        """Return the encoding of B items, shape (B, ...): numbers, or int64 indices."""


ENCODINGS: dict[str, Encoding] = {}
"""Those of the plugins that this process has imported, by name."""
