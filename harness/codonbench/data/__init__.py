"""From items and targets to the fixed order of training examples; tables, FASTA, downloads."""
