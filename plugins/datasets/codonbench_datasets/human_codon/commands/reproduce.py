"""`bench reproduce`; see `cli`."""

from codonbench_datasets.human_codon.cli import reproduce as reproduce
