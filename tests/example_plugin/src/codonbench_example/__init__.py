"""A model, a metric and a task for codonbench; each module registers its own."""
