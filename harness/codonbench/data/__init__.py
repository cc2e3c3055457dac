"""Data of tasks: tables, FASTA, downloads, splits, encodings, order of training examples."""
