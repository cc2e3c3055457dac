"""Faster ways to run the plain loop of `codonbench.training.loop`, each held to it.

A training step is captured once and replayed, for several seeds at a time, without Python's or
autograd's overhead: by TorchScript's interpreter (``traced``), or compiled (``compiled``). Both
serve modules that claim to be row-independent; `comparison` compares them with the reference in
float64 before they are used, and `engines.train` steps down a rung, at last to the plain loop,
where they differ. There, ``compiled`` still has `torch.compile` make the module's own forward and
backward pass, held to the module on one batch (``torch-compile``): for batch norm, dropout and all
that a training may be set to do.
"""
