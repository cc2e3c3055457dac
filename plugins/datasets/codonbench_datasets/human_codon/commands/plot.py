"""`bench plot`; see `cli`."""

from codonbench_datasets.human_codon.cli import plot as plot
