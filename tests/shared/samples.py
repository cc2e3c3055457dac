"""A small task and a machine that several folders' tests speak of, found by ``import samples``."""

from __future__ import annotations

from codonbench.contracts import EvaluationSet, Input, Target, TaskSpec
from codonbench.contracts.provenance import Machine

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


def machine(**changes: object) -> Machine:
    """Return the facts of a machine with two processors, some of them changed."""
    facts = {
        "device": "cpu",
        "device_name": "some processor",
        "cpu_name": "cpu",
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
