"""The subject of model checks: model, configuration and data, with modules built as in a run."""

from __future__ import annotations

import platform
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cache, cached_property, lru_cache
from itertools import islice
from typing import Any, get_args

import numpy as np
import torch
from torch import Tensor

from codonbench import __version__
from codonbench.contracts import Dataset, Model, Reference, Task, TaskView
from codonbench.contracts.base import Origin
from codonbench.contracts.run_spec import PUBLIC_RULES, PUBLIC_SALT, RunSpec
from codonbench.data.encodings import Encoder, make_encoder
from codonbench.plugins.discovery import load_registry
from codonbench.plugins.registry import Registry
from codonbench.protocols.referee import RunSetup
from codonbench.records.files import cache_folder
from codonbench.testing.checks import Facts
from codonbench.testing.environment import Printed
from codonbench.training.determinism import seeded_globals
from codonbench.training.loop import evaluate, loss_of, make_step
from codonbench.training.request import train_request
from codonbench.training.state import TrainState, make_state

DEVICE = "cpu"

STEPS = 8
"""Batches in a short training, enough for the optimiser's state to matter."""

_MOST_ITEMS = 256
"""Most items of a split for a check, ..."""

_MOST_LETTERS = 1 << 16
"""... and most letters of these items."""


@cache
def installed() -> Registry:
    """Return the registry of installed plugins."""
    return load_registry()


def find_task(task: str | Task | None) -> Task:
    """Return a task given itself, its name, or None for the default task."""
    return task if isinstance(task, Task) else installed().task(task).task


@lru_cache(maxsize=16)
def dataset_of(task: Task, data: str | None = None) -> Dataset:
    """Return a task's data, by default its default data, without network.

    Raises:
        DataError: The data are missing, unreadable or unusable.
        DownloadError: The data were not downloaded.
    """
    name = task.default_data if data is None else data
    return task.load(name, task.Options(), cache=cache_folder(), offline=True)


def make_setup(
    dataset: Dataset, batch_size: int | None, budget_pairs: int, class_weights: str = "none"
) -> RunSetup:
    """Return the setup of a run with seed 0."""
    task = dataset.spec
    run_spec = RunSpec(
        rules=PUBLIC_RULES,
        task=task.name,
        task_version=task.version,
        task_options={},
        data=dataset.source,
        data_checksum=dataset.checksum,
        model="checked",
        model_version="0",
        config={"class_weights": class_weights},
        seed=0,
        budget_pairs=budget_pairs,
        stop="budget",
        salt=PUBLIC_SALT,
        device=DEVICE,
        threads=1,
        engine="auto",
    )
    return RunSetup(run_spec, dataset, installed().protocol(task.protocol), batch_size)


@dataclass
class ModelSubject:
    """A model or computed row to check.

    Attributes:
        cls: The plugin class.
        config: Its configuration.
        dataset: The data.
        printed: Counts the model's output to the terminal.
        parameters: Trainable parameters; None until a module is built.
    """

    cls: type[Any]
    config: Any
    dataset: Dataset
    printed: Printed = field(default_factory=Printed)
    parameters: int | None = None

    @property
    def view(self) -> TaskView:
        """The view of the task that models see."""
        return self.dataset.spec.view()

    @cached_property
    def setup(self) -> RunSetup:
        """Setup of a run with seed 0, the model's batch size and a budget of one epoch."""
        batch_size = getattr(self.config, "batch_size", None)
        weighting = getattr(self.config, "class_weights", "none")
        return make_setup(self.dataset, batch_size, self.dataset.spec.train_size, weighting)

    @property
    def split(self) -> str:
        """The split that is evaluated during training."""
        return self.setup.protocol.split

    @cached_property
    def evaluated(self) -> Tensor:
        """Items of that split for checks, shape (N,)."""
        most = max(1, min(_MOST_ITEMS, _MOST_LETTERS // self.view.length))
        return torch.as_tensor(self.setup.evaluated()[self.split][:most])

    @cached_property
    def batches(self) -> list[Tensor]:
        """Items of the first batches of the stream, each (B,)."""
        stream = self.setup.stream.batches(self.config.batch_size, 10**9)
        return [torch.as_tensor(batch.index) for batch in islice(stream, STEPS)]

    def plugin(self) -> Model:
        """Return a new instance of the plugin."""
        plugin: Model = self.cls(self.config)
        return plugin

    def build(self, seed: int = 0) -> torch.nn.Module:
        """Return the result of ``build`` with random generators seeded."""
        with seeded_globals(seed):
            return self.plugin().build(self.view)

    def state(self, seed: int = 0, dtype: torch.dtype = torch.float32) -> TrainState:
        """Return module, optimiser and encoded items as in a run with this seed."""
        with seeded_globals(seed):
            return self._state(dtype)

    def _state(self, dtype: torch.dtype = torch.float32) -> TrainState:
        request = train_request(0, self.setup)
        state = make_state(self.plugin(), self.config, request, dtype, self.setup.hidden)
        return replace(state, evaluated={self.split: self.evaluated})

    def trained(self, after: Callable[[TrainState], object] = lambda state: None) -> TrainState:
        """Return the state after a short training with seed 0; call `after` after each step."""
        with seeded_globals(0):
            state = self._state()
            step = make_step(state)
            for index in self.batches:
                step(index)
                after(state)
        return state

    def evaluate(self, state: TrainState) -> Any:
        """Return a state's outputs (N, K) for `evaluated`."""
        return evaluate(state, self.split)

    def loss(self, state: TrainState) -> float:
        """Return the mean loss over the items of `batches`, in evaluation mode."""
        index = torch.cat(self.batches)
        shown = replace(state, evaluated={"": index}, scale=None)
        outputs = torch.as_tensor(evaluate(shown, ""))
        return float(loss_of(state, outputs, state.targets[index]))

    def encoder(self, encoding: str | None = None) -> Encoder:
        """Return the encoder of an encoding; None for the model's own."""
        name = self.plugin().encoding if encoding is None else encoding
        return make_encoder(name, self.view, self.dataset.items, torch.device(DEVICE))

    def variants(self) -> dict[str, ModelSubject]:
        """Return this subject, and one for each other encoding that the model can use, by encoding.

        Tried are presets, and each value of single fields whose type lists its values.
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
            except Exception:  # values that do not fit together
                continue
            found.setdefault(encoding, replace(self, config=config))
        return found

    def sample(self, size: int) -> Tensor:
        """Return `size` items of `evaluated`, repeated if needed."""
        return self.evaluated[torch.arange(size) % len(self.evaluated)]


def _choices(annotation: Any) -> tuple[Any, ...]:
    """Return the values of a Literal, an Enum or bool; empty for other types."""
    if annotation is bool:
        return (False, True)
    if isinstance(annotation, type) and issubclass(annotation, str | int):
        return tuple(getattr(annotation, "__members__", {}).values())
    args = get_args(annotation)
    return args if all(isinstance(arg, str | int) for arg in args) else ()


def facts_of(name: str, subject: ModelSubject, origin: Origin) -> Facts:
    """Return the facts of a report."""
    cls, config, encoding, written = subject.cls, subject.config, "", {}
    try:
        written = config.model_dump(mode="json")
        encoding = "" if issubclass(cls, Reference) else str(cls(config).encoding)
    except Exception:  # reported by a check
        pass
    return Facts(
        model=name,
        name=cls.info.name,
        version=cls.info.version,
        distribution=origin.distribution,
        distribution_version=origin.version,
        source_sha256=origin.source_sha256,
        config=written,
        encoding=encoding,
        task=subject.dataset.spec.name,
        data=subject.dataset.source,
        environment={
            "codonbench": __version__,
            "python": platform.python_version(),
            "torch": torch.__version__,
            "numpy": np.__version__,
            "system": f"{platform.system()} {platform.machine()}",
        },
    )
