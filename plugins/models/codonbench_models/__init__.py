"""Built-in models; each class with an `info` is one.

To list them must not load PyTorch: `build` imports it, and classes of modules stand in files whose
names begin with an underscore.
"""
