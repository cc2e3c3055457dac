"""Built-in metrics; each class with a name is one, imported when it is asked for."""

registers = ("metrics",)
