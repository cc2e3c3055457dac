"""Faster ways to run the reference loop of `codonbench.training`, each held to it.

``traced`` captures a training step once and replays it, for several seeds at a time, without
Python's or autograd's overhead. It serves modules that claim to be row-independent; `check`
holds that claim and the captured step to the reference in float64 before it is used, and
`codonbench.learning` steps down to the reference where either does not hold.
"""
