"""How far results drift when sums are rounded in another order.

    python benchmarks/reproducibility.py [SEEDS [MODEL ...]]
    python benchmarks/reproducibility.py --engines [SEEDS [MODEL ...]]

Runs each preset twice on the simulated ORFs, once with the widest vector instructions PyTorch
finds and once with none (``ATEN_CPU_CAPABILITY=default``), as two kinds of machine would, and
compares the metrics that are in pairs. `codonbench.audit.verify` takes its band from this.

With ``--engines``: in the reference loop, and in the captured step that `auto` takes. Engines are
no part of what makes rows comparable, so their results must have one distribution over seeds.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile

import numpy as np
from scipy.stats import ks_2samp

from codonbench.ranking.tiers import differences, signed_rank

PRESETS = [
    "softmax-table",
    "mlp-64",
    "mlp-64-12bit",
    "mlp-64x1024",
    "embedding10-relu",
    "embedding2-tanh",
    "rnn-64",
    "gru-64",
    "lstm-64",
]
CHAOTIC = ["embedding10-relu", "mlp-64x1024"]
"""Those whose results another rounding changes, seed by seed."""
METRICS = ("pairs_consumed", "sustained_pairs", "confident_pairs", "confident_pairs_50")


def run(model: str, seeds: str, *more: str, capability: str | None = None) -> list[dict]:
    """Return the records of one preset, by seed."""
    environment = dict(os.environ)
    if capability:
        environment["ATEN_CPU_CAPABILITY"] = capability
    command = [sys.executable, "-m", "codonbench.cli.main", "run", "--model", model]
    with tempfile.TemporaryDirectory() as folder:
        command += ["--seeds", seeds, *more, "--results", folder, "--json"]
        done = subprocess.run(
            command, env=environment, check=True, text=True, stdout=subprocess.PIPE
        )
    records = [json.loads(line) for line in done.stdout.splitlines()]
    return sorted(records, key=lambda record: record["seed"])


def compare_engines(seeds: str, models: list[str]) -> None:
    """Print, for each model and metric, how two engines' seeds compare."""
    print(
        "| model | engines | metric | the same | medians | signed-rank p | KS p |\n"
        + "|---" * 7
        + "|"
    )
    for model in models:
        one, two = (run(model, seeds, "--epochs", "1", "--engine", e) for e in ("eager", "auto"))
        engines = f"{one[0]['engine']['name']}, {two[0]['engine']['name']}"
        for metric in METRICS[:3]:
            first, second = (
                np.array([r["metrics"][metric] or np.inf for r in records])
                for records in (one, two)
            )
            p = signed_rank(differences(first, second)[None]).p[0]
            medians = ", ".join(f"{np.sort(v)[(len(v) - 1) // 2]:,.0f}" for v in (first, second))
            same = f"{(first == second).sum()} of {len(first)}"
            ks = ks_2samp(first, second).pvalue
            print(
                f"| {model} | {engines} | {metric} | {same} | {medians} | {p:.2f} | {ks:.2f} |",
                flush=True,
            )


def main() -> None:
    if sys.argv[1:2] == ["--engines"]:
        seeds, *models = [*sys.argv[2:], *(["0-29"] if len(sys.argv) < 3 else [])]
        compare_engines(seeds, models or CHAOTIC)
        return
    seeds = sys.argv[1] if len(sys.argv) > 1 else "0-4"
    print("| model | same weights | " + " | ".join(METRICS) + " |\n" + "|---" * 6 + "|")
    for model in sys.argv[2:] or PRESETS:
        asked = ("--epochs", "1", "--engine", "eager")
        widest, none = (run(model, seeds, *asked, capability=c) for c in (None, "default"))
        pairs = list(zip(widest, none, strict=True))
        same = sum(a["weights_sha256"] == b["weights_sha256"] for a, b in pairs)
        cells = [_drift(pairs, metric) for metric in METRICS]
        print(f"| {model} | {same} of {len(pairs)} | " + " | ".join(cells) + " |", flush=True)


def _drift(pairs: list[tuple[dict, dict]], metric: str) -> str:
    """Return the largest factor and difference between two runs of one seed."""
    values = [(a["metrics"][metric], b["metrics"][metric]) for a, b in pairs]
    both = [(a, b) for a, b in values if a and b]
    factor = max((max(a, b) / min(a, b) for a, b in both), default=1)
    apart = max((abs(a - b) for a, b in both), default=0)
    one_only = sum((a is None) != (b is None) for a, b in values)
    return f"{factor:.2f}x, {apart:,}" + (f", {one_only} in one only" if one_only else "")


if __name__ == "__main__":
    main()
