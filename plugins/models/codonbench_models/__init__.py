"""Built-in models; each module registers its own.

To list them must not load PyTorch: `build` imports it, and classes of modules stand in files whose
names begin with an underscore.
"""
