"""A model, a metric and a task for codonbench, a module each; no hook is needed."""
