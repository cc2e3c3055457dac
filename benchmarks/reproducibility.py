"""How far results drift when sums are rounded in another order.

    python benchmarks/reproducibility.py [SEEDS [MODEL ...]]

Runs each preset twice on the simulated ORFs, once with the widest vector instructions PyTorch
finds and once with none (``ATEN_CPU_CAPABILITY=default``), as two kinds of machine would, and
compares the metrics that are in pairs. `codonbench.audit.verify` takes its band from this.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile

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
METRICS = ("pairs_consumed", "sustained_pairs", "confident_pairs", "confident_pairs_50")


def run(model: str, seeds: str, folder: str, capability: str | None) -> list[dict]:
    """Return the records of one preset."""
    environment = dict(os.environ)
    if capability:
        environment["ATEN_CPU_CAPABILITY"] = capability
    command = [sys.executable, "-m", "codonbench.cli.main", "run", "--model", model]
    command += ["--seeds", seeds, "--epochs", "1", "--engine", "eager"]
    command += ["--results", folder, "--json"]
    done = subprocess.run(command, env=environment, check=True, text=True, stdout=subprocess.PIPE)
    return [json.loads(line) for line in done.stdout.splitlines()]


def main() -> None:
    seeds = sys.argv[1] if len(sys.argv) > 1 else "0-4"
    print("| model | same weights | " + " | ".join(METRICS) + " |\n" + "|---" * 6 + "|")
    for model in sys.argv[2:] or PRESETS:
        with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as two:
            pairs = list(
                zip(run(model, seeds, one, None), run(model, seeds, two, "default"), strict=True)
            )
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
