"""Results of an audit's steps on disk, so that an interrupted audit resumes."""

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
    """Computes each step once and keeps its result.

    Attributes:
        folder: Folder of the results; None to keep none.
    """

    folder: Path | None = None

    def __call__(self, name: str, make: Callable[[], Arrays]) -> Arrays:
        """Return the stored result of a step, or compute and store it.

        Args:
            name: Name of the step, unique in the folder.
            make: Computes the result.
        """
        if self.folder is None:
            return make()
        file = self.folder / f"{name}.npz"
        with suppress(OSError, ValueError, BadZipFile), np.load(file) as kept:
            return dict(kept)
        found = make()
        content = io.BytesIO()
        np.savez(content, **cast(dict[str, Any], found))
        with suppress(StoreError):  # e.g. on a full disk: it is computed again next time
            write_atomically(file, content.getvalue())
        return found

    def clear(self) -> None:
        """Delete the stored results."""
        if self.folder is not None:
            rmtree(self.folder, ignore_errors=True)


UNKEPT = Steps()
"""Stores no results."""
