"""A model on the examiner's table: its configuration, its task, and modules made as in a run."""

from __future__ import annotations

import atexit
import platform
import shutil
import tempfile
from dataclasses import dataclass, field
from functools import cache, cached_property, lru_cache
from itertools import islice
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch
from torch import Tensor

from codonbench import __version__
from codonbench.contracts import Dataset, Model, ModelConfig, Reference, Task, TaskView
from codonbench.contracts.origin import Origin
from codonbench.contracts.run_spec import PUBLIC_SALT, RULES_VERSION, RunSpec
from codonbench.data.encodings import Encoder, make_encoder
from codonbench.plugins.discovery import load_registry
from codonbench.plugins.registry import Registry
from codonbench.protocols.base import RunSetup
from codonbench.testing.findings import Facts
from codonbench.testing.surroundings import Printed
from codonbench.training.determinism import seeded_globals
from codonbench.training.loop import make_step
from codonbench.training.request import train_request
from codonbench.training.state import TrainState, make_state

DEVICE = "cpu"
STEPS = 8
"""Batches in a short training: enough for an optimiser's state to matter."""


@cache
def installed() -> Registry:
    """Return the registry of what is installed."""
    return load_registry()


@lru_cache(maxsize=16)
def dataset_of(task: Task) -> Dataset:
    """Return a task's default data, which need no network."""
    return task.load(task.default_data, task.Options(), cache=_cache(), offline=True)


@lru_cache
def _cache() -> Path:
    """Return a folder that goes when this process does, so that no check finds another's files."""
    folder = Path(tempfile.mkdtemp(prefix="codonbench-check-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


@lru_cache(maxsize=16)
def setup_of(task: Task, batch_size: int) -> RunSetup:
    """Return seed 0's setup, with one epoch for a budget."""
    dataset = dataset_of(task)
    protocol = installed().protocol(dataset.spec.protocol)
    run_spec = RunSpec(
        rules=RULES_VERSION,
        task=task.name,
        task_version=task.version,
        task_options={},
        data=dataset.source,
        data_checksum=dataset.checksum,
        model="checked",
        model_version="0",
        config={},
        seed=0,
        budget_pairs=dataset.spec.train_size,
        stop=protocol.stop_rules[0],
        salt=PUBLIC_SALT,
        device=DEVICE,
        threads=1,
        engine="auto",
    )
    return RunSetup(run_spec, dataset, protocol, batch_size)


@dataclass
class Subject:
    """A model to be checked.

    Attributes:
        cls: The plugin.
        config: The configuration to check it in.
        task: What it is checked on.
        printed: Counts what the model prints.
        parameters: Trainable parameters, once a module was built.
    """

    cls: type[Model]
    config: ModelConfig
    task: Task
    printed: Printed = field(default_factory=Printed)
    parameters: int | None = None

    @property
    def dataset(self) -> Dataset:
        """The task's default data."""
        return dataset_of(self.task)

    @property
    def view(self) -> TaskView:
        """What the model may know of the task."""
        return self.dataset.spec.view()

    @property
    def setup(self) -> RunSetup:
        """Seed 0's setup for the model's batch size."""
        return setup_of(self.task, self.config.batch_size)

    @cached_property
    def batches(self) -> list[Tensor]:
        """Input indices of the first batches of the stream, each (B,)."""
        stream = self.setup.stream.batches(self.config.batch_size, 10**9)
        return [torch.as_tensor(batch.index) for batch in islice(stream, STEPS)]

    def plugin(self) -> Model:
        """Return a new instance."""
        return self.cls(self.config)

    def build(self, seed: int = 0) -> torch.nn.Module:
        """Return what ``build`` returns under the seed's own chance."""
        with seeded_globals(seed):
            return self.plugin().build(self.view)

    def state(self, seed: int = 0, dtype: torch.dtype = torch.float32) -> TrainState:
        """Return module, optimiser and encoded inputs as a run of that seed has them."""
        with seeded_globals(seed):
            return self._state(dtype)

    def _state(self, dtype: torch.dtype = torch.float32) -> TrainState:
        request, targets = train_request(0, self.setup), self.setup.hidden
        return make_state(self.plugin(), self.config, request, dtype, targets)

    def trained(self) -> TrainState:
        """Return a state after a short training under seed 0."""
        with seeded_globals(0):
            state = self._state()
            step = make_step(state)
            for index in self.batches:
                step(index)
        return state

    def encoder(self, encoding: str) -> Encoder:
        """Return the encoder of an encoding's name."""
        return make_encoder(encoding, self.view, self.dataset.items, torch.device(DEVICE))

    def variants(self) -> dict[str, Subject]:
        """Return this subject, and one for each other encoding that one field can choose.

        Fields whose type lists their values are tried, and the presets; keyed by encoding.
        """
        values = self.config.model_dump()
        trials: list[dict[str, Any]] = [
            {**values, name: choice}
            for name, info in type(self.config).model_fields.items()
            for choice in _choices(info.annotation)
        ]
        found = {self.plugin().encoding: self}
        for trial in [*trials, *map(dict, self.cls.presets.values())]:
            try:
                config = type(self.config).model_validate(trial)
                encoding = self.cls(config).encoding
            except Exception:  # values that do not fit each other
                continue
            found.setdefault(encoding, Subject(self.cls, config, self.task, self.printed))
        return found

    def sample(self, size: int) -> Tensor:
        """Return `size` input indices of the probe set, over and over if need be."""
        probe = torch.as_tensor(self.dataset.evaluation)
        return probe[torch.arange(size) % len(probe)]


def _choices(annotation: Any) -> tuple[Any, ...]:
    """Return the values that a type lists: those of a Literal, an Enum, a bool."""
    if annotation is bool:
        return (False, True)
    if isinstance(annotation, type) and issubclass(annotation, str | int):
        return tuple(getattr(annotation, "__members__", {}).values())
    args = get_args(annotation)
    return args if all(isinstance(arg, str | int) for arg in args) else ()


def facts_of(
    name: str, cls: type[Model] | type[Reference], config: ModelConfig, task: Task, origin: Origin
) -> Facts:
    """Return what a report begins with."""
    try:
        encoding = "" if issubclass(cls, Reference) else str(cls(config).encoding)
    except Exception:  # the check of it will say
        encoding = ""
    return Facts(
        model=name,
        name=cls.info.name,
        version=cls.info.version,
        distribution=origin.distribution,
        distribution_version=origin.version,
        source_sha256=origin.source_sha256,
        config=_as_json(config),
        encoding=encoding,
        task=task.name,
        data=dataset_of(task).source,
        environment={
            "codonbench": __version__,
            "python": platform.python_version(),
            "torch": torch.__version__,
            "numpy": np.__version__,
            "system": f"{platform.system()} {platform.machine()}",
        },
    )


def _as_json(config: ModelConfig) -> dict[str, Any]:
    try:
        return config.model_dump(mode="json")
    except Exception:  # the check of it will say
        return {}
