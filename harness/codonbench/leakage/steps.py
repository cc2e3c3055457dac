"""What an unfinished audit has found, step by step: one that was cut short goes on from there."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from shutil import rmtree
from typing import Any, cast
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt

from codonbench.errors import StoreError
from codonbench.records.files import write_atomically

Arrays = Mapping[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class Steps:
    """Steps that are made once.

    Attributes:
        folder: Where what came of each is kept; None for nowhere.
    """

    folder: Path | None = None

    def __call__(self, name: str, make: Callable[[], Arrays]) -> Arrays:
        """Return what a step comes to: what was kept of it, or what it now does, which is kept.

        Args:
            name: Its own, among those of the folder.
            make: Takes the step.
        """
        if self.folder is None:
            return make()
        file = self.folder / f"{name}.npz"
        with suppress(OSError, ValueError, BadZipFile), np.load(file) as kept:
            return dict(kept)
        found = make()
        content = io.BytesIO()
        np.savez(content, **cast(dict[str, Any], found))
        with suppress(StoreError):  # as on a full disk: then it is taken again
            write_atomically(file, content.getvalue())
        return found

    def clear(self) -> None:
        """Drop what was kept."""
        if self.folder is not None:
            rmtree(self.folder, ignore_errors=True)


UNKEPT = Steps()
"""Keeps none."""
