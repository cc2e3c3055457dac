"""What a worker is told to do, as it travels from the parent."""

from __future__ import annotations

import importlib
import pickle
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from codonbench.discovery import import_file
from codonbench.learning import Work
from codonbench.origin import Origin
from codonbench.registry import Registry

File = tuple[str, Path]
"""Name and path of a plugin module that is no installed one."""


@dataclass(frozen=True)
class Orders:
    """A `learning.Work` as it travels: the plugin by name, what is the parent's own by pickle.

    A class may well be made in its module's hook and be unknown to `pickle`. So the worker
    registers the module as the parent did, and looks the name up.

    Attributes:
        files: Name and path of each module that is no installed one.
        origin: Where the model comes from.
        model: The name it is registered under.
        config: Its configuration, as JSON.
        rest: The dataset and the plans, pickled.
    """

    files: tuple[File, ...]
    origin: Origin
    model: str
    config: str
    rest: bytes

    @classmethod
    def of(cls, work: Work, files: Sequence[File]) -> Self:
        """Return the orders that amount to `work`."""
        entry = work.entry
        rest = pickle.dumps((work.dataset, work.plans))
        return cls(tuple(files), entry.origin, entry.name, work.config.model_dump_json(), rest)

    def work(self) -> Work:
        """Return what they amount to here."""
        for name, path in self.files:
            import_file(name, path)
        registry = Registry()
        module = importlib.import_module(self.origin.module)
        registry.add(module, self.origin.distribution, self.origin.version)
        entry = registry.model(self.model)
        dataset, plans = pickle.loads(self.rest)
        return Work(entry, entry.cls.Config.model_validate_json(self.config), dataset, plans)
