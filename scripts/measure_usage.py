"""Measure codon counts and ORF lengths, for the simulated human ORFs of ``--data usage``.

Usage: python scripts/measure_usage.py CDS.fa.gz [OUTPUT.json]
"""

from __future__ import annotations

import argparse
import hashlib
from pathlib import Path

import numpy as np

from codonbench.data.fasta import read_fasta
from codonbench_datasets.human_codon.orfs import CODONS, HumanUsage, Orfs, curate, genetic_code

ROOT = Path(__file__).resolve().parent.parent
DEFAULT_OUTPUT = ROOT / "plugins/datasets/codonbench_datasets/human_codon/human_usage.json"

# Every percent, then every permille: few ORFs are long, but they set the mean.
PROBABILITIES = (*np.arange(0, 0.99, 0.01), *np.linspace(0.99, 1, 11))


def measure(orfs: Orfs, path: Path) -> HumanUsage:
    """Return the codon counts and length quantiles of curated ORFs, with where they come from.

    Args:
        orfs: The ORFs.
        path: The file they were read from; its name and SHA-256 are kept, its folder is not.
    """
    return HumanUsage(
        source=path.name,
        source_sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        command=f"python scripts/measure_usage.py {path.name}",
        n_orfs=len(orfs),
        n_codons=len(orfs.codons),
        mean_length=round(float(orfs.lengths.mean()), 4),
        counts=dict(zip(CODONS, orfs.counts.tolist(), strict=True)),
        length_probabilities=tuple(round(float(p), 3) for p in PROBABILITIES),
        length_quantiles=tuple(
            round(float(q), 2) for q in np.quantile(orfs.lengths, np.round(PROBABILITIES, 3))
        ),
    )


def main() -> None:
    """Read the arguments, measure, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("fasta", type=Path, help="coding sequences, FASTA, plain or gzip")
    parser.add_argument("output", type=Path, nargs="?", default=DEFAULT_OUTPUT)
    arguments = parser.parse_args()
    orfs = curate(read_fasta(arguments.fasta), genetic_code(1), str(arguments.fasta))
    usage = measure(orfs, arguments.fasta)
    arguments.output.write_text(usage.model_dump_json(indent=1) + "\n", encoding="utf-8")
    print("\n".join(orfs.report))


if __name__ == "__main__":
    main()
