"""What tests of several folders speak of or stand in for, found by ``import samples``."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

from pydantic_core import to_json

from codonbench.contracts import EvaluationSet, Input, Target, TaskSpec
from codonbench.contracts.run_record import Machine, Tuning
from codonbench.testing.apart import CLOCK, Message, Send

WORDS_TASK = TaskSpec(
    name="toy",
    version="1",
    title="Toy code",
    input=Input.of_length(2, unit="word", symbol="letter", alphabet="ab", enumerable=True),
    target=Target(names=("X", "Y", "stop")),
    protocol="decipher",
    evaluation=EvaluationSet(
        inputs=("aa", "ab", "ba", "bb"), targets=(0, 1, 2, 2), groups={"stop": (2, 3)}
    ),
    train_size=10,
    test_size=10,
)
"""Four words of two letters and three classes, of which two words are ``stop``."""

TWO_CLASSES = TaskSpec(
    name="made-up",
    version="1",
    title="Made up",
    input=Input.of_length(4),
    target=Target(names=("no", "yes")),
    protocol="supervised",
    train_size=1,
    test_size=1,
)
"""A task of two classes, of which only what is answered matters."""


def machine(**changes: object) -> Machine:
    """Return the facts of a machine with two processors, some of them changed."""
    facts = {
        "device": "cpu",
        "device_name": "some processor",
        "cpu_name": "some processor",
        "cpu_capability": "AVX2",
        "cpu_count": 2,
        "driver": None,
        "cuda": None,
        "system": "Linux x86_64",
        "python": "3.11.7",
        "torch": "2.13.0",
        "numpy": "2",
        "threads": 1,
        "deterministic": True,
        "tf32": False,
    }
    return Machine.model_validate(facts | changes)


def run_here(function: Callable[[Send, Any], None], argument: Any) -> Iterator[Message]:
    """Yield what `run_apart` would, from this process: nothing else has to import PyTorch."""
    said: list[Message] = []
    function(said.append, json.loads(to_json(argument)))
    yield from (message for message in said if message[0] != CLOCK)


def tuning(**changes: Any) -> Tuning:
    """What it took to find a configuration."""
    said: dict[str, Any] = {
        **{"name": "found", "task": "promoters", "data_checksum": "0" * 64, "seeds": (1000,)},
        **{"trials": 20, "pruned": 3, "device": "cpu", "seconds": 360.0, "metric": "mcc"},
        **{"best": 0.6, "median": 0.5, "study": "s", "tests_unseen": True},
    }
    return Tuning(**said | changes)
