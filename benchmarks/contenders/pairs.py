"""Who is set against whom, and how much faster ours is to be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from contenders.ground import SEEDS


@dataclass(frozen=True)
class Pair:
    """Two ways to take a step, and the goals for their ratio: by model, ``""`` for all others.

    What is asked is how many times faster ours is, or, for an `overhead`, by how many percent it
    is slower. `compiled` are goals for an engine with a compiler, starred in the table. `mean` is
    the goal for the geometric mean over all seven models.

    `ours` and `other` name a contender: its file and its function.
    """

    our_name: str
    ours: str
    other_name: str
    other: str
    goals: Mapping[str, float] = field(default_factory=dict)
    compiled: Mapping[str, float] = field(default_factory=dict)
    overhead: bool = False
    mean: float | None = None

    def figure(self, ours: float, other: float) -> float:
        """Return the ratio of two times, or the overhead in percent."""
        return 100 * (ours / other - 1) if self.overhead else other / ours

    def judge(self, model: str, figure: float) -> tuple[str, str]:
        """Return the goals, and whether they are met."""
        both = ((self.goals.get(model, self.goals.get("")), ""), (self.compiled.get(model), "*"))
        asked = [(goal, star) for goal, star in both if goal is not None]
        met = ["yes" if self.meets(figure, goal) else "no" for goal, _ in asked]
        return ", ".join(self.show(g) + star for g, star in asked) or "-", ", ".join(met) or "-"

    def judge_mean(self, figure: float) -> tuple[str, str]:
        """Return the goal for the geometric mean, and whether it is met."""
        if self.mean is None:
            return "-", "-"
        return self.show(self.mean), "yes" if self.meets(figure, self.mean) else "no"

    def meets(self, figure: float, goal: float) -> bool:
        """Return whether a figure is as good as a goal."""
        return figure <= goal if self.overhead else figure >= goal

    def show(self, figure: float) -> str:
        """Return a figure as text."""
        return f"{figure:.1f} %" if self.overhead else f"{figure:.2f}x"


_BARE, _PROBES = {"": 3}, {"": 5}
_CLEAN = {"mlp-64": 1.8, "mlp-64x1024": 1.2, "": 0.97}
_CLEAN_8 = {"mlp-64": 3.3, "mlp-64x1024": 1.2, "lstm-64": 1.2}
_COMPILED = {"mlp-64": 5.5, "rnn-64": 3.5, "gru-64": 2.3, "lstm-64": 1.7, "embedding10-relu": 1.25}
_PAPER = {"mlp-64": 18, "rnn-64": 8, "": 3}
_LIGHTNING = {"mlp-64": 18, "lstm-64": 2.3}
_AS_FAST_AS_JAX = 1 / 1.2
_BARE_LOOP = ("bare loop", "bare.alone")
_CLEAN_LOOP = ("clean loop, fused Adam", "clean.alone")
_TOGETHER = (f"{{engine}}, {SEEDS} seeds, per seed", "ours.together")

PAIRS = {
    "bare": Pair("{engine}, no probes", "ours.alone", *_BARE_LOOP, _BARE, overhead=True),
    "bare8": Pair(*_TOGETHER, "the same, bare loop", "bare.together", _BARE, overhead=True),
    "schedule": Pair(
        "{engine}, on schedule", "ours.alone_on_schedule", *_BARE_LOOP, _BARE, overhead=True
    ),
    "clean": Pair("{engine}", "ours.alone", *_CLEAN_LOOP, _CLEAN),
    "clean8": Pair(*_TOGETHER, *_CLEAN_LOOP, _CLEAN_8, _COMPILED),
    "paper": Pair(*_TOGETHER, "paper-like script", "paper_script.alone", _PAPER),
    "probes": Pair(
        "probing every step", "ours.alone_probing", "{engine}", "ours.alone", _PROBES, overhead=True
    ),
    "lightning": Pair(*_TOGETHER, "Lightning", "lightning_peer.one_by_one", _LIGHTNING),
    "jax": Pair(*_TOGETHER, "JAX, seeds by vmap", "jax_peer.vmapped", mean=_AS_FAST_AS_JAX),
    "jax-mapped": Pair(*_TOGETHER, "JAX, seeds in turn", "jax_peer.mapped"),
    "jax-counted": Pair(*_TOGETHER, "JAX, 64 codons weighted", "jax_peer.counted"),
}
PEERS = ("lightning", "jax", "jax-mapped", "jax-counted")
"""Pairs that need more than codonbench installed."""
