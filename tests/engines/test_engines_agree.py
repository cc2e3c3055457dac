"""Engines are no part of what makes rows comparable: recorded seeds have one distribution.

`benchmarks/reproducibility.py --engines` compares more seeds of networks that rounding decides.
"""

from collections import defaultdict
from itertools import combinations
from pathlib import Path

import numpy as np

from codonbench.contracts.run_record import RunRecord
from codonbench.contracts.run_spec import content_hash
from codonbench.ranking.tiers import FEWEST_SEEDS, differences, signed_rank
from codonbench.records.store import Store

RESULTS = Path(__file__).parents[2] / "leaderboard" / "results"
METRICS = ("pairs_consumed", "sustained_pairs", "confident_pairs")


def test_rows_recorded_under_two_engines_have_one_distribution_over_seeds():
    rows = defaultdict(lambda: defaultdict(dict))
    for record in Store(RESULTS).scan():
        if isinstance(record, RunRecord) and record.task == "human-codon":
            spec = record.run_spec
            row = (record.model, content_hash([spec.config, spec.task_options, spec.data_checksum]))
            rows[row][record.engine.name][record.seed] = record.metrics
    compared = []
    for (model, _), engines in rows.items():
        for one, other in combinations(sorted(engines), 2):
            seeds = sorted(engines[one].keys() & engines[other].keys())
            for metric in METRICS if len(seeds) >= FEWEST_SEEDS else ():
                first, second = (
                    np.array([engines[name][s][metric] or np.inf for s in seeds], dtype=float)
                    for name in (one, other)
                )
                p = signed_rank(differences(first, second)[None]).p[0]
                compared.append((p, model, one, other, metric))
    assert len({model for _, model, *_ in compared}) >= 5
    assert min(compared)[0] > 0.05 / len(compared), min(compared)
