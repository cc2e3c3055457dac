"""How often tiers split equal rows, and how often they separate unequal ones.

    python benchmarks/tiers.py [TABLES]

Simulates tables of the shape of the board's: ten seeds a row, excess pairs in batches of 64, the
rows of equal models drawn from one distribution, and beside them other equal groups, rows that
never get there, or the board's own rows as they are recorded in ``leaderboard/results``. Rows stand
in the order of their upper quartiles, as on the board. Supervised tables have 300 items.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from scipy.stats import binomtest

from codonbench.ranking import statistics
from codonbench.ranking.item_scores import RowScores, p_by_item
from codonbench.ranking.tiers import p_by_seed, tiers
from codonbench.records.store import BadRecord, Store

SEEDS = 10
SPREAD = 0.6
"""Of the logarithm of a row's values over seeds: about what the board's slower rows have."""

Groups = list[np.ndarray]
"""Rows that are equal, a group after the other: arrays of shape (rows, SEEDS)."""


def excess(rng: np.random.Generator, rows: int, median: float) -> np.ndarray:
    """Return rows of equal models that need about `median` pairs more than the stream."""
    values = median * rng.lognormal(sigma=SPREAD, size=(rows, SEEDS))
    return 64.0 * np.rint(values / 64)


def hopeless(rows: int) -> np.ndarray:
    return np.full((rows, SEEDS), np.inf)


def recorded_rows() -> np.ndarray:
    """Return the excess of the board's contestants on real ORFs, infinity for never, (rows, 10)."""
    found: dict[str, dict[int, float]] = {}
    for record in Store(Path("leaderboard/results")).scan():
        if (
            not isinstance(record, BadRecord)
            and record.comparability_key.startswith("7bdbf47317b4")
            and record.info.role == "contestant"
        ):
            value = record.metrics["excess_pairs"]
            found.setdefault(record.model, {})[record.seed] = np.inf if value is None else value
    return np.array([[row[s] for s in range(SEEDS)] for row in found.values() if len(row) == SEEDS])


def tiers_of(groups: Groups) -> list[np.ndarray]:
    """Return the tiers of each group's rows, all of them ranked in one table."""
    values = np.concatenate(groups)
    order = np.argsort(np.quantile(values, 0.75, axis=1, method="inverted_cdf"), kind="stable")
    found = np.empty(len(values))
    found[order] = tiers(p_by_seed([dict(enumerate(row)) for row in values[order]]))
    return np.split(found, np.cumsum([len(group) for group in groups])[:-1])


def split(found: Sequence[np.ndarray]) -> bool:
    """Return whether two equal rows stand in different tiers."""
    return any(len(np.unique(tiers)) > 1 for tiers in found)


def separated(found: Sequence[np.ndarray]) -> bool:
    """Return whether each row of the first group stands above each of the second."""
    return bool(found[0].max() < found[1].min())


def share(of: Callable[[np.random.Generator], bool], tables: int) -> str:
    """Return how often something holds in simulated tables, with its 95 % interval."""
    rng = np.random.default_rng(0)
    count = sum(of(rng) for _ in range(tables))
    interval = binomtest(count, tables).proportion_ci(method="wilson")
    return f"{100 * count / tables:.1f} % [{100 * interval.low:.1f}, {100 * interval.high:.1f}]"


def equal_tables(recorded: np.ndarray) -> dict[str, Callable[[np.random.Generator], Groups]]:
    others = [row[None] for row in recorded[8:]]
    return {
        "8 equal rows alone": lambda rng: [excess(rng, 8, 5_000)],
        "the same beside 14 that never get there": lambda rng: [
            excess(rng, 8, 5_000),
            hopeless(14),
        ],
        "the same beside 14 of the board's own": lambda rng: [excess(rng, 8, 5_000), *others],
        "the same beside one that is better by half": lambda rng: [
            excess(rng, 8, 5_000),
            excess(rng, 1, 2_500),
        ],
        "22 equal rows": lambda rng: [excess(rng, 22, 5_000)],
        "11 pairs of equal rows, each ten times the last": lambda rng: [
            excess(rng, 2, 640 * 10.0**i) for i in range(11)
        ],
        "2 equal rows alone": lambda rng: [excess(rng, 2, 5_000)],
    }


def supervised(rng: np.random.Generator, rows: int, seeds: int) -> bool:
    """Return whether equal rows of a table of 300 items are split."""
    n_items = 300
    difficulty = rng.normal(size=n_items)
    own = difficulty + 0.7 * rng.normal(size=(rows, 1, n_items))
    noise = 0.7 * rng.normal(size=(rows, seeds, n_items))
    right = own + 0.4 * rng.normal(size=(rows, seeds, 1)) + noise + 0.8 > 0
    counts = statistics.draws(n_items, "simulated").astype(float)
    scores = [
        RowScores(tuple(range(seeds)), r.mean(1), counts @ r.T / n_items, n_items)
        for r in right.astype(float)
    ]
    scores.sort(key=lambda row: -row.values.mean())
    return split([np.array(tiers(p_by_item(scores, 1)))])


def main() -> None:
    tables = int(sys.argv[1]) if len(sys.argv) > 1 else 2_000
    recorded = recorded_rows()
    recorded = recorded[np.argsort(np.quantile(recorded, 0.75, axis=1, method="inverted_cdf"))]
    print(f"| equal rows, of {tables:,} tables | split |\n|---|---|")
    for name, make in equal_tables(recorded).items():
        print(f"| {name} | {share(lambda rng, m=make: split(tiers_of(m(rng))), tables)} |")
    statistics.RESAMPLES = 400
    for rows, seeds in ((4, 5), (10, 5), (10, 10)):
        few = tables // 5
        name = f"supervised: {rows} equal rows, {seeds} seeds, 300 items ({few:,} tables)"
        print(f"| {name} | {share(lambda rng, r=rows, s=seeds: supervised(rng, r, s), few)} |")
    print(
        "\n| worse by a factor of | 1 row and 1 | 8 rows and 14 | 8 and 2, beside 12 that never |"
    )
    print("|---|---|---|---|")
    for factor in (1.5, 2, 3, 4, 6, 10):
        layouts: list[Callable[[np.random.Generator], Groups]] = [
            lambda rng, f=factor: [excess(rng, 1, 2_500), excess(rng, 1, f * 2_500)],
            lambda rng, f=factor: [excess(rng, 8, 2_500), excess(rng, 14, f * 2_500)],
            lambda rng, f=factor: [
                excess(rng, 8, 2_500),
                excess(rng, 2, f * 2_500),
                hopeless(12),
            ],
        ]
        cells = [share(lambda rng, m=m: separated(tiers_of(m(rng))), tables // 5) for m in layouts]
        print(f"| {factor:g} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
