"""Built-in metrics; each module registers its own."""
