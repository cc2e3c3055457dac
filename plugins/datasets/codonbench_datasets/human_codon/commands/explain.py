"""`bench explain`; see `cli`."""

from codonbench_datasets.human_codon.cli import explain as explain
