"""Checkpoints: what a run needs to go on where it was cut short, to the bit.

Module, optimiser and the global generators, in a file that holds numbers and names only.
"""

from __future__ import annotations

import hashlib
import io
import pickle
import random
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from codonbench.training.feed import Feed, Referees
from codonbench.training.state import TrainState

State = dict[str, Any]
"""Tensors, numbers and names, in dicts and lists: what `torch.load` reads with weights only."""


SPARING = 20
"""How many times longer than a checkpoint took it is at least until the next one."""


class Checkpointer:
    """Keeps, every so often, how far runs have come.

    Args:
        referees: Who are given what is kept.
        every: Seconds between two times, at least; None for never.
        facts: Of what trains; only the same can go on from there.
        states: What is trained.
    """

    def __init__(
        self, referees: Referees, every: float | None, facts: State, states: Sequence[TrainState]
    ) -> None:
        self._referees = referees
        self._every = every
        self._wait = every or 0.0
        self._facts = facts
        self._last = time.monotonic()
        if every is not None:
            self._loose = {id(state): loose_ends(state) for state in states}

    def offer(self, feeds: Sequence[Feed], state: Callable[[int], State]) -> None:
        """Keep how far runs have come, if it is time again.

        Args:
            feeds: Of the runs, each between two batches.
            state: Given a run's place among them, what it needs to go on.
        """
        if self._every is None or time.monotonic() - self._last < self._wait:
            return
        began = time.monotonic()
        for i, feed in enumerate(feeds):
            if not feed.over and loose_ends(feed.state) == self._at_first(feed):
                write = partial(torch.save, {"facts": self._facts, **state(i)})
                self._referees.keep(feed.run, feed.position, write)
        self._last = time.monotonic()
        self._wait = max(self._every, SPARING * (self._last - began))

    def _at_first(self, feed: Feed) -> str:
        return self._loose[id(feed.state)]


def read_state(path: Path, facts: State) -> State | None:
    """Return the state in a file; None where it is unreadable or of another engine."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception:  # zip, pickle and torch each have their own complaints
        return None
    if not isinstance(state, dict) or not isinstance(state.get("facts"), dict):
        return None
    same = all(state["facts"].get(key) == facts[key] for key in ("name", "version", "rows"))
    return state if same else None


def whole_state(state: TrainState, selected: State | None = None) -> State:
    """Return all that the plain loop goes on from: with it, the state that is selected so far."""
    optimizer = state.optimizer
    return {
        "module": state.module.state_dict(),
        "optimizer": None if optimizer is None else optimizer.state_dict(),
        "selected": selected,
        "chance": _generators(),
    }


def restore(state: TrainState, kept: State) -> None:
    """Put `whole_state` back into a state made anew, and the generators where they were.

    Raises:
        RuntimeError, ValueError, KeyError: It is of another module.
    """
    state.module.load_state_dict(kept["module"])
    if state.optimizer is not None:
        state.optimizer.load_state_dict(kept["optimizer"])
    _set_generators(kept["chance"])


def loose_ends(state: TrainState) -> str:
    """Return a hash of what module and optimiser hold outside their states.

    Where it changes as they learn, they cannot be put back as they were: a counter in a plain
    attribute, a generator of their own, a buffer that is not persistent.
    """
    digest = hashlib.sha256()
    for name, value in _loose(state):
        try:
            digest.update(name.encode() + _Digest.of(value))
        except Exception:  # what cannot be pickled is no number: functions, weak references
            continue
    return digest.hexdigest()


_MODULE_OWN = {"_parameters", "_buffers", "_modules", "training"}
_OPTIMIZER_OWN = {"state", "param_groups", "defaults"}


def _loose(state: TrainState) -> Iterator[tuple[str, Any]]:
    for prefix, module in state.module.named_modules():
        for name, value in vars(module).items():
            if name not in _MODULE_OWN:
                yield f"{prefix}.{name}", value
        for name in sorted(module._non_persistent_buffers_set):
            yield f"{prefix}.{name}", module._buffers[name]
    if state.optimizer is not None:
        for name, value in vars(state.optimizer).items():
            if name not in _OPTIMIZER_OWN and not name.startswith("_"):
                yield f"optimizer.{name}", value


class _Digest(pickle.Pickler):
    """Pickles a value with each parameter as a mere mark: those are kept."""

    @classmethod
    def of(cls, value: Any) -> bytes:
        buffer = io.BytesIO()
        cls(buffer).dump(value)
        return buffer.getvalue()

    def persistent_id(self, obj: Any) -> Any:
        if isinstance(obj, torch.nn.Parameter | torch.nn.Module):
            return "kept"
        if isinstance(obj, torch.Tensor):
            return obj.detach().cpu().numpy().tobytes()
        return None


def _generators() -> State:
    kind, keys, *rest = np.random.get_state(legacy=True)
    return {
        "torch": torch.get_rng_state(),
        "cuda": [torch.cuda.get_rng_state(i) for i in range(torch.cuda.device_count())],
        "python": list(random.getstate()[1]),
        "python_gauss": random.getstate()[2],
        "numpy": [kind, torch.as_tensor(np.asarray(keys, dtype=np.int64)), *rest],
    }


def _set_generators(state: State) -> None:
    torch.set_rng_state(state["torch"])
    for i, cuda in enumerate(state["cuda"]):
        torch.cuda.set_rng_state(cuda, i)
    random.setstate((3, tuple(state["python"]), state["python_gauss"]))
    kind, keys, *rest = state["numpy"]
    np.random.set_state((kind, keys.numpy().astype(np.uint32), *rest))
