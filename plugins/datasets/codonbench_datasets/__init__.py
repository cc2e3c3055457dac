"""Built-in datasets; each module registers its own."""
