"""What a worker is told to do, as it travels from the parent."""

from __future__ import annotations

import importlib
import pickle
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from codonbench.contracts import Model, ModelConfig
from codonbench.contracts.origin import Origin
from codonbench.execution.in_process import Work, assignments
from codonbench.plugins.discovery import import_file
from codonbench.plugins.registry import Registry
from codonbench.protocols.referee import Guides
from codonbench.training.trainer import Assignment

File = tuple[str, Path]
"""Name and path of a plugin module that is no installed one."""


@dataclass(frozen=True)
class Orders:
    """A `learning.Work` as it travels: the plugin by name, and of its runs what a learner may know.

    A class may well be made in its module's hook and be unknown to `pickle`. So the worker
    registers the module as the parent did, and looks the name up.

    Attributes:
        files: Name and path of each module that is no installed one.
        origin: Where the model comes from.
        model: The name it is registered under.
        config: Its configuration, as JSON.
        assignments: The runs.
        threads: CPU threads.
        every: Seconds between two times that progress is kept; None for never.
    """

    files: tuple[File, ...]
    origin: Origin
    model: str
    config: str
    assignments: tuple[Assignment, ...]
    threads: int
    every: float | None

    @classmethod
    def of(cls, work: Work, guides: Guides, files: Sequence[File]) -> Self:
        """Return the orders that amount to `work`."""
        return cls(
            files=tuple(files),
            origin=work.entry.origin,
            model=work.entry.name,
            config=work.config.model_dump_json(),
            assignments=tuple(assignments(guides)),
            threads=work.run_specs[0].threads,
            every=work.every,
        )

    def packed(self) -> bytes:
        """Return these orders as bytes, for a worker: the parent itself unpickles nothing."""
        return pickle.dumps(self)

    def learner(self) -> tuple[type[Model], ModelConfig]:
        """Return the plugin and its configuration as they are here."""
        for name, path in self.files:
            import_file(name, path)
        registry = Registry()
        module = importlib.import_module(self.origin.module)
        registry.add(module, self.origin.distribution, self.origin.version)
        model = registry.model(self.model).cls
        assert issubclass(model, Model)
        return model, model.Config.model_validate_json(self.config)
