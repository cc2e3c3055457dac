"""Global state that plugins must not change: settings, random generators, the terminal."""

from __future__ import annotations

import io
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from functools import wraps
from threading import RLock
from types import MappingProxyType
from typing import Any, ParamSpec

import numpy as np
import torch

P = ParamSpec("P")

_SETTINGS: MappingProxyType[str, tuple[Callable[[], Any], Callable[[Any], Any]]] = MappingProxyType(
    {
        "torch's default dtype": (torch.get_default_dtype, torch.set_default_dtype),
        "torch's default device": (torch.get_default_device, lambda d: _set_default_device(d)),
        "torch's number of threads": (torch.get_num_threads, torch.set_num_threads),
        "torch's deterministic algorithms": (
            torch.are_deterministic_algorithms_enabled,
            torch.use_deterministic_algorithms,
        ),
        "torch's grad mode": (torch.is_grad_enabled, torch.set_grad_enabled),
        "torch's anomaly detection": (
            torch.is_anomaly_enabled,
            torch.autograd.set_detect_anomaly,
        ),
        "torch's matrix product precision": (
            torch.get_float32_matmul_precision,
            torch.set_float32_matmul_precision,
        ),
        "torch.backends.cudnn.benchmark": (
            lambda: torch.backends.cudnn.benchmark,
            lambda value: setattr(torch.backends.cudnn, "benchmark", value),
        ),
        "numpy's handling of floating-point errors": (np.geterr, lambda e: np.seterr(**e)),
    }
)


def _set_default_device(device: torch.device) -> None:
    # Setting "cpu" instead of None enters a mode that slows every call.
    torch.set_default_device(None if device.type == "cpu" else device)


def settings() -> dict[str, Any]:
    """Return PyTorch's and NumPy's global settings by name."""
    return {name: get() for name, (get, _) in _SETTINGS.items()}


@contextmanager
def kept_settings() -> Iterator[None]:
    """Restore global settings on leaving."""
    before = settings()
    try:
        yield
    finally:
        after = settings()
        for name, (_, put) in _SETTINGS.items():
            if after[name] != before[name]:
                put(before[name])


def generators() -> dict[str, bytes]:
    """Return the state of each global random generator by name."""
    state: Any = np.random.get_state()
    return {
        "torch": torch.get_rng_state().numpy().tobytes(),
        "numpy.random": repr((state[1].tobytes(), *state[2:])).encode(),
        "random": repr(random.getstate()).encode(),
    }


def moved(before: dict[str, bytes]) -> str:
    """Return the name of a generator whose state is not that in `before`; empty for none."""
    return next((name for name, state in generators().items() if state != before[name]), "")


class Printed(io.TextIOBase):
    """A stream that counts characters and discards them.

    Attributes:
        characters: Number of characters written.
        beginning: The first 400 characters.
    """

    def __init__(self) -> None:
        self.characters = 0
        self.beginning = ""

    def writable(self) -> bool:
        """Return True."""
        return True

    def write(self, text: str) -> int:
        """Count `text`."""
        self.beginning += text[: max(0, 400 - len(self.beginning))]
        self.characters += len(text)
        return len(text)


@contextmanager
def listening(printed: Printed) -> Iterator[None]:
    """Redirect Python's standard output and error to `printed`."""
    with redirect_stdout(printed), redirect_stderr(printed):
        yield


_LOCK = RLock()


def one_at_a_time(check: Callable[P, None]) -> Callable[P, None]:
    """Serialise the calls of a check from several threads.

    Checks set and restore standard output, generators and settings, which are global.
    """

    @wraps(check)
    def held(*args: P.args, **options: P.kwargs) -> None:
        with _LOCK:
            check(*args, **options)

    return held
