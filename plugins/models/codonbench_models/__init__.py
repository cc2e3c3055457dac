"""Built-in models; each class with an `info` is one, imported when it is asked for.

To list them must not load PyTorch: `build` imports it, and classes of modules stand in files whose
names begin with an underscore.
"""

registers = ("models",)
