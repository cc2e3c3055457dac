"""Built-in datasets; each module registers its own, and is imported when that is asked for."""

registers = ("tasks", "protocols")
