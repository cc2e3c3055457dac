"""Built-in models; each module registers its own."""
